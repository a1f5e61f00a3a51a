import json

import cv2
import numpy as np
import pytest

from projects.taformer.figures import figure4

from ..helpers import toy
from ..helpers.figure_files import is_written

GREY = 90


@pytest.fixture
def args(tmp_path):
    """Ground truth, the frames, and two models: a perfect one and one without."""
    truth = toy.ground_truth()
    for video in truth["videos"]:
        for name in video["file_names"]:
            path = tmp_path / "images" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.full((*toy.SIZE, 3), GREY, np.uint8))
    files = {"gt": truth, "good": toy.perfect_results(), "none": []}
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    models = [["--results", n, str(tmp_path / f"{n}.json")] for n in ("good", "none")]
    common = [str(tmp_path / "gt.json"), "--img-prefix", str(tmp_path / "images")]
    return [*common, *models[0], *models[1]]


@pytest.fixture
def clips(monkeypatch):
    """The clips that the tool writes."""
    kept, save = [], figure4.save_sheet

    def spy(clips, prefix):
        kept.extend(clips)
        return save(clips, prefix)

    monkeypatch.setattr(figure4, "save_sheet", spy)
    return kept


def inside(picture, box):
    """Colour in the middle of a box of the frame, which is 24 x 40 pixels."""
    scale = picture.shape[0] / toy.SIZE[0]
    x, y = (box[0] + box[2]) / 2 * scale, (box[1] + box[3]) / 2 * scale
    return tuple(picture[round(y), round(x)].astype(int))


def is_grey(color):
    return max(abs(channel - GREY) for channel in color) < 6


def test_rows_and_colours(args, clips, tmp_path, capsys):
    prefix = tmp_path / "out" / "figure"
    figure4.main([*args, "--video-ids", "7", "0", "--out", str(prefix)])
    assert is_written(prefix)
    assert str(prefix) in capsys.readouterr().out
    assert [clip.title for clip in clips] == ["video 7 (clip7)", "video 0 (clip0)"]
    for clip in clips:
        assert list(clip.rows) == ["frame", "ground truth", "good", "none"]
        assert clip.columns == ["frame 0", "frame 1"]

    right, left = (20, 5, 40, 15), (0, 0, 10, 10)
    frames, truth, good, none = clips[0].rows.values()
    assert is_grey(inside(frames[0], right))
    assert not is_grey(inside(truth[0], right)) and not is_grey(inside(good[0], right))
    assert is_grey(inside(truth[0], left)) and is_grey(inside(none[0], right))
    # Absent in the second frame.
    assert is_grey(inside(truth[1], right)) and is_grey(inside(good[1], right))

    _, truth, good, _ = clips[1].rows.values()
    colors = {inside(picture, (2, 4, 10, 10)) for picture in (*truth, *good)}
    assert len(colors) == 1 and not is_grey(colors.pop())


def test_colours_tell_instances_apart_and_rows_alike(args, clips, tmp_path):
    """A model that lists two instances the other way round gives them no others."""
    truth = toy.ground_truth()
    boxes = [(0, 0, 10, 20), (20, 4, 40, 20)]
    masks = [toy.rectangle(*box) for box in boxes]
    truth["annotations"] = [
        toy.annotation(i, 0, 5, [mask, mask]) for i, mask in enumerate(masks, start=1)
    ]
    results = [
        toy.entry(0, 5, 0.5 + i / 5, [mask, mask]) for i, mask in enumerate(masks)
    ]
    (tmp_path / "gt.json").write_text(json.dumps(truth))
    (tmp_path / "good.json").write_text(json.dumps(results))
    figure4.main([*args[:6], "--video-ids", "0", "--out", str(tmp_path / "f")])
    _, *rows = clips[0].rows.values()
    pictures = [picture for row in rows for picture in row]
    seen = [{inside(p, (b[0], 12, b[2], 20)) for p in pictures} for b in boxes]
    assert [len(colors) for colors in seen] == [1, 1] and seen[0] != seen[1]


def test_scores_and_frames(args, clips, tmp_path):
    out = ["--out", str(tmp_path / "f"), "--video-ids", "7", "--num-frames", "1"]
    figure4.main([*args, *out, "--score-thr", "0.85"])
    _, (truth,), (good,), _ = clips[0].rows.values()
    box = (20, 5, 40, 15)  # found with a score of 0.8
    assert not is_grey(inside(truth, box)) and is_grey(inside(good, box))


def test_errors(args, tmp_path):
    args += ["--out", str(tmp_path / "f")]
    with pytest.raises(SystemExit, match=r"^error: there is no video 3 "):
        figure4.main([*args, "--video-ids", "3"])
    args[2] = str(tmp_path / "elsewhere")
    with pytest.raises(SystemExit, match=r"^error: frame .*elsewhere.* not exist"):
        figure4.main(args)
    args[5] = str(tmp_path / "nowhere.json")
    with pytest.raises(SystemExit, match=r"^error: .*nowhere.json does not exist"):
        figure4.main(args)
    assert not list(tmp_path.glob("f.*"))
