# SeqFormer's own: 12 epochs, a learning rate of 2e-4, drops by 10 after epochs 2 and
# 10.
_base_ = "./schedule_6e.py"

max_epochs = 12

optim_wrapper = dict(optimizer=dict(lr=2e-4))
param_scheduler = [
    dict(
        type="MultiStepLR",
        begin=0,
        end=max_epochs,
        by_epoch=True,
        milestones=[2, 10],
        gamma=0.1,
    )
]
train_cfg = dict(max_epochs=max_epochs)

# The learning rate is for 16 clips in all.
auto_scale_lr = dict(base_batch_size=16)
