# YouTube-VIS 2019: data/youtube_vis_2019/{train,valid,test}/JPEGImages and
# {train,valid,test}.json beside them, as published.
_base_ = "./clip_meta_keys.py"

dataset_type = "YTVISDataset"
data_root = "data/youtube_vis_2019/"
backend_args = None

# Short sides of 288 to 512 pixels, long sides of at most 768.
train_scales = [(768, short_side) for short_side in range(288, 513, 32)]
# (long, short) sides; the long ones are out of reach.
scales_before_crop = [(10000, 400), (10000, 500), (10000, 600)]

train_pipeline = [
    dict(type="ClipSample", num_frames=5),
    # One geometry per clip.
    dict(
        type="TransformBroadcaster",
        share_random_params=True,
        transforms=[
            dict(type="LoadFrame", backend_args=backend_args),
            dict(type="LoadVideoAnnotations", with_mask=True),
            dict(
                type="ClipRandomChoice",
                transforms=[
                    [
                        dict(
                            type="RandomChoiceResize",
                            scales=train_scales,
                            keep_ratio=True,
                        )
                    ],
                    [
                        dict(
                            type="RandomChoiceResize",
                            scales=scales_before_crop,
                            keep_ratio=True,
                        ),
                        dict(
                            type="RandomCrop",
                            crop_type="absolute_range",
                            crop_size=(384, 600),
                            # An instance may be in some frames of the crop only.
                            allow_negative_crop=True,
                            recompute_bbox=True,
                        ),
                        dict(
                            type="RandomChoiceResize",
                            scales=train_scales,
                            keep_ratio=True,
                        ),
                    ],
                ],
            ),
            dict(type="RandomFlip", prob=0.5),
        ],
    ),
    dict(type="FilterEmptyClip"),
    # Colours differ from frame to frame. After resizing, where it costs least.
    dict(
        type="TransformBroadcaster",
        transforms=[dict(type="UInt8PhotoMetricDistortion")],
    ),
    dict(type="PackTrackInputs", default_meta_keys=_base_.meta_keys),
]
test_pipeline = [
    dict(
        type="TransformBroadcaster",
        transforms=[
            dict(type="LoadFrame", backend_args=backend_args),
            dict(type="Resize", scale=(1333, 360), keep_ratio=True),
        ],
    ),
    dict(type="PackTrackInputs", default_meta_keys=_base_.meta_keys),
]

train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type="TrackImgSampler"),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file="train.json",
        data_prefix=dict(img_path="train/JPEGImages"),
        pipeline=train_pipeline,
        backend_args=backend_args,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=False,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False, round_up=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file="valid.json",
        data_prefix=dict(img_path="valid/JPEGImages"),
        test_mode=True,
        pipeline=test_pipeline,
        backend_args=backend_args,
    ),
)
test_dataloader = val_dataloader

# The annotations of the validation set are not public: results are written, not
# evaluated. With an annotated file, such as a part of train.json that is held out,
# set ann_file in the data loaders and here, data_prefix, and format_only=False.
val_evaluator = dict(
    type="YTVISMetric",
    ann_file=data_root + "valid.json",
    format_only=True,
    outfile_prefix="work_dirs/youtubevis2019_valid/results",
)
test_evaluator = val_evaluator
