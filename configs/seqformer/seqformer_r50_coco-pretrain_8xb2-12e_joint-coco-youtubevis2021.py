_base_ = [
    "../_base_/models/seqformer_r50.py",
    "../_base_/datasets/joint_coco_youtubevis2021.py",
    "../_base_/schedules/schedule_12e_seqformer_joint.py",
    "../_base_/default_runtime.py",
]

train_dataloader = dict(batch_size=2)
load_from = "work_dirs/seqformer_r50_4xb4-24e_coco-pseudo-clips/epoch_24.pth"
