_base_ = [
    "../_base_/models/seqformer_tiny_stride-4.py",
    "../_base_/datasets/synthvis_identity.py",
    "../_base_/schedules/schedule_cpu_1e.py",
    "../_base_/default_runtime.py",
]

# With classes at weight 8 in matching, queries come to mean a colour. With the usual 2
# they may stay with a place, and change balls when those pass each other.
model = dict(
    bbox_head=dict(
        num_classes=2,
        assigner=dict(
            match_costs=[
                dict(type="FocalLossCost", weight=8.0),
                dict(type="BoxSequenceL2Cost", weight=5.0),
                dict(type="BoxSequenceGIoUCost", weight=2.0),
            ]
        ),
    )
)
