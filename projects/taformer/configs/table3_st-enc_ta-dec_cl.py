# TAFormer as in Table 1. The rows that leave something out inherit from here; each is
# pretrained on COCO with the parts that it has, see README.md.
_base_ = (
    "../../../configs/taformer/taformer_r50_coco-pretrain_4xb4-6e_youtubevis2019.py"
)
