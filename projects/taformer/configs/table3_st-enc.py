_base_ = "./table3_st-enc_ta-dec.py"

model = dict(decoder=dict(temporal_self_attn=None))
