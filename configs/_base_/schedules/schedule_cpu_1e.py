# For videos of so many frames that one epoch is enough.
_base_ = "./schedule_cpu.py"

max_epochs = 1
param_scheduler = [dict(_base_.param_scheduler[0], end=max_epochs)]
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
