# TAFormer: SeqFormer plus a spatio-temporal encoder (ST-Enc), temporal self-attention
# in the decoder (TA-Dec) and a contrastive loss on box queries (CL).
_base_ = "./seqformer_r50.py"

model = dict(
    positional_encoding=dict(temporal=True),
    encoder=dict(
        layer_cfg=dict(
            self_attn_cfg=dict(
                temporal_window=2,
                num_temporal_points=4,
                fusion=dict(type="DynamicAttentionFusion", channels=32),
            )
        )
    ),
    decoder=dict(
        temporal_self_attn=dict(
            type="TemporalSelfAttention",
            embed_dims=_base_.embed_dims,
            num_heads=_base_.num_heads,
            dropout=_base_.dropout,
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
