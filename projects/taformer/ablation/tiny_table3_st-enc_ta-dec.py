# Also the row without contrastive loss of Table 6.
_base_ = "./tiny_table3_st-enc_ta-dec_cl.py"

model = dict(bbox_head=dict(loss_contrastive=None))
