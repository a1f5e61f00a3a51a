_base_ = "./table3_st-enc.py"
