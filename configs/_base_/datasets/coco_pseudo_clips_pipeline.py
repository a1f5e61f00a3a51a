# COCO 2017 as clips, each of five copies of an image that are rotated differently:
# what pretraining and joint training share. data/coco/train2017 and
# data/coco/annotations/instances_train2017.json, as published. The geometry of clips
# is that of YouTube-VIS; there is no photometric distortion.
_base_ = "./youtubevis2019.py"

coco_pipeline = [
    dict(type="ClipSample", num_frames=1),
    dict(
        type="TransformBroadcaster",
        transforms=[
            dict(type="LoadFrame", backend_args=_base_.backend_args),
            dict(type="LoadVideoAnnotations", with_mask=True),
        ],
    ),
    dict(type="RepeatFrame", num_frames=5),
    # Every copy by an angle of its own, within +-20 degrees.
    dict(
        type="TransformBroadcaster",
        transforms=[dict(type="RotateFrame", max_mag=20.0, img_border_value=0)],
    ),
    dict(
        type="TransformBroadcaster",
        share_random_params=True,
        # Without the two transforms that load a frame.
        transforms=_base_.train_pipeline[1]["transforms"][2:],
    ),
    dict(type="FilterEmptyClip"),
    dict(type="PackTrackInputs", default_meta_keys=_base_.meta_keys),
]

coco_dataset = dict(
    type="CocoPseudoClipDataset",
    data_root="data/coco/",
    ann_file="annotations/instances_train2017.json",
    data_prefix=dict(img="train2017/"),
    max_instances=25,
    pipeline=coco_pipeline,
    backend_args=_base_.backend_args,
)
