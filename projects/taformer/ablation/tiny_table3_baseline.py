# SeqFormer made small.
_base_ = "../../../configs/seqformer/seqformer_tiny_synthvis.py"
