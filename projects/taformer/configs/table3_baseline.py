# SeqFormer, trained as TAFormer is.
_base_ = "../../../configs/seqformer/seqformer_r50_4xb4-6e_youtubevis2019.py"

load_from = "work_dirs/seqformer_r50_4xb4-24e_coco-pseudo-clips/epoch_24.pth"
