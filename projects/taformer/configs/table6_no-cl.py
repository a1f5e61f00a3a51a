_base_ = "./table3_st-enc_ta-dec.py"
