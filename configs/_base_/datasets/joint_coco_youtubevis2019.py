# YouTube-VIS 2019 and the COCO images that show its classes, as clips, together.
_base_ = "./coco_pseudo_clips_pipeline.py"

# In the order of YouTube-VIS's category ids.
# fmt: off
classes = (
    "person", "giant_panda", "lizard", "parrot", "skateboard", "sedan", "ape", "dog",
    "snake", "monkey", "hand", "rabbit", "duck", "cat", "cow", "fish", "train", "horse",
    "turtle", "bear", "motorbike", "giraffe", "leopard", "fox", "deer", "owl",
    "surfboard", "airplane", "truck", "zebra", "tiger", "elephant", "snowboard", "boat",
    "shark", "mouse", "frog", "eagle", "earless_seal", "tennis_racket",
)
# fmt: on
metainfo = dict(classes=classes)

# COCO's names of these classes. SeqFormer's released code has bicycles and computer
# mice beside them, as motorbikes and foxes.
class_map = {
    "person": "person",
    "car": "sedan",
    "motorcycle": "motorbike",
    "airplane": "airplane",
    "train": "train",
    "truck": "truck",
    "boat": "boat",
    "cat": "cat",
    "dog": "dog",
    "horse": "horse",
    "cow": "cow",
    "elephant": "elephant",
    "bear": "bear",
    "zebra": "zebra",
    "giraffe": "giraffe",
    "snowboard": "snowboard",
    "skateboard": "skateboard",
    "surfboard": "surfboard",
    "tennis racket": "tennis_racket",
}

train_dataloader = dict(
    sampler=dict(_delete_=True, type="DefaultSampler", shuffle=True),
    dataset=dict(
        _delete_=True,
        type="ConcatClipDataset",
        datasets=[
            dict(_base_.train_dataloader.dataset, metainfo=metainfo),
            dict(_base_.coco_dataset, metainfo=metainfo, class_map=class_map),
        ],
    ),
)
val_dataloader = dict(dataset=dict(metainfo=metainfo))
test_dataloader = val_dataloader
