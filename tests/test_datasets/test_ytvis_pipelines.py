"""The pipelines of the base configs, from files on disk to the model's input."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.runner import Runner

from ..helpers.ytvis_factory import (
    COLORS,
    Instance,
    Video,
    moving_video,
    rectangle,
    write_dataset,
)

CONFIGS = Path(__file__).resolve().parents[2] / "configs/_base_/datasets"
META_KEYS = {
    "img_id",
    "img_path",
    "ori_shape",
    "img_shape",
    "scale_factor",
    "flip",
    "frame_id",
    "video_id",
    "video_length",
    "ori_video_length",
}


def load_config(name, root):
    """Base config with its data in another place."""
    cfg = Config.fromfile(CONFIGS / f"{name}.py")
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        cfg[loader].dataset.data_root = str(root)
    return cfg


def without(transforms, unwanted):
    """The pipeline without the transforms of a type, at any depth."""
    kept = []
    for transform in transforms:
        if isinstance(transform, list):
            kept.append(without(transform, unwanted))
        elif transform["type"] != unwanted:
            inner = transform.get("transforms")
            kept.append(
                dict(transform, transforms=without(inner, unwanted))
                if inner is not None
                else transform
            )
    return [t for t in kept if not isinstance(t, dict) or t.get("transforms") != []]


def build(cfg, unwanted=None):
    dataset = cfg.train_dataloader.dataset
    if unwanted:
        dataset.pipeline = without(dataset.pipeline, unwanted)
    return DATASETS.build(dataset)


def as_array(frame):
    """(H, W, 3) image of a clip's frame."""
    return frame.permute(1, 2, 0).numpy()


