_base_ = [
    "../_base_/models/taformer_r50.py",
    "../_base_/datasets/youtubevis2021.py",
    "../_base_/schedules/schedule_6e.py",
    "../_base_/default_runtime.py",
]
