_base_ = "./tiny_table3_st-enc_ta-dec_cl.py"

# On the last decoder layer only.
model = dict(bbox_head=dict(contrastive_aux=False))
