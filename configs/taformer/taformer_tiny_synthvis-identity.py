_base_ = [
    "../_base_/models/taformer_tiny_stride-4.py",
    "../_base_/datasets/synthvis_identity.py",
    "../_base_/schedules/schedule_cpu_1e.py",
    "../_base_/default_runtime.py",
]

model = dict(bbox_head=dict(num_classes=2))
