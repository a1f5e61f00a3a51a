# What is known of a frame: mmdet's default without "instances", which would send all
# masks along a second time.
meta_keys = (
    "img_id",
    "img_path",
    "ori_shape",
    "img_shape",
    "scale_factor",
    "flip",
    "flip_direction",
    "frame_id",
    "video_id",
    "video_length",
    "ori_video_length",
)
