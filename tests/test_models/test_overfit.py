"""Training a small model on one clip until it knows it by heart."""

from mmengine.config import Config
from mmengine.runner import Runner

from ..helpers.golden import REPO_ROOT
from ..helpers.ytvis_factory import Instance, Video, rectangle, write_dataset

NUM_FRAMES = 5
SIZE = (96, 64)


def look_alikes() -> Video:
    """Two instances of one class and one colour that move past each other.

    Masks are learned at a quarter of the resolution, and the outermost cells repeat
    their neighbours: edges lie on multiples of 4 away from the upper and left border,
    or no model could reach the highest IoU thresholds with instances this small.
    """
    masks = [
        [rectangle(SIZE, 8 + 12 * t, 8, 32, 24) for t in range(NUM_FRAMES)],
        [rectangle(SIZE, 56 - 12 * t, 36, 32, 24) for t in range(NUM_FRAMES)],
    ]
    color = (40, 160, 220)
    instances = [Instance(i, masks[i], category_id=0, color=color) for i in range(2)]
    return Video(0, NUM_FRAMES, instances, SIZE)


def test_one_clip_of_two_look_alikes(tmp_path):
    write_dataset(tmp_path, [look_alikes()], "train")
    config = Config.fromfile(REPO_ROOT / "configs/taformer/taformer_tiny_synthvis.py")
    config.merge_from_dict(
        {
            "work_dir": str(tmp_path / "work_dir"),
            "experiment_name": tmp_path.name,
            "randomness": dict(seed=0),
            "model.num_queries": 8,
            "model.bbox_head.num_classes": 2,
            "train_dataloader.batch_size": 1,
            "train_dataloader.num_workers": 0,
            "val_dataloader.num_workers": 0,
            "default_hooks.checkpoint.save_best": None,
            "train_dataloader.dataset.data_root": str(tmp_path),
            "val_dataloader.dataset.data_root": str(tmp_path),
            "val_dataloader.dataset.ann_file": "train.json",
            "val_dataloader.dataset.data_prefix.img_path": "train/JPEGImages",
            "val_evaluator.ann_file": str(tmp_path / "train.json"),
        }
    )
    # The clip as it is, over and over: an epoch is one pass over its five frames.
    for loader, index in ((config.train_dataloader, 1), (config.val_dataloader, 0)):
        transforms = loader.dataset.pipeline[index].transforms
        left_out = ("RandomFlip", "Resize")
        transforms[:] = [t for t in transforms if t.type not in left_out]
    config.train_dataloader.dataset.pipeline[0].num_frames = NUM_FRAMES
    epochs = 85
    config.train_cfg.update(max_epochs=epochs, val_interval=epochs)
    config.param_scheduler[0].end = epochs
    config.test_dataloader, config.test_evaluator, config.test_cfg = None, None, None

    runner = Runner.from_cfg(config)
    runner.train()
    metrics = runner.val_loop.run()

    assert metrics["youtube_vis/AP"] >= 0.9
