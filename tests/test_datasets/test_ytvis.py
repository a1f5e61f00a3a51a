import json
import pickle

import numpy as np
import pytest
from mmdet.datasets.samplers import TrackImgSampler
from mmdet.registry import DATASETS
from pycocotools import mask as mask_utils

from mmtaformer.utils.errors import DataError

from ..helpers.ytvis_factory import (
    COLORS,
    Instance,
    Video,
    moving_video,
    rectangle,
    write_dataset,
)

SIZE = (64, 48)


def build(root, split="train", **kwargs):
    return DATASETS.build(
        dict(
            type="YTVISDataset",
            data_root=str(root),
            ann_file=f"{split}.json",
            data_prefix=dict(img_path=f"{split}/JPEGImages"),
            **kwargs,
        )
    )


def video_with_gaps():
    """Id 0 leaves after two frames, id 1 comes in the last one, frame 2 is empty."""
    mask = rectangle(SIZE, 5, 5, 20, 10)
    return Video(
        0,
        4,
        [
            Instance(0, [mask, mask, None, None], category_id=7, encoding="polygon"),
            Instance(1, [None, None, None, mask], category_id=0, color=COLORS[1]),
        ],
    )


@pytest.fixture
def root(tmp_path):
    write_dataset(
        tmp_path, [video_with_gaps(), moving_video(-9, 7, first_instance_id=2)]
    )
    return tmp_path


def test_videos_frames_and_instances(root):
    dataset = build(root)
    assert len(dataset) == 2
    assert dataset.metainfo["classes"] == ("cat", "ant")
    assert len(dataset.metainfo["palette"]) == 2
    first, second = dataset.get_data_info(0), dataset.get_data_info(1)
    assert (first["video_id"], first["video_length"]) == (0, 4)
    assert (second["video_id"], second["video_length"]) == (-9, 7)
    assert [image["frame_id"] for image in first["images"]] == [0, 1, 2, 3]
    image_ids = [i["img_id"] for info in (first, second) for i in info["images"]]
    assert image_ids == list(range(11))
    ids = [[i["instance_id"] for i in image["instances"]] for image in first["images"]]
    assert ids == [[0], [0], [], [1]]
    instance = first["images"][0]["instances"][0]
    assert instance["bbox"] == [5, 5, 25, 15]
    assert instance["bbox_label"] == 1
    np.testing.assert_array_equal(
        mask_utils.decode(instance["mask"]), rectangle(SIZE, 5, 5, 20, 10)
    )


def test_subset_of_classes(root):
    dataset = build(root, metainfo=dict(classes=["ant"]))
    assert dataset.metainfo["classes"] == ("ant",)
    labels = {
        (instance["instance_id"], instance["bbox_label"])
        for index in range(len(dataset))
        for image in dataset.get_data_info(index)["images"]
        for instance in image["instances"]
    }
    assert labels == {(0, 0), (3, 0)}


def test_given_palette_is_kept(root):
    palette = [(1, 2, 3), (4, 5, 6)]
    assert build(root, metainfo=dict(palette=palette)).metainfo["palette"] == palette


def test_class_list_that_contradicts_the_file(root):
    with pytest.raises(ValueError, match=r"asks for \['dog'\].*train.json"):
        build(root, metainfo=dict(classes=["cat", "dog"]))


