_base_ = "./table3_st-enc_ta-dec.py"

model = dict(decoder=dict(temporal_self_attn=None))
load_from = "work_dirs/table3_st-enc_coco-pseudo-clips/epoch_24.pth"
