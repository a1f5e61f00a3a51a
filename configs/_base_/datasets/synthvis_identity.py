# Level identity: one of three frames in a row shows which of the objects is which.
_base_ = "./synthvis_deform.py"

data_root = "data/synthvis_identity/"

train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader

val_evaluator = dict(ann_file=data_root + "val.json")
test_evaluator = val_evaluator
