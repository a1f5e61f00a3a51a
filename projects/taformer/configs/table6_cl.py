_base_ = "./table3_st-enc_ta-dec_cl.py"

# On the last decoder layer only.
model = dict(bbox_head=dict(contrastive_aux=False))
load_from = "work_dirs/table6_cl_coco-pseudo-clips/epoch_24.pth"
