# One level of features: C5, at stride 32.
_base_ = "./table3_st-enc.py"

model = dict(
    num_feature_levels=1,
    backbone=dict(out_indices=(3,)),
    bbox_head=dict(mask_head=dict(num_levels=1, stride=32)),
)
# SeqFormer's weights, as the paper says of this table.
load_from = "work_dirs/seqformer_r50_4xb4-24e_coco-pseudo-clips/epoch_24.pth"
