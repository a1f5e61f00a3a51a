# YouTube-VIS 2021 and the COCO images that show its classes, as clips, together.
_base_ = "./joint_coco_youtubevis2019.py"

data_root = "data/youtube_vis_2021/"

# In the order of YouTube-VIS's category ids.
# fmt: off
classes = (
    "airplane", "bear", "bird", "boat", "car", "cat", "cow", "deer", "dog", "duck",
    "earless_seal", "elephant", "fish", "flying_disc", "fox", "frog", "giant_panda",
    "giraffe", "horse", "leopard", "lizard", "monkey", "motorbike", "mouse", "parrot",
    "person", "rabbit", "shark", "skateboard", "snake", "snowboard", "squirrel",
    "surfboard", "tennis_racket", "tiger", "train", "truck", "turtle", "whale", "zebra",
)
# fmt: on
metainfo = dict(classes=classes)

class_map = {
    **_base_.class_map,
    "car": "car",
    "bird": "bird",
    "frisbee": "flying_disc",
}

joined = _base_.train_dataloader.dataset.datasets
train_dataloader = dict(
    dataset=dict(
        datasets=[
            dict(joined[0], metainfo=metainfo, data_root=data_root),
            dict(joined[1], metainfo=metainfo, class_map=class_map),
        ]
    )
)
val_dataloader = dict(dataset=dict(data_root=data_root, metainfo=metainfo))
test_dataloader = val_dataloader

val_evaluator = dict(
    ann_file=data_root + "valid.json",
    outfile_prefix="work_dirs/youtubevis2021_valid/results",
)
test_evaluator = val_evaluator
