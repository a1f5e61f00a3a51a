default_scope = "mmdet"
custom_imports = dict(imports=["mmtaformer"], allow_failed_imports=False)

default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="MainProcessLoggerHook", interval=50),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(
        type="AtomicCheckpointHook",
        interval=1,
        save_best="youtube_vis/AP",
        rule="greater",
    ),
    sampler_seed=dict(type="DistSamplerSeedHook"),
)
custom_hooks = [
    dict(type="WorkDirLockHook"),
    dict(type="NonFiniteLossHook"),
    dict(type="NonFiniteGradientHook", max_in_a_row=10),
    dict(type="PreemptionHook"),
    dict(type="NumClassCheckHook"),
    dict(type="ProgressHook"),
    # Videos of a few validated clips, in the folder of the run.
    dict(type="VideoVisualizationHook", draw_val=True, num_videos=3),
]

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
    # On a machine without GPU, tools/train.py and tools/test.py use gloo instead.
    dist_cfg=dict(backend="nccl"),
)
vis_backends = [dict(type="LocalVisBackend")]
visualizer = dict(type="TrackVisualizer", vis_backends=vis_backends, name="visualizer")
log_processor = dict(type="ShortLogProcessor", window_size=50, by_epoch=True)
log_level = "INFO"
load_from = None
resume = False
