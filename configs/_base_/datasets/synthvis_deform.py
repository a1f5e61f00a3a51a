# Level deform: objects are not drawn in some frames and annotated all the same. T=5, so
# that with d=2 the middle frame of a clip has all four neighbours.
_base_ = "./synthvis.py"

data_root = "data/synthvis_deform/"

train_pipeline = [
    dict(type="ClipSample", num_frames=5),
    *_base_.train_pipeline[1:],
]

train_dataloader = dict(
    batch_size=5,
    dataset=dict(data_root=data_root, pipeline=train_pipeline),
)
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader

val_evaluator = dict(ann_file=data_root + "val.json")
test_evaluator = val_evaluator
