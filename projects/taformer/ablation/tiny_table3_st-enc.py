# Also the row "dynamic attention fusion" of Table 4.
_base_ = "./tiny_table3_st-enc_ta-dec.py"

model = dict(decoder=dict(temporal_self_attn=None))
