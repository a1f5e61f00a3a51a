# The paper's recipe, after taformer_swin-l-p4-w12_4xb4-24e_coco-pseudo-clips.py.
_base_ = "./taformer_swin-l-p4-w12_4xb4-6e_youtubevis2019.py"

load_from = "work_dirs/taformer_swin-l-p4-w12_4xb4-24e_coco-pseudo-clips/epoch_24.pth"
