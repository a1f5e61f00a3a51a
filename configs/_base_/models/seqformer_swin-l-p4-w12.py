_base_ = ["./seqformer_r50.py", "./backbone_swin-l-p4-w12.py"]

model = dict(backbone=dict(_delete_=True, **_base_.swin_l_p4_w12))
