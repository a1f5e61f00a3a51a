# Level deform: objects are not drawn in some frames and annotated all the same.
_base_ = "./synthvis.py"

data_root = "data/synthvis_deform/"
resize = dict(type="Resize", scale=(96, 64), keep_ratio=True)
load = dict(type="LoadFrame", target_scale=resize["scale"])

# Half of the clips are five frames in a row, as in testing: what is hidden is read from
# the nearest frames, and with d=2 the middle frame has all four neighbours. The others
# reach over the video, so that a query learns to follow an object that far.
train_pipeline = [
    dict(
        type="RandomChoice",
        transforms=[
            [dict(type="UniformRefFrameSample", num_ref_imgs=4, frame_range=2)],
            [dict(type="ClipSample", num_frames=5)],
        ],
    ),
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
    *_base_.train_pipeline[2:],
]
test_pipeline = [
    dict(type="TransformBroadcaster", transforms=[load, resize]),
    *_base_.test_pipeline[1:],
]

train_dataloader = dict(dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(ann_file=data_root + "val.json")
test_evaluator = val_evaluator
