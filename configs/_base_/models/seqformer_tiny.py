# SeqFormer made small: trained from scratch on a laptop's processor in minutes.
_base_ = "./seqformer_r50.py"

embed_dims = 64
ffn_cfg = dict(embed_dims=embed_dims, feedforward_channels=128, ffn_drop=0.0)

model = dict(
    num_queries=40,
    data_preprocessor=dict(pad_size_divisor=8),
    backbone=dict(
        depth=18,
        base_channels=16,
        frozen_stages=-1,
        norm_cfg=dict(requires_grad=True),
        norm_eval=False,
        init_cfg=None,
    ),
    neck=dict(out_channels=embed_dims, norm_cfg=dict(num_groups=16)),
    positional_encoding=dict(num_feats=embed_dims // 2),
    encoder=dict(
        # In TAFormer, with d=2, two layers reach four frames far.
        num_layers=2,
        layer_cfg=dict(
            self_attn_cfg=dict(embed_dims=embed_dims, num_heads=4, num_points=2),
            ffn_cfg=ffn_cfg,
            dropout=0.0,
        ),
    ),
    decoder=dict(
        num_layers=3,
        layer_cfg=dict(
            self_attn_cfg=dict(embed_dims=embed_dims, num_heads=8, dropout=0.0),
            cross_attn_cfg=dict(embed_dims=embed_dims, num_heads=8),
            ffn_cfg=ffn_cfg,
            dropout=0.0,
        ),
    ),
    bbox_head=dict(
        num_classes=6,
        embed_dims=embed_dims,
        mask_head=dict(embed_dims=embed_dims, feature_channels=8, distance_unit=16.0),
        # From scratch, boxes are learned long before classes are.
        loss_cls=dict(loss_weight=4.0),
    ),
)
