_base_ = "./table3_st-enc_ta-dec_cl.py"

model = dict(encoder=dict(layer_cfg=dict(self_attn_cfg=dict(num_temporal_points=1))))
load_from = "work_dirs/table7_k-inter1_coco-pseudo-clips/epoch_24.pth"
