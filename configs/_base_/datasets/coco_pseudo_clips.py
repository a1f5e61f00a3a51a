# COCO 2017 as clips, for pretraining.
_base_ = "./coco_pseudo_clips_pipeline.py"

train_dataloader = dict(
    sampler=dict(_delete_=True, type="DefaultSampler", shuffle=True),
    dataset=dict(_delete_=True, **_base_.coco_dataset),
)

# There are no videos to evaluate on.
val_dataloader = None
test_dataloader = None
val_evaluator = None
test_evaluator = None
