_base_ = "./table3_st-enc.py"

model = dict(
    encoder=dict(
        layer_cfg=dict(
            self_attn_cfg=dict(fusion=dict(_delete_=True, type="ConcatenationFusion"))
        )
    )
)
load_from = "work_dirs/table4_concatenation_coco-pseudo-clips/epoch_24.pth"
