_base_ = "./table3_st-enc_ta-dec_cl.py"
