# For frames of 96 x 64 pixels: masks of stride 8 have too few cells for their objects.
_base_ = "./seqformer_tiny.py"

model = dict(
    num_queries=20,
    backbone=dict(
        num_stages=3, out_indices=(0, 1, 2), strides=(1, 2, 2), dilations=(1, 1, 1)
    ),
    bbox_head=dict(mask_head=dict(stride=4)),
)
