# YouTube-VIS 2021: data/youtube_vis_2021/{train,valid,test}/JPEGImages and
# {train,valid,test}.json beside them, as published.
_base_ = "./youtubevis2019.py"

data_root = "data/youtube_vis_2021/"

train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader

val_evaluator = dict(
    ann_file=data_root + "valid.json",
    outfile_prefix="work_dirs/youtubevis2021_valid/results",
)
test_evaluator = val_evaluator
