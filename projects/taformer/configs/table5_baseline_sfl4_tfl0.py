_base_ = "./table3_baseline.py"
