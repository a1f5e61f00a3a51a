# With COCO beside YouTube-VIS the first drop is after epoch 4.
_base_ = "./schedule_12e_seqformer.py"

param_scheduler = [dict(_base_.param_scheduler[0], milestones=[4, 10])]
