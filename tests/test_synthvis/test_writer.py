import hashlib
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from mmdet.evaluation.functional import YTVIS

from mmtaformer.datasets import YTVISDataset
from mmtaformer.synthvis import (
    CLASSES,
    DIFFICULTIES,
    SplitOptions,
    generate_video,
    writer,
)
from mmtaformer.synthvis.writer import write_synthvis
from mmtaformer.utils.errors import DataError, UsageError

ARGS = dict(num_videos=3, num_frames=5, size=(96, 64), seed=5, difficulty="medium")


def write(out_dir, split="train", **changes):
    return write_synthvis(out_dir, split, **{**ARGS, **changes})


def digests(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write(root)
    return root


@pytest.fixture(scope="module")
def content(root):
    return json.loads((root / "train.json").read_text())


@pytest.mark.parametrize("workers", [1, 2])
def test_the_same_options_give_the_same_bytes(root, tmp_path, workers):
    write(tmp_path, workers=workers)
    assert digests(tmp_path) == digests(root)


def test_layout(root, content):
    images = root / "train" / "JPEGImages"
    named = {name for video in content["videos"] for name in video["file_names"]}
    assert named == {str(p.relative_to(images)) for p in images.rglob("*.jpg")}
    assert "00001/00004.jpg" in named
    assert sorted(path.name for path in root.iterdir()) == ["train", "train.json"]


def test_frames_have_the_size_of_the_file(root, content):
    for video in content["videos"]:
        assert video["length"] == len(video["file_names"]) == 5
        for name in video["file_names"]:
            image = cv2.imread(str(root / "train" / "JPEGImages" / name))
            assert image.shape == (video["height"], video["width"], 3) == (64, 96, 3)


def test_ids_are_unique_and_known(content):
    for key in ("videos", "annotations", "categories"):
        ids = [entry["id"] for entry in content[key]]
        assert len(set(ids)) == len(ids) > 0
    video_ids = {video["id"] for video in content["videos"]}
    assert {a["video_id"] for a in content["annotations"]} <= video_ids
    assert [c["name"] for c in content["categories"]] == list(CLASSES)


def test_the_official_reader_decodes_the_masks_of_the_videos(root):
    api = YTVIS(str(root / "train.json"))
    options = SplitOptions("train", **ARGS)
    for index, video_id in enumerate(sorted(api.getVidIds())):
        video = generate_video(options, index)
        annotations = api.loadAnns(api.getAnnIds(vidIds=[video_id]))
        seen = video.masks.sum(axis=(2, 3)).max(axis=1) >= 8
        assert [a["category_id"] for a in annotations] == (
            video.labels[seen] + 1
        ).tolist()
        for annotation, masks in zip(annotations, video.masks[seen], strict=True):
            assert annotation["iscrowd"] == 0
            for time, mask in enumerate(masks):
                entries = [
                    annotation[k][time] for k in ("segmentations", "bboxes", "areas")
                ]
                if mask.sum() < 8:
                    assert entries == [None] * 3
                    continue
                np.testing.assert_array_equal(api.annToMask(annotation, time), mask)
                assert isinstance(entries[0]["counts"], list)
                assert entries[2] == mask.sum()


def test_the_dataset_class_loads_it(root):
    dataset = YTVISDataset(
        data_root=str(root),
        ann_file="train.json",
        data_prefix=dict(img_path="train/JPEGImages"),
        pipeline=[],
    )
    assert len(dataset) == 3
    assert tuple(dataset.metainfo["classes"]) == CLASSES


def test_a_split_that_exists_is_left_alone(root, monkeypatch):
    monkeypatch.setattr(writer, "generate_video", None)
    assert write(root) == root / "train.json"


def test_other_options_are_named_and_need_overwrite(tmp_path):
    write(tmp_path, num_videos=2, num_frames=2)
    before = digests(tmp_path)
    with pytest.raises(DataError, match=r"seed is 5, not 6.*--overwrite"):
        write(tmp_path, num_videos=2, num_frames=2, seed=6)
    with pytest.raises(DataError, match=r"\(difficulty is medium, not easy\)"):
        write(tmp_path, num_videos=2, num_frames=2, difficulty="easy")
    assert digests(tmp_path) == before
    write(tmp_path, num_videos=1, num_frames=2, seed=6, overwrite=True)
    info = json.loads((tmp_path / "train.json").read_text())["info"]
    assert info["options"]["seed"] == 6
    assert len(list(tmp_path.rglob("*.jpg"))) == 2


def test_data_of_other_knobs_are_other_data(tmp_path, monkeypatch):
    write(tmp_path, num_videos=1, num_frames=2)
    faster = replace(DIFFICULTIES["medium"], speed=0.5)
    monkeypatch.setitem(DIFFICULTIES, "medium", faster)
    with pytest.raises(DataError, match=r"\(speed is [0-9.]+, not 0\.5\)"):
        write(tmp_path, num_videos=1, num_frames=2)


def test_missing_frames_are_noticed(tmp_path):
    write(tmp_path, num_videos=1, num_frames=2)
    before = digests(tmp_path)
    frame = tmp_path / "train" / "JPEGImages" / "00000" / "00001.jpg"
    frame.unlink()
    with pytest.raises(DataError, match=r"00001\.jpg does not.*--overwrite"):
        write(tmp_path, num_videos=1, num_frames=2)
    write(tmp_path, num_videos=1, num_frames=2, overwrite=True)
    assert digests(tmp_path) == before


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("text", ['{"videos": []}', "[]", "{", '{"info": {}}'])
def test_files_of_another_origin_are_never_touched(tmp_path, text, overwrite):
    (tmp_path / "train.json").write_text(text)
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match="was not written by this generator"):
        write(tmp_path, overwrite=overwrite)
    assert (tmp_path / "train.json").read_text() == text
    assert (tmp_path / "train").is_dir()


def test_a_folder_without_its_file_needs_overwrite(tmp_path):
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match="exists without"):
        write(tmp_path)


@pytest.mark.parametrize("existing", [False, True])
def test_an_interrupted_run_leaves_what_was_there(tmp_path, monkeypatch, existing):
    if existing:
        write(tmp_path, num_videos=1, num_frames=2)
    before = digests(tmp_path)

    def interrupted(options, index):
        if index:
            raise KeyboardInterrupt
        return generate_video(options, index)

    monkeypatch.setattr(writer, "generate_video", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, overwrite=existing)
    assert digests(tmp_path) == before
    assert (tmp_path / "train.json").exists() == existing


def test_what_a_killed_run_left_is_removed(root, tmp_path):
    leftover = tmp_path / ".train.partial" / "JPEGImages" / "00000"
    leftover.mkdir(parents=True)
    (leftover / "00099.jpg").write_bytes(b"half a frame")
    write(tmp_path)
    assert digests(tmp_path) == digests(root)


def test_the_annotation_file_appears_last(tmp_path, monkeypatch):
    def fail_at_json(source, target):
        if str(target) == str(tmp_path / "train.json"):
            raise KeyboardInterrupt
        os_replace(source, target)

    os_replace = writer.os.replace
    monkeypatch.setattr(writer.os, "replace", fail_at_json)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, num_videos=1, num_frames=2)
    assert not (tmp_path / "train.json").exists()
    assert len(list((tmp_path / "train").rglob("*.jpg"))) == 2


def test_workers_must_be_positive(tmp_path):
    with pytest.raises(UsageError, match="workers is 0"):
        write(tmp_path, workers=0)
