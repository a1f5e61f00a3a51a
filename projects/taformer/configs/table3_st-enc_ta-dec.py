_base_ = "./table3_st-enc_ta-dec_cl.py"

model = dict(bbox_head=dict(loss_contrastive=None))
load_from = "work_dirs/table3_st-enc_ta-dec_coco-pseudo-clips/epoch_24.pth"
