# SeqFormer: TAFormer's classes without the temporal parts.
embed_dims = 256
num_heads = 8
dropout = 0.1

ffn_cfg = dict(
    embed_dims=embed_dims,
    feedforward_channels=1024,
    num_fcs=2,
    # Works on a view of the linear layer's output, where in place costs two copies.
    act_cfg=dict(type="ReLU", inplace=False),
    ffn_drop=dropout,
)

# Levels of the neck and of all attentions follow num_feature_levels, the neck's input
# follows the backbone, and the head has as many layers as the decoder.
model = dict(
    type="TAFormer",
    num_queries=300,
    num_feature_levels=4,
    data_preprocessor=dict(
        type="ClipDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_mask=True,
        pad_size_divisor=32,
    ),
    backbone=dict(
        type="ResNet",
        depth=50,
        num_stages=4,
        out_indices=(1, 2, 3),
        frozen_stages=1,
        norm_cfg=dict(type="BN", requires_grad=False),
        norm_eval=True,
        style="pytorch",
        # What mmengine calls torchvision://resnet50, without need of torchvision.
        init_cfg=dict(
            type="Pretrained",
            checkpoint="https://download.pytorch.org/models/resnet50-0676ba61.pth",
        ),
    ),
    neck=dict(
        type="ChannelMapper",
        out_channels=embed_dims,
        kernel_size=1,
        bias=True,
        act_cfg=None,
        norm_cfg=dict(type="GN", num_groups=32),
    ),
    positional_encoding=dict(
        type="SpatioTemporalPositionalEncoding",
        num_feats=embed_dims // 2,
        normalize=True,
        offset=-0.5,
        temporal=False,
    ),
    encoder=dict(
        type="SpatioTemporalEncoder",
        num_layers=6,
        layer_cfg=dict(
            self_attn_cfg=dict(
                type="SpatioTemporalDeformableAttention",
                embed_dims=embed_dims,
                num_heads=num_heads,
                num_points=4,
                temporal_window=0,
            ),
            ffn_cfg=ffn_cfg,
            dropout=dropout,
        ),
    ),
    decoder=dict(
        type="TemporalAugmentedDecoder",
        num_layers=6,
        layer_cfg=dict(
            self_attn_cfg=dict(
                embed_dims=embed_dims, num_heads=num_heads, dropout=dropout
            ),
            cross_attn_cfg=dict(
                type="QueryDecomposedCrossAttention",
                embed_dims=embed_dims,
                num_heads=num_heads,
                num_points=4,
            ),
            ffn_cfg=ffn_cfg,
            dropout=dropout,
        ),
    ),
    bbox_head=dict(
        type="TAFormerHead",
        num_classes=40,
        embed_dims=embed_dims,
        mask_head=dict(type="DynamicConvMaskHead", embed_dims=embed_dims, channels=8),
        loss_cls=dict(
            type="FocalLoss", use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=2.0
        ),
        loss_bbox=dict(type="L1Loss", loss_weight=5.0),
        loss_iou=dict(type="GIoULoss", eps=1e-12, loss_weight=2.0),
        loss_mask=dict(
            type="FocalLoss", use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=2.0
        ),
        loss_dice=dict(
            type="DiceLoss",
            use_sigmoid=True,
            activate=True,
            naive_dice=True,
            eps=1.0,
            loss_weight=5.0,
        ),
        assigner=dict(
            type="HungarianAssigner",
            match_costs=[
                dict(type="FocalLossCost", weight=2.0),
                dict(type="BoxSequenceL2Cost", weight=5.0),
                dict(type="BoxSequenceGIoUCost", weight=2.0),
            ],
        ),
    ),
    # Run-length encoded masks are what long videos fit in memory with; mmdet's own
    # metric and visualization hook read plain ones: encode_masks=False.
    test_cfg=dict(max_per_video=10, encode_masks=True, frames_per_chunk=10),
)
