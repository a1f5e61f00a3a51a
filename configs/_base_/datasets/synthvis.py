# Generated videos in the format of YouTube-VIS; see
# tools/dataset_converters/generate_synthvis.py.
_base_ = "./clip_meta_keys.py"

dataset_type = "YTVISDataset"
data_root = "data/synthvis/"

# Generated videos are this large and stay as they are. A larger video is made smaller,
# so that it trains at the same cost: 854 x 480 becomes 160 x 90.
resize = dict(type="Resize", scale=(160, 96), keep_ratio=True)
load = dict(type="LoadFrame", target_scale=resize["scale"])

train_pipeline = [
    dict(type="ClipSample", num_frames=5),
    dict(
        type="TransformBroadcaster",
        share_random_params=True,
        transforms=[
            load,
            dict(type="LoadVideoAnnotations", with_mask=True),
            resize,
            dict(type="RandomFlip", prob=0.5),
        ],
    ),
    dict(type="FilterEmptyClip"),
    dict(type="PackTrackInputs", default_meta_keys=_base_.meta_keys),
]
test_pipeline = [
    dict(type="TransformBroadcaster", transforms=[load, resize]),
    dict(type="PackTrackInputs", default_meta_keys=_base_.meta_keys),
]

train_dataloader = dict(
    batch_size=5,
    # On two cores a worker process costs the training more than it saves.
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type="TrackImgSampler"),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file="train.json",
        data_prefix=dict(img_path="train/JPEGImages"),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    persistent_workers=False,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False, round_up=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file="val.json",
        data_prefix=dict(img_path="val/JPEGImages"),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type="YTVISMetric", ann_file=data_root + "val.json")
test_evaluator = val_evaluator
