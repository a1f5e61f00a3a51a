_base_ = [
    "../_base_/models/taformer_tiny.py",
    "../_base_/datasets/synthvis_identity.py",
    "../_base_/schedules/schedule_cpu.py",
    "../_base_/default_runtime.py",
]

# A run of frames without an object is crossed in two steps.
model = dict(encoder=dict(num_layers=2))
