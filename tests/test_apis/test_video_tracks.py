import json

import av
import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_utils

from mmtaformer.apis import VideoInfo, VideoTracks
from mmtaformer.apis.sources import open_source
from mmtaformer.datasets import YTVISDataset
from mmtaformer.evaluation import evaluate_ytvis
from mmtaformer.utils.errors import UsageError
from mmtaformer.visualization import Track

from ..helpers.videos import SIZE, encode, rectangle

COUNT = 4
CLASSES = ("cat", "dog")


def masks_of(index):
    """Bool masks: the first moves, the second lies under it, the third is absent."""
    masks = {
        0: [rectangle(2 + 4 * t, 10, 20, 12) for t in range(COUNT)],
        1: [rectangle(10, 12, 30, 30) if t != 2 else None for t in range(COUNT)],
        2: [rectangle(50, 0, 8, 8)] * COUNT,
    }
    return masks[index]


def make_track(index, label, score):
    masks = [None if m is None else encode(m) for m in masks_of(index)]
    boxes = []
    for rle in masks:
        x, y, w, h = mask_utils.toBbox(rle) if rle else (0, 0, 0, 0)
        boxes.append((x, y, x + w, y + h) if rle else None)
    return Track(index, CLASSES[label], masks, None, score, boxes, label)


@pytest.fixture
def result():
    frames = np.full((COUNT, *SIZE, 3), 90, np.uint8)
    frames[..., 2] = 30  # BGR: less red
    return VideoTracks(
        tracks=[make_track(0, 1, 0.9), make_track(1, 0, 0.6), make_track(2, 0, 0.1)],
        info=VideoInfo("clip", *SIZE, [0.0, 0.1, 0.2, 0.3]),
        classes=CLASSES,
        source=open_source(frames),
    )


def test_it_says_what_is_shown(result):
    assert len(result) == 3 and len(result.shown) == 2
    assert str(result) == (
        "clip: 4 frames of 64 x 48 pixels, 2 of 3 shown, best score 0.90 (score 0.3 or "
        "more)"
    )
    assert "0 of 3 shown, best score 0.90" in str(result.with_threshold(0.95))


def test_results_and_annotations_agree_in_the_official_evaluation(result, tmp_path):
    """What is written as ground truth is found by what is written as results."""
    content = result.to_coco_vid(tmp_path / "gt.json")
    entries = result.to_json(tmp_path / "results.json")
    assert json.loads((tmp_path / "gt.json").read_text()) == content
    assert json.loads((tmp_path / "results.json").read_text()) == entries
    figures = evaluate_ytvis(tmp_path / "gt.json", tmp_path / "results.json")
    assert figures["AP"] == pytest.approx(1)
    assert figures["category_names"] == {1: "cat", 2: "dog"}


def test_annotations_can_be_trained_on(result, tmp_path):
    result.to_coco_vid(tmp_path / "gt.json", image_dir=tmp_path / "images")
    dataset = YTVISDataset(
        ann_file=str(tmp_path / "gt.json"),
        data_prefix={"img_path": str(tmp_path / "images")},
        pipeline=[],
    )
    images = dataset[0]["images"]
    assert [len(image["instances"]) for image in images] == [2, 2, 1, 2]
    assert (
        np.abs(cv2.imread(images[1]["img_path"]).astype(int) - [90, 90, 30]).max() < 4
    )


def test_table(result):
    pandas = pytest.importorskip("pandas")
    table = result.to_dataframe()
    assert len(table) == 3 * COUNT
    row = table[(table.track_id == 1) & (table.frame == 3)].iloc[0]
    assert row[["class", "score", "visible", "area"]].tolist() == [
        "cat",
        0.6,
        True,
        900,
    ]
    assert row[["x1", "y1", "x2", "y2"]].tolist() == [10, 12, 40, 42]
    hidden = table[(table.track_id == 1) & (table.frame == 2)].iloc[0]
    assert not hidden.visible and pandas.isna(hidden.x1)
    assert table.time.unique().tolist() == [0.0, 0.1, 0.2, 0.3]


