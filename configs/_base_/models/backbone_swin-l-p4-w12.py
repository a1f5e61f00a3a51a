# Swin-L with windows of 12, pretrained on ImageNet-22K at 384 pixels. A model that
# inherits from this file too takes it with `backbone = _base_.swin_l_p4_w12`.
swin_l_p4_w12 = dict(
    type="SwinTransformer",
    pretrain_img_size=384,
    embed_dims=192,
    depths=(2, 2, 18, 2),
    num_heads=(6, 12, 24, 48),
    window_size=12,
    drop_path_rate=0.3,
    out_indices=(1, 2, 3),
    # Recomputes activations: a clip has five frames.
    with_cp=True,
    convert_weights=True,
    init_cfg=dict(
        type="Pretrained",
        checkpoint="https://github.com/SwinTransformer/storage/releases/download/"
        "v1.0.0/swin_large_patch4_window12_384_22k.pth",
    ),
)
