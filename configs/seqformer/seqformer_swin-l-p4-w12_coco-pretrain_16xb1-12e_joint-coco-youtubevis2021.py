_base_ = [
    "../_base_/models/seqformer_swin-l-p4-w12.py",
    "../_base_/datasets/joint_coco_youtubevis2021.py",
    "../_base_/schedules/schedule_12e_seqformer_joint.py",
    "../_base_/default_runtime.py",
]

train_dataloader = dict(batch_size=1)
load_from = "work_dirs/seqformer_swin-l-p4-w12_4xb4-24e_coco-pseudo-clips/epoch_24.pth"