def test_detections(result):
    pytest.importorskip("supervision")
    detections = result.to_supervision()
    assert [len(d) for d in detections] == [2, 2, 1, 2]
    first = detections[3]
    assert np.array_equal(first.mask[0], masks_of(0)[3])
    assert first.tracker_id.tolist() == [0, 1]
    assert first.data["class_name"].tolist() == ["dog", "cat"]
    assert len(result.with_threshold(1.0).to_supervision()[0]) == 0


def test_a_missing_package_is_named(result, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(
        ImportError, match=r"to_dataframe\(\) needs pandas.*pip install"
    ):
        result.to_dataframe()


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_video(result, tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    result.save_video(path, scale=4)
    with av.open(str(path)) as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    assert len(frames) == COUNT and frames[0].shape == (192, 256, 3)
    background = frames[0][180, 20].astype(int)
    inside = np.median(
        frames[1][64:80, 28:37].reshape(-1, 3), axis=0
    )  # the first alone
    assert np.abs(background - [30, 90, 90]).max() < 20
    expected = (np.array(result.tracks[0].color) + [30, 90, 90]) / 2
    assert np.abs(inside - expected).max() < 30


def test_times_of_the_source_are_kept(result, tmp_path):
    from dataclasses import replace

    uneven = replace(result, info=replace(result.info, times=[0.0, 0.1, 0.2, 1.0]))
    uneven.save_video(tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        times = [frame.time for frame in container.decode(stream)]
    assert times == pytest.approx([0.0, 0.1, 0.2, 1.0], abs=0.01)


def test_side_by_side(result, tmp_path):
    result.save_video(tmp_path / "out.mp4", scale=1, beside=result.with_threshold(1.0))
    with av.open(str(tmp_path / "out.mp4")) as container:
        frame = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert frame.shape[1] in (2 * SIZE[1] + 4, 2 * SIZE[1] + 5)


def test_indexed_masks(result, tmp_path):
    """As DAVIS has them: one file a frame, the better track on top."""
    result.save_masks(tmp_path)
    for t in range(COUNT):
        with Image.open(tmp_path / "clip" / f"{t:05d}.png") as image:
            assert image.mode == "P"
            found = np.array(image)
        expected = np.zeros(SIZE, int)
        under = masks_of(1)[t]
        if under is not None:
            expected[under] = 2
        expected[masks_of(0)[t]] = 1
        assert np.array_equal(found, expected)


def test_crops(result, tmp_path):
    result.save_crops(tmp_path)
    files = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.png"))
    assert len(files) == 7 and files[0] == "clip/cat_1/00000.png"
    assert cv2.imread(str(tmp_path / files[0])).shape == (30, 30, 3)


def test_picture(result, tmp_path):
    image = result.plot(num_frames=2, path=tmp_path / "plot.png")
    assert image.size[0] > 2 * SIZE[1]
    assert (tmp_path / "plot.png").is_file()


def test_notebook_shows_a_clip_and_a_table(result):
    html = result._repr_html_()
    assert "data:video/mp4;base64," in html
    assert html.count("<tr>") == 3 and "<td>dog</td>" in html


def test_frames_of_a_stream_are_gone(result, tmp_path):
    from dataclasses import replace

    live = replace(result, source=open_source(iter([])))
    with pytest.raises(UsageError, match="frames of clip are gone"):
        live.save_video(tmp_path / "out.mp4")
    assert "<video" not in live._repr_html_()
    assert not list(tmp_path.iterdir())


def test_other_files_are_not_replaced(result, tmp_path):
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip" / "thesis.tex").write_text("years of work")
    for write in (result.save_masks, result.save_crops):
        with pytest.raises(UsageError, match="holds other files"):
            write(tmp_path)
    assert (tmp_path / "clip" / "thesis.tex").is_file()
    (tmp_path / "clip" / "thesis.tex").unlink()
    result.save_masks(tmp_path)
    result.save_masks(tmp_path)  # its own are


def test_full_disk_leaves_nothing_behind(result, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    monkeypatch.setattr(cv2, "imwrite", lambda *args: False)
    for write in (result.save_masks, result.save_crops):
        with pytest.raises(OSError):
            write(tmp_path)
    assert not list(tmp_path.iterdir())
