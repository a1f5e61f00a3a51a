# TAFormer made small. Also the last row of Table 6.
_base_ = "../../../configs/taformer/taformer_tiny_synthvis.py"
