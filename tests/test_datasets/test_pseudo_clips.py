"""COCO images as clips: from files on disk to the model's input."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.datasets import CocoDataset, YouTubeVISDataset
from mmdet.registry import DATASETS, TRANSFORMS
from mmdet.structures.bbox import get_box_tensor
from mmengine.config import Config
from mmengine.runner import Runner

from mmtaformer.datasets.concat_clips import ConcatClipDataset
from mmtaformer.datasets.pseudo_clips import CocoPseudoClipDataset
from mmtaformer.datasets.transforms.pseudo_clip import RepeatFrame
from mmtaformer.utils.errors import DataError, UsageError

from ..helpers.coco_factory import write_coco
from ..helpers.ytvis_factory import (
    CATEGORIES,
    COLORS,
    moving_video,
    rectangle,
    write_dataset,
)

CONFIGS = Path(__file__).resolve().parents[2] / "configs/_base_/datasets"
SIZE = (240, 160)  # width, height


LONG, SQUARE = rectangle(SIZE, 40, 90, 160, 12), rectangle(SIZE, 100, 30, 40, 30)
# At the left, above the middle: a rotation to one side turns it out of the image.
EDGE = rectangle(SIZE, 0, 36, 4, 6)

NO_WORKERS = dict(num_workers=0, persistent_workers=False, pin_memory=False)


def load_config(name, root):
    """Base config with its data in other places."""
    cfg = Config.fromfile(CONFIGS / f"{name}.py")
    dataset = cfg.train_dataloader.dataset
    for part in dataset.get("datasets", [dataset]):
        folder = "coco" if part.type == "CocoPseudoClipDataset" else "ytvis"
        part.data_root = str(root / folder)
    return cfg


def rotation_only(cfg):
    """The data set without the geometry that follows the rotation."""
    dataset = cfg.train_dataloader.dataset
    dataset.pipeline = [t for t in dataset.pipeline if not t.get("share_random_params")]
    return DATASETS.build(dataset)


def direction(mask):
    """Angle of the long axis of a mask against the x axis, in degrees."""
    points = np.argwhere(mask)[:, ::-1].astype(float)
    axis = np.linalg.eigh(np.cov(points.T))[1][:, -1]
    return float(np.degrees(np.arctan(axis[1] / axis[0])))


def frames_of(item):
    for picture, sample in zip(
        item["inputs"], item["data_samples"].video_data_samples, strict=True
    ):
        yield picture.permute(1, 2, 0).numpy().astype(int), sample.gt_instances


def test_every_copy_is_rotated_by_its_own_angle(tmp_path):
    write_coco(tmp_path / "coco", {7: [("cat", LONG, "compressed", 0)]})
    dataset = rotation_only(load_config("coco_pseudo_clips", tmp_path))
    np.random.seed(0)
    angles = []
    for _ in range(12):
        clip = [direction(truth.masks.masks[0]) for _, truth in frames_of(dataset[0])]
        assert len({round(angle, 1) for angle in clip}) > 1
        angles += clip
    assert len(angles) == 60
    # Within the limits, all over them, to both sides.
    assert max(map(abs, angles)) < 20.5
    assert np.histogram(angles, bins=4, range=(-20, 20))[0].min() > 4


def test_masks_boxes_and_pixels_agree(tmp_path):
    instances = [("cat", LONG, "rle", 0), ("car", SQUARE, "polygon", 0)]
    write_coco(tmp_path / "coco", {7: instances})
    dataset = rotation_only(load_config("coco_pseudo_clips", tmp_path))
    np.random.seed(1)
    for _ in range(3):
        for picture, truth in frames_of(dataset[0]):
            ids = truth.instances_ids.tolist()
            assert ids == [0, 1]
            # Labels are places in COCO's list of 80 classes, whatever the file's ids.
            names = [CocoDataset.METAINFO["classes"][i] for i in truth.labels]
            assert names == ["cat", "car"]
            boxes = get_box_tensor(truth.bboxes).tolist()
            for number, mask, box in zip(ids, truth.masks.masks, boxes, strict=True):
                painted = abs(picture - COLORS[number]).max(axis=2) < 100
                union = (painted | (mask > 0)).sum()
                assert (painted & (mask > 0)).sum() / union > 0.95
                ys, xs = np.nonzero(mask)
                tight = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
                assert box == [float(value) for value in tight]


def test_instances_that_turn_out_of_the_image_are_absent(tmp_path):
    instances = [("cat", LONG, "compressed", 0), ("car", EDGE, "compressed", 0)]
    write_coco(tmp_path / "coco", {7: instances})
    dataset = rotation_only(load_config("coco_pseudo_clips", tmp_path))
    np.random.seed(0)
    present = 0
    for _ in range(12):
        for picture, truth in frames_of(dataset[0]):
            ids = truth.instances_ids.tolist()
            lengths = {len(value) for value in truth.values()}
            assert lengths == {len(ids)}
            assert (truth.masks.areas > 0).all()
            assert 0 in ids
            visible = (abs(picture - COLORS[1]).max(axis=2) < 60).any()
            assert visible <= (1 in ids)
            present += 1 in ids
    assert 5 < present < 55


def test_clips_look_like_those_of_videos(tmp_path):
    write_coco(tmp_path / "coco", {7: [("cat", LONG, "compressed", 0)]})
    write_dataset(tmp_path / "ytvis", [moving_video(0, 8, size=(320, 240))])
    pseudo = DATASETS.build(
        load_config("coco_pseudo_clips", tmp_path).train_dataloader.dataset
    )
    videos = DATASETS.build(
        load_config("youtubevis2019", tmp_path).train_dataloader.dataset
    )
    np.random.seed(0)
    reference = videos[(0, 3)]["data_samples"].video_data_samples[0]
    shapes = set()
    for _ in range(10):
        item = pseudo[0]
        samples = item["data_samples"].video_data_samples
        assert item["inputs"].dtype == torch.uint8
        assert item["inputs"].shape == (5, 3, *samples[0].img_shape)
        shapes.add(samples[0].img_shape)
        # One geometry per clip, after rotations that differ.
        for key in ("img_shape", "scale_factor", "flip"):
            assert len({sample.metainfo[key] for sample in samples}) == 1
        assert not torch.equal(item["inputs"][0], item["inputs"][1])
        assert [sample.frame_id for sample in samples] == [0, 1, 2, 3, 4]
        for sample in samples:
            assert set(sample.metainfo_keys()) == set(reference.metainfo_keys())
            assert set(sample.gt_instances.keys()) == set(reference.gt_instances.keys())
            for key, value in sample.gt_instances.items():
                assert type(value) is type(reference.gt_instances[key])
            assert (sample.video_id, sample.ori_shape) == (7, (160, 240))
            assert sample.video_length == 5
    assert len(shapes) > 4


def test_copies_share_nothing():
    frame = dict(
        img_id=[3], frame_id=[0], video_length=[1], ori_video_length=[1], instances=[[]]
    )
    box = torch.zeros(1, 4)
    clip = RepeatFrame(3)(dict(frame, img=[np.zeros((2, 2, 3))], gt_bboxes=[box]))
    clip["gt_bboxes"][0] += 1
    clip["img"][2] += 1
    assert [b.sum().item() for b in clip["gt_bboxes"]] == [4, 0, 0]
    assert [i.sum() for i in clip["img"]] == [0, 0, 12]
    assert box.sum() == 0
    assert clip["video_length"] == [3, 3, 3]
    with pytest.raises(UsageError, match=r"2 frames.*ClipSample"):
        RepeatFrame(3)(dict(img_id=[0, 1]))
    with pytest.raises(UsageError, match="at least 1"):
        TRANSFORMS.build(dict(type="RepeatFrame", num_frames=0))


def many(count):
    return [("cat", SQUARE, "compressed", 0)] * count


def test_which_images_an_epoch_visits(tmp_path):
    images = {
        1: many(2),
        2: [],
        3: [("cat", SQUARE, "rle", 1)],
        4: many(26),
        5: many(25),
        6: [("cat", SQUARE, "compressed", 0), ("car", LONG, "rle", 1)],
    }
    write_coco(tmp_path / "coco", images)
    cfg = load_config("coco_pseudo_clips", tmp_path)
    cfg.train_dataloader.update(batch_size=1, **NO_WORKERS)
    loader = Runner.build_dataloader(cfg.train_dataloader, seed=0)
    samples = [batch["data_samples"][0].video_data_samples[0] for batch in loader]
    assert sorted(sample.img_id for sample in samples) == [1, 5, 6]
    for sample in samples:
        # The crowd is neither a target nor an ignored region.
        assert len(sample.ignored_instances) == 0
        assert len(sample.gt_instances) <= {1: 2, 5: 25, 6: 1}[sample.img_id]


def build_coco(root, **options):
    return CocoPseudoClipDataset(
        data_root=str(root / "coco"),
        ann_file="annotations/instances_train2017.json",
        data_prefix=dict(img="train2017/"),
        pipeline=[],
        **options,
    )


def test_categories_are_mapped_by_the_given_names_only(tmp_path):
    names = ("car", "cat", "mouse", "toothbrush")
    square = {name: (name, SQUARE, "rle", 0) for name in names}
    images = {number: [square[name]] for number, name in enumerate(names)}
    write_coco(tmp_path / "coco", {**images, 9: [square["cat"], square["mouse"]]})
    classes = ("mouse", "sedan", "cat")
    dataset = build_coco(
        tmp_path,
        metainfo=dict(classes=classes),
        class_map={"car": "sedan", "cat": "cat"},
    )
    found = {
        image["img_id"]: [classes[i["bbox_label"]] for i in image["instances"]]
        for image in map(dataset.get_data_info, range(len(dataset)))
    }
    assert found == {0: ["sedan"], 1: ["cat"], 9: ["cat"]}


@pytest.mark.parametrize(
    ("class_map", "message"),
    [
        ({"lorry": "sedan"}, r"names \['lorry'\], but the categories of .* are \['air"),
        ({"car": "lorry"}, r"names \['lorry'\].*classes'\] are \['cat', 'sedan'\]"),
        ({"toothbrush": "cat"}, "No image of .* has 1 to 25 instances"),
        (None, r"names \['sedan'\]"),
    ],
)
def test_class_maps_that_do_not_fit(tmp_path, class_map, message):
    write_coco(tmp_path / "coco", {1: many(1)})
    with pytest.raises(ValueError, match=message):
        build_coco(
            tmp_path,
            metainfo=dict(classes=("sedan", "cat")),
            class_map=class_map,
            max_instances=25,
        )


def test_broken_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"instances_train2017.json does not"):
        build_coco(tmp_path)
    content = write_coco(tmp_path / "coco", {1: many(1)})
    path = tmp_path / "coco/annotations/instances_train2017.json"
    only_cat = dict(metainfo=dict(classes=("cat",)))

    del content["annotations"][0]["segmentation"]
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="annotation 0 has no 'segmentation'"):
        build_coco(tmp_path, **only_cat)

    content["annotations"] = []
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"train2017.json has no 'annotations'"):
        build_coco(tmp_path, **only_cat)


COCO_BREAKAGES = {
    "no list": (lambda c: c.update(images={}), "has no 'images'"),
    "image without id": (lambda c: c["images"][0].pop("id"), "entry 0 of 'images'"),
    "image without size": (
        lambda c: c["images"][0].update(width="240"),
        r"image 1 has width and height \('240', 160\)",
    ),
    "image outside": (
        lambda c: c["images"][0].update(file_name="../1.png"),
        r"video 1: the frame ../1.png lies outside .* allow_outside_root=True",
    ),
    "category without name": (
        lambda c: c["categories"][0].update(name=None),
        "category .* has no 'name'",
    ),
    "unknown image": (
        lambda c: c["annotations"][0].update(image_id=[1]),
        r"annotation 0 has image_id \[1\], which is not in the file",
    ),
    "box": (
        lambda c: c["annotations"][0].update(bbox=[1, 2, -3, 4]),
        r"annotation 0: the box \[1, 2, -3, 4\]",
    ),
    "area": (
        lambda c: c["annotations"][0].update(area=float("nan")),
        "annotation 0: the area nan",
    ),
    "crowd": (
        lambda c: c["annotations"][0].update(iscrowd="no"),
        "annotation 0 has 'iscrowd' 'no'",
    ),
    "polygon": (
        lambda c: c["annotations"][0].update(segmentation=[[1, 2, 3, 4]]),
        "annotation 0: a polygon has 2 points",
    ),
    "run lengths": (
        lambda c: c["annotations"][0]["segmentation"].update(counts="Q1460_"),
        "annotation 0: the 'counts' of the mask",
    ),
}


@pytest.mark.parametrize("case", COCO_BREAKAGES)
def test_broken_entries_are_named(tmp_path, case):
    breakage, message = COCO_BREAKAGES[case]
    content = write_coco(tmp_path / "coco", {1: many(1)})
    breakage(content)
    path = tmp_path / "coco/annotations/instances_train2017.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=f"instances_train2017.json.*{message}"):
        build_coco(tmp_path, metainfo=dict(classes=("cat",)))


def joint(tmp_path, classes=("cat", "ant")):
    """Two videos of 4 and 6 frames and two images, as the joint configs join them."""
    videos = [moving_video(10, 4), moving_video(11, 6, first_instance_id=5)]
    write_dataset(tmp_path / "ytvis", videos)
    write_coco(tmp_path / "coco", {20: many(1), 21: many(1), 22: []})
    cfg = load_config("joint_coco_youtubevis2019", tmp_path)
    parts = cfg.train_dataloader.dataset.datasets
    parts[0].metainfo = dict(classes=tuple(c["name"] for c in CATEGORIES))
    parts[1].metainfo = dict(classes=classes)
    parts[1].class_map = {"cat": "cat"}
    return cfg


def test_joint_training_visits_every_frame_and_image_once(tmp_path):
    cfg = joint(tmp_path)
    cfg.train_dataloader.update(batch_size=1, **NO_WORKERS)
    # Without the transforms that may draw another clip.
    for part in cfg.train_dataloader.dataset.datasets:
        part.pipeline = part.pipeline[:1]
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    assert len(dataset) == 4 + 6 + 2
    videos = [dataset[i]["video_id"][0] for i in range(len(dataset))]
    assert videos == [10] * 4 + [11] * 6 + [20, 21]
    # The clip around a key frame holds the key frame.
    for index in range(10):
        assert (index if index < 4 else index - 4) in dataset[index]["frame_id"]
    sampler = Runner.build_dataloader(cfg.train_dataloader, seed=0).sampler
    assert sorted(sampler) == list(range(12))


def test_joint_training_batches_mix_both(tmp_path):
    cfg = joint(tmp_path)
    cfg.train_dataloader.update(batch_size=4, **NO_WORKERS)
    loader = Runner.build_dataloader(cfg.train_dataloader, seed=0)
    assert tuple(loader.dataset.metainfo["classes"]) == ("cat", "ant")
    seen = set()
    for batch in loader:
        for clip, sample in zip(batch["inputs"], batch["data_samples"], strict=True):
            assert clip.shape[:2] == (5, 3)
            seen.add(sample.video_data_samples[0].video_id)
    assert seen == {10, 11, 20, 21}


def test_joint_training_needs_the_same_classes(tmp_path):
    cfg = joint(tmp_path, classes=("cat", "dog"))
    with pytest.raises(ValueError, match=r"\['cat', 'dog'\], but .*\['cat', 'ant'\]"):
        ConcatClipDataset(cfg.train_dataloader.dataset.datasets)


@pytest.mark.parametrize("year", ["2019", "2021"])
def test_joint_configs_name_real_classes(year):
    videos, images = Config.fromfile(
        CONFIGS / f"joint_coco_youtubevis{year}.py"
    ).train_dataloader.dataset.datasets
    YouTubeVISDataset.set_dataset_classes(year)
    classes = YouTubeVISDataset.METAINFO["classes"]
    assert videos.metainfo.classes == images.metainfo.classes == classes
    assert videos.data_root == f"data/youtube_vis_{year}/"
    assert set(images.class_map) <= set(CocoDataset.METAINFO["classes"])
    assert set(images.class_map.values()) <= set(classes)
    same = set(CocoDataset.METAINFO["classes"]) & set(classes)
    assert same - set(images.class_map) == {"mouse"}
