_base_ = [
    "../_base_/models/seqformer_tiny.py",
    "../_base_/datasets/synthvis.py",
    "../_base_/schedules/schedule_cpu.py",
    "../_base_/default_runtime.py",
]
