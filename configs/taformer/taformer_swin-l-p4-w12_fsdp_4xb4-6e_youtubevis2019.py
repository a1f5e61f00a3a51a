# With gradients and the state of the optimizer spread over the processes (FSDP), which
# spares each of 4 GPUs about 2 GB. For tools/dist_train.sh and tools/slurm_train.sh.
_base_ = "./taformer_swin-l-p4-w12_4xb4-6e_youtubevis2019.py"

runner_type = "FlexibleRunner"
strategy = dict(
    type="ShardedTrainingStrategy",
    # One checkpoint, which everything else can load.
    state_dict_cfg="full",
    model_wrapper=dict(
        type="MMFullyShardedDataParallel",
        # Parameters stay whole after a forward pass. FULL_SHARD would gather them
        # again for each chunk of a video, and videos have different numbers of them.
        sharding_strategy="SHARD_GRAD_OP",
        auto_wrap_policy=dict(
            type="wrap_layers",
            layers=(
                "SwinBlock",
                "SpatioTemporalEncoderLayer",
                "QueryDecomposedDecoderLayer",
            ),
        ),
    ),
)

# Every process gathers the parameters at its first video, so each one needs a video.
# Those that are repeated for it are evaluated once.
val_dataloader = dict(sampler=dict(round_up=True))
test_dataloader = val_dataloader
