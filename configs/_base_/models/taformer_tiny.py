# TAFormer made small: trained from scratch on a laptop's processor in minutes.
_base_ = "./seqformer_tiny.py"

model = dict(
    positional_encoding=dict(temporal=True),
    encoder=dict(
        layer_cfg=dict(
            self_attn_cfg=dict(
                temporal_window=2,
                num_temporal_points=2,
                fusion=dict(type="DynamicAttentionFusion", channels=16),
            )
        )
    ),
    decoder=dict(
        temporal_self_attn=dict(
            type="TemporalSelfAttention",
            embed_dims=_base_.embed_dims,
            num_heads=8,
            dropout=0.0,
        ),
        share_temporal_self_attn=True,
    ),
    bbox_head=dict(
        loss_contrastive=dict(
            type="BoxQueryContrastiveLoss", temperature=0.1, loss_weight=1.0
        ),
        contrastive_aux=True,
    ),
)
