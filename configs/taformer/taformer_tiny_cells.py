# A small TAFormer for nuclei under the microscope; docs/en/cells.md makes the data.
_base_ = "./taformer_tiny_synthvis.py"

data_root = "data/cells/"
meta_keys = _base_.meta_keys

model = dict(
    # A tile holds at most 25 nuclei over its 20 frames.
    num_queries=60,
    # As the weights have that come along.
    encoder=dict(num_layers=1),
    bbox_head=dict(num_classes=1),
    test_cfg=dict(max_per_video=40),
)

# Nuclei have no up and down: flips in all directions.
train_pipeline = [
    dict(type="ClipSample", num_frames=5),
    dict(
        type="TransformBroadcaster",
        share_random_params=True,
        transforms=[
            dict(type="LoadFrame"),
            dict(type="LoadVideoAnnotations", with_mask=True),
            dict(
                type="RandomFlip",
                prob=[0.25, 0.25, 0.25],
                direction=["horizontal", "vertical", "diagonal"],
            ),
        ],
    ),
    dict(type="FilterEmptyClip"),
    dict(type="PackTrackInputs", default_meta_keys=meta_keys),
]
# Tiles of 220 x 175 pixels pass as they are; other videos come to a similar size.
test_pipeline = [
    dict(
        type="TransformBroadcaster",
        transforms=[
            dict(type="LoadFrame"),
            dict(type="Resize", scale=(440, 175), keep_ratio=True),
        ],
    ),
    dict(type="PackTrackInputs", default_meta_keys=meta_keys),
]
train_dataloader = dict(
    batch_size=2, dataset=dict(data_root=data_root, pipeline=train_pipeline)
)
val_dataloader = dict(dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + "val.json")
test_evaluator = val_evaluator

max_epochs = 12
optim_wrapper = dict(optimizer=dict(lr=1.5e-3))
param_scheduler = [dict(_base_.param_scheduler[0], eta_max=1.5e-3, end=max_epochs)]
train_cfg = dict(max_epochs=max_epochs, val_interval=3)
auto_scale_lr = dict(base_batch_size=2)
