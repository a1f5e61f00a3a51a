_base_ = [
    "../_base_/models/taformer_swin-l-p4-w12.py",
    "../_base_/datasets/coco_pseudo_clips.py",
    "../_base_/schedules/schedule_24e_coco.py",
    "../_base_/default_runtime.py",
]

model = dict(bbox_head=dict(num_classes=80))
