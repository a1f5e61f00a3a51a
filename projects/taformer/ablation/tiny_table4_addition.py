_base_ = "./tiny_table3_st-enc.py"

model = dict(
    encoder=dict(
        layer_cfg=dict(
            self_attn_cfg=dict(fusion=dict(_delete_=True, type="AdditionFusion"))
        )
    )
)
