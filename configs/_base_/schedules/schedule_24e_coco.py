# Pretraining: 24 epochs, no validation. The paper gives no drop of the learning rate;
# it is by 10 after epoch 20, at the same share of the training as in mmdet's
# Deformable DETR.
_base_ = "./schedule_6e.py"

max_epochs = 24
param_scheduler = [
    dict(
        type="MultiStepLR",
        begin=0,
        end=max_epochs,
        by_epoch=True,
        milestones=[20],
        gamma=0.1,
    )
]
train_cfg = dict(max_epochs=max_epochs)
val_cfg = None
test_cfg = None