def shapes_video(length=6, size=(400, 300)):
    """Instances of their own colours that come, go, and are not convex."""
    w, h = size
    corner = rectangle(size, 0, 0, w // 2, 12) | rectangle(size, 0, 0, 12, h // 2)
    instances = [
        Instance(5, [corner] * length, color=COLORS[0], encoding="rle"),
        Instance(
            0,
            [
                rectangle(size, 30 + 9 * t, 50, 80, 90) if t != 2 else None
                for t in range(length)
            ],
            category_id=7,
            color=COLORS[1],
            encoding="polygon",
        ),
        Instance(
            2**35,
            [rectangle(size, w - 60 - 5 * t, h - 50, 40, 40) for t in range(length)],
            color=COLORS[2],
            encoding="compressed",
        ),
        Instance(
            -4,
            [rectangle(size, 200, 20 * t, 60, 40) if t > 3 else None for t in range(6)],
            category_id=7,
            color=COLORS[3],
            encoding="compressed",
        ),
    ]
    hide_covered_pixels(instances)
    return Video(3, length, instances, size, suffix=".png")


def hide_covered_pixels(instances):
    """Later instances are painted over earlier ones, whose masks must know it."""
    for k, instance in enumerate(instances):
        instance.masks = [None if m is None else m.copy() for m in instance.masks]
        for later in instances[k + 1 :]:
            for mask, cover in zip(instance.masks, later.masks, strict=True):
                if mask is not None and cover is not None:
                    overlap = (mask & cover).any()
                    assert not overlap or instance.encoding != "polygon"
                    mask[cover > 0] = 0


def painted_region(image, color):
    """Pixels of a colour; half of it where the image was interpolated."""
    return (np.abs(image.astype(int) - color).max(axis=2) < 128).astype(np.uint8)


def check_frame_against_pixels(sample, image, video, tolerance):
    """Every instance of a frame must be where its colour is, and no other."""
    truth = sample.gt_instances
    rows = {i: row for row, i in enumerate(truth.instances_ids.tolist())}
    assert len(rows) == len(truth.masks) == len(truth.labels) == len(truth.bboxes)
    core = cv2.getStructuringElement(cv2.MORPH_RECT, (2 * tolerance + 1,) * 2)
    for instance in video.instances:
        region = painted_region(image, instance.color)
        inner = cv2.erode(region, core, borderValue=1)
        if instance.id not in rows:
            assert not inner.any()
            continue
        row = rows[instance.id]
        mask = truth.masks.masks[row]
        assert mask.any()
        assert (mask[inner > 0] == 1).all()
        assert not (mask & (1 - cv2.dilate(region, core))).any()
        assert truth.labels[row] == {0: 0, 7: 1}[instance.category_id]
        ys, xs = np.nonzero(mask)
        tight = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
        np.testing.assert_allclose(truth.bboxes[row], tight, atol=tolerance)


@pytest.mark.parametrize("name", ["youtubevis2019", "synthvis"])
def test_masks_ids_boxes_and_labels_fit_the_pixels(tmp_path, name):
    video = shapes_video()
    write_dataset(tmp_path, [video])
    dataset = build(load_config(name, tmp_path), unwanted="UInt8PhotoMetricDistortion")
    np.random.seed(0)
    seen = set()
    for draw in range(12):
        item = dataset[(0, draw % 6)]
        for frame, sample in zip(
            item["inputs"], item["data_samples"].video_data_samples, strict=True
        ):
            assert set(sample.metainfo_keys()) >= META_KEYS
            assert sample.img_shape == frame.shape[-2:]
            check_frame_against_pixels(sample, as_array(frame), video, tolerance=4)
            seen.add(tuple(sorted(sample.gt_instances.instances_ids.tolist())))
    assert len(seen) > 2


def test_crop_and_flip_alone_are_exact(tmp_path):
    video = shapes_video()
    write_dataset(tmp_path, [video])
    cfg = load_config("youtubevis2019", tmp_path)
    crop = dict(
        type="RandomCrop",
        crop_type="absolute_range",
        crop_size=(40, 150),
        allow_negative_crop=True,
        recompute_bbox=True,
    )
    broadcaster = cfg.train_dataloader.dataset.pipeline[1]
    broadcaster.transforms[2:3] = [crop]
    dataset = build(cfg, unwanted="UInt8PhotoMetricDistortion")
    np.random.seed(1)
    counts = set()
    for draw in range(40):
        item = dataset[(0, draw % 6)]
        samples = item["data_samples"].video_data_samples
        counts.add(sum(len(sample.gt_instances) for sample in samples))
        for frame, sample in zip(item["inputs"], samples, strict=True):
            image, truth = as_array(frame), sample.gt_instances
            visible = {
                i.id for i in video.instances if (image == i.color).all(axis=2).any()
            }
            assert set(truth.instances_ids.tolist()) == visible
            check_frame_against_pixels(sample, image, video, tolerance=0)
    # From a single visible instance to all of them.
    assert len(counts) > 5


def still_video(length=9):
    """A video in which nothing changes, with texture."""
    video = Video(0, length, size=(320, 240), suffix=".png")
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    mask = rectangle((320, 240), 0, 0, 320, 240)
    video.instances = [Instance(1, [mask] * length, encoding="polygon")]
    video.image = lambda frame: noise
    return video


def test_one_geometry_per_clip_and_another_for_the_next(tmp_path):
    write_dataset(tmp_path, [still_video()])
    dataset = build(
        load_config("youtubevis2019", tmp_path), unwanted="UInt8PhotoMetricDistortion"
    )
    np.random.seed(0)
    shapes, flips, cropped = set(), 0, 0
    draws = 40
    for _ in range(draws):
        item = dataset[(0, 4)]
        clip = item["inputs"]
        assert clip.shape[:2] == (5, 3)
        assert clip.dtype == torch.uint8
        assert all(torch.equal(clip[0], frame) for frame in clip)
        metas = [frame.metainfo for frame in item["data_samples"].video_data_samples]
        for key in ("img_shape", "scale_factor", "flip"):
            assert len({meta[key] for meta in metas}) == 1
        height, width = clip.shape[-2:]
        shapes.add((height, width))
        flips += metas[0]["flip"]
        cropped += abs(width / height - 4 / 3) > 0.01
        assert 288 <= min(height, width) <= 512 or max(height, width) == 768
        assert max(height, width) <= 768
    assert len(shapes) > 12
    assert 0.3 < flips / draws < 0.7
    assert 0.3 < cropped / draws < 0.7


def test_colours_are_drawn_for_each_frame(tmp_path):
    write_dataset(tmp_path, [still_video()])
    dataset = build(load_config("youtubevis2019", tmp_path))
    np.random.seed(0)
    different = 0
    for _ in range(5):
        clip = dataset[(0, 4)]["inputs"]
        assert clip.dtype == torch.uint8
        means = clip.float().mean(dim=(2, 3))
        different += len({tuple(mean.round().tolist()) for mean in means})
    assert different > 15


def test_crowds_are_kept_apart(tmp_path):
    video = moving_video(0, suffix=".png", size=(400, 300))
    video.instances[0].iscrowd = 1
    write_dataset(tmp_path, [video])
    dataset = build(load_config("youtubevis2019", tmp_path))
    for sample in dataset[(0, 0)]["data_samples"].video_data_samples:
        assert 0 not in sample.gt_instances.instances_ids.tolist()
        assert set(sample.ignored_instances.instances_ids.tolist()) <= {0}


def preprocessor():
    return MODELS.build(
        dict(
            type="ClipDataPreprocessor",
            mean=[123.675, 116.28, 103.53],
            std=[58.395, 57.12, 57.375],
            bgr_to_rgb=True,
            pad_mask=True,
            pad_size_divisor=32,
        )
    )


def test_training_batches_from_worker_processes(tmp_path):
    videos = [moving_video(v, 4 + v, first_instance_id=2 * v) for v in range(3)]
    write_dataset(tmp_path, videos)
    cfg = load_config("youtubevis2019", tmp_path)
    cfg.train_dataloader.update(batch_size=2, num_workers=2)
    loader = Runner.build_dataloader(cfg.train_dataloader, seed=0)
    clips = 0
    for batch in loader:
        data = preprocessor()(batch, training=True)
        inputs, samples = data["inputs"], data["data_samples"]
        assert inputs.shape[1:3] == (5, 3)
        assert inputs.dtype == torch.float32
        clips += len(samples)
        for sample in samples:
            ids = set()
            for frame in sample.video_data_samples:
                truth = frame.gt_instances
                ids |= set(truth.instances_ids.tolist())
                assert frame.batch_input_shape == inputs.shape[-2:]
                assert truth.masks.masks.shape[1:] == inputs.shape[-2:]
                assert "instances" not in frame
            video_id = sample.video_data_samples[0].video_id
            assert ids <= {2 * video_id, 2 * video_id + 1}
            assert ids
    assert clips == 4 + 5 + 6


def test_workers_draw_the_same_clips_when_training_is_resumed(tmp_path):
    write_dataset(tmp_path, [moving_video(0, 8, size=(160, 96))])
    cfg = load_config("synthvis", tmp_path)
    cfg.train_dataloader.num_workers = 1

    def second_epoch(first_too):
        loader = Runner.build_dataloader(cfg.train_dataloader, seed=0)
        if first_too:
            loader.sampler.set_epoch(0)
            list(loader)
        loader.sampler.set_epoch(1)
        return [clip for batch in loader for clip in batch["inputs"]]

    for a, b in zip(second_epoch(True), second_epoch(False), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("name", "split", "size"),
    [("youtubevis2019", "valid", (360, 480)), ("synthvis", "val", (96, 128))],
)
def test_whole_videos_for_the_evaluation(tmp_path, name, split, size):
    videos = [moving_video(4, 3), moving_video(0, 5, first_instance_id=7)]
    write_dataset(tmp_path, videos, split=split, annotated=False)
    cfg = load_config(name, tmp_path)
    loader = Runner.build_dataloader(cfg.val_dataloader, seed=0)
    batches = list(loader)
    assert len(batches) == 2
    for batch, (video_id, length) in zip(batches, [(4, 3), (0, 5)], strict=True):
        data = preprocessor()(batch, training=False)
        (sample,) = data["data_samples"]
        assert data["inputs"].shape[1] == len(sample) == length
        for t, frame in enumerate(sample.video_data_samples):
            assert set(frame.metainfo_keys()) >= META_KEYS
            assert (frame.video_id, frame.frame_id) == (video_id, t)
            assert (frame.ori_shape, frame.img_shape) == ((48, 64), size)
            assert frame.scale_factor == (size[1] / 64, size[0] / 48)
            assert frame.flip is False


def test_base_configs_name_their_data():
    for year in (2019, 2021):
        cfg = Config.fromfile(CONFIGS / f"youtubevis{year}.py")
        root = f"data/youtube_vis_{year}/"
        for split, loader in (
            ("train", cfg.train_dataloader),
            ("valid", cfg.val_dataloader),
            ("valid", cfg.test_dataloader),
        ):
            assert loader.dataset.data_root == root
            assert loader.dataset.ann_file == f"{split}.json"
        for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
            assert evaluator.ann_file == f"{root}valid.json"
            assert evaluator.format_only
