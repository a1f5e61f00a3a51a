# The paper's recipe, after taformer_r50_4xb4-24e_coco-pseudo-clips.py.
_base_ = "./taformer_r50_4xb4-6e_youtubevis2021.py"

load_from = "work_dirs/taformer_r50_4xb4-24e_coco-pseudo-clips/epoch_24.pth"