def test_malformed_masks_name_the_file(root):
    content = json.loads((root / "train.json").read_text())
    content["annotations"][1]["segmentations"][3]["size"] = [1, 1]
    (root / "train.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"train.json: annotation 1, video 0, frame 3"):
        build(root)


def test_broken_masks_of_unused_classes_are_found_as_well(root):
    content = json.loads((root / "train.json").read_text())
    content["annotations"][1]["segmentations"][3]["counts"] = []
    (root / "train.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"annotation 1, video 0, frame 3 \(video0/00"):
        build(root, metainfo=dict(classes=["ant"]))


@pytest.mark.parametrize("kind", ["dots", "absolute", "link"])
def test_frames_outside_of_the_image_folder_are_refused(root, kind):
    content = json.loads((root / "train.json").read_text())
    folder = root / "train/JPEGImages"
    name = content["videos"][0]["file_names"][1]
    (folder / name).rename(root / "outside.jpg")
    if kind == "link":
        (folder / name).symlink_to(root / "outside.jpg")
    else:
        outside = "../../outside.jpg" if kind == "dots" else str(root / "outside.jpg")
        content["videos"][0]["file_names"][1] = outside
    (root / "train.json").write_text(json.dumps(content))
    message = r"video 0: the frame .* lies outside .* allow_outside_root=True"
    with pytest.raises(DataError, match=message):
        build(root)
    dataset = build(root, allow_outside_root=True)
    assert len(dataset.get_data_info(0)["images"]) == 4


def test_missing_images_stop_before_training_unless_told_otherwise(root):
    (root / "train/JPEGImages/video0/00005.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"video0/00005.jpg \(video 0\)"):
        build(root)
    assert len(build(root, check_files=False)) == 2


def empty_video(video_id):
    return Video(video_id, 3)


def crowd_video(video_id, instance_id):
    mask = rectangle(SIZE, 5, 5, 20, 10)
    return Video(video_id, 2, [Instance(instance_id, [mask] * 2, iscrowd=1)])


def test_videos_without_targets_are_left_out_in_training_only(tmp_path):
    videos = [empty_video(1), moving_video(2), crowd_video(3, 50)]
    write_dataset(tmp_path, videos)
    assert [v["video_id"] for v in build(tmp_path)] == [2]
    assert len(build(tmp_path, filter_cfg=dict(filter_empty_gt=False))) == 3
    assert len(build(tmp_path, test_mode=True)) == 3


@pytest.mark.parametrize("annotated", [True, False])
def test_nothing_to_train_on_is_one_message_at_once(tmp_path, annotated):
    write_dataset(tmp_path, [empty_video(1), crowd_video(3, 50)], annotated=annotated)
    message = r"train.json has no instance of the classes \['cat', 'ant'\].*test_mode"
    with pytest.raises(ValueError, match=message):
        build(tmp_path)


def test_published_validation_files_load_in_test_mode(tmp_path):
    write_dataset(tmp_path, [moving_video(0)], split="valid", annotated=False)
    dataset = build(tmp_path, "valid", test_mode=True)
    clip = dataset[0]
    assert clip["video_id"] == [0] * 6
    assert clip["video_length"] == clip["ori_video_length"] == [6] * 6
    assert all(path.startswith(str(tmp_path / "valid")) for path in clip["img_path"])


@pytest.mark.parametrize("world_size", [1, 3])
def test_an_epoch_visits_every_frame_as_key_frame(root, world_size, monkeypatch):
    dataset = build(root)
    expected = {(0, t) for t in range(4)} | {(1, t) for t in range(7)}
    orders = []
    for epoch in range(2):
        visited = []
        for rank in range(world_size):
            monkeypatch.setattr(
                "mmdet.datasets.samplers.track_img_sampler.get_dist_info",
                lambda rank=rank: (rank, world_size),
            )
            sampler = TrackImgSampler(dataset, seed=3)
            sampler.set_epoch(epoch)
            visited += list(sampler)
        assert set(visited) == expected
        assert len(visited) - len(expected) < world_size
        orders.append(visited)
    assert orders[0] != orders[1]


@pytest.mark.parametrize("serialize", [True, False])
def test_clips_leave_no_trace_in_the_data_set(root, serialize):
    pipeline = [
        dict(type="ClipSample", num_frames=9),
        dict(
            type="TransformBroadcaster",
            share_random_params=True,
            transforms=[
                dict(type="LoadFrame"),
                dict(type="LoadVideoAnnotations", with_mask=True),
                dict(type="RandomFlip", prob=0.5),
            ],
        ),
    ]
    dataset = build(root, serialize_data=serialize, pipeline=pipeline)
    before = [pickle.dumps(dataset.get_data_info(i)) for i in range(2)]
    for epoch in range(2):
        for frame in range(4):
            clip = dataset[(0, frame)]
            assert clip["video_length"] == [9] * 9, epoch
            assert clip["ori_video_length"] == [4] * 9, epoch
    assert [pickle.dumps(dataset.get_data_info(i)) for i in range(2)] == before


def test_a_clip_without_instances_is_replaced(root):
    pipeline = [
        dict(type="ClipSample", num_frames=1),
        dict(
            type="TransformBroadcaster",
            transforms=[
                dict(type="LoadFrame"),
                dict(type="LoadVideoAnnotations", with_mask=True),
            ],
        ),
        dict(type="FilterEmptyClip"),
    ]
    dataset = build(root, pipeline=pipeline)
    for _ in range(10):
        clip = dataset[(0, 2)]
        assert len(clip["gt_masks"][0]) > 0
        assert (clip["video_id"], clip["frame_id"]) != ([0], [2])


def test_annotations_are_read_once(root, monkeypatch):
    dataset = build(root)
    monkeypatch.setattr(json, "loads", lambda *_: pytest.fail("read again"))
    assert dataset.get_len_per_video(1) == 7
    assert dataset.get_cat_ids((0, 3)) == [0]
