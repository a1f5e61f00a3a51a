# From scratch in minutes: one cycle of the learning rate, everything learns alike.
max_epochs = 2

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(
        type="AdamW", lr=2e-3, betas=(0.9, 0.999), weight_decay=1e-4, fused=True
    ),
    clip_grad=dict(max_norm=1.0, norm_type=2),
)
param_scheduler = [
    dict(
        type="OneCycleLR",
        eta_max=2e-3,
        pct_start=0.1,
        by_epoch=True,
        end=max_epochs,
        convert_to_iter_based=True,
    )
]
train_cfg = dict(
    type="ResumableTrainLoop", max_epochs=max_epochs, val_interval=max_epochs
)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

auto_scale_lr = dict(enable=False, base_batch_size=5)
# The README has the figures of seeds 0, 1 and 2.
randomness = dict(seed=0)
