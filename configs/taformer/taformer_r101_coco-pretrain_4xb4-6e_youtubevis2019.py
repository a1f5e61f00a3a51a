# The paper's recipe, after taformer_r101_4xb4-24e_coco-pseudo-clips.py.
_base_ = "./taformer_r101_4xb4-6e_youtubevis2019.py"

load_from = "work_dirs/taformer_r101_4xb4-24e_coco-pseudo-clips/epoch_24.pth"
