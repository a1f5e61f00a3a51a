# Joint training with COCO, from the checkpoint that pretraining on COCO leaves.
_base_ = [
    "../_base_/models/taformer_r50.py",
    "../_base_/datasets/joint_coco_youtubevis2019.py",
    "../_base_/schedules/schedule_6e.py",
    "../_base_/default_runtime.py",
]

load_from = "work_dirs/taformer_r50_4xb4-24e_coco-pseudo-clips/epoch_24.pth"
