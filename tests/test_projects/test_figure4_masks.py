import json

import cv2
import figure4_masks
import numpy as np
import pytest
from picture_grid import PictureRow, picture_grid

from ..helpers import toy
from .conftest import is_written

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
def figures(monkeypatch):
    """The figures that the tool writes."""
    kept, save = [], figure4_masks.save_figure

    def spy(figure, prefix):
        kept.append(figure)
        return save(figure, prefix)

    monkeypatch.setattr(figure4_masks, "save_figure", spy)
    return kept


def picture(ax):
    return np.asarray(ax.images[0].get_array()).astype(int)


def inside(ax, box):
    """Colour in the middle of a box of the frame, which is 24 x 40 pixels."""
    image = picture(ax)
    scale = image.shape[0] / toy.SIZE[0]
    x, y = (box[0] + box[2]) / 2 * scale, (box[1] + box[3]) / 2 * scale
    return tuple(image[round(y), round(x)])


def is_grey(color):
    return max(abs(channel - GREY) for channel in color) < 6


def test_rows_and_colours(args, figures, tmp_path, capsys):
    prefix = tmp_path / "out" / "figure"
    figure4_masks.main([*args, "--video-ids", "7", "0", "--out", str(prefix)])
    assert is_written(prefix)
    assert str(prefix) in capsys.readouterr().out
    (figure,) = figures
    # Two videos of two frames, by ground truth and two models.
    assert len(figure.axes) == 12
    labels = [ax.get_ylabel() for ax in figure.axes[::2]]
    assert labels == ["ground truth", "good", "none"] * 2
    titles = [text.get_text() for text in figure.texts]
    assert titles == ["video 7 (clip7)", "video 0 (clip0)"]
    assert [ax.get_title() for ax in figure.axes[:4]] == ["frame 0", "frame 1", "", ""]

    right, left = (20, 5, 40, 15), (0, 0, 10, 10)
    truth, good, none = figure.axes[0:2], figure.axes[2:4], figure.axes[4:6]
    assert not is_grey(inside(truth[0], right)) and not is_grey(inside(good[0], right))
    assert is_grey(inside(truth[0], left)) and is_grey(inside(none[0], right))
    # Absent in the second frame.
    assert is_grey(inside(truth[1], right)) and is_grey(inside(good[1], right))

    truth, good = figure.axes[6:8], figure.axes[8:10]
    colors = {inside(ax, (2, 4, 10, 10)) for ax in (*truth, *good)}
    assert len(colors) == 1 and not is_grey(colors.pop())


def test_colours_tell_instances_apart_and_rows_alike(args, figures, tmp_path):
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
    figure4_masks.main([*args[:6], "--video-ids", "0", "--out", str(tmp_path / "f")])
    (figure,) = figures
    seen = [{inside(ax, (b[0], 12, b[2], 20)) for ax in figure.axes} for b in boxes]
    assert [len(colors) for colors in seen] == [1, 1] and seen[0] != seen[1]


def test_scores_and_frames(args, figures, tmp_path):
    out = ["--out", str(tmp_path / "f"), "--video-ids", "7", "--num-frames", "1"]
    figure4_masks.main([*args, *out, "--score-thr", "0.85"])
    truth, good, _ = figures[0].axes
    box = (20, 5, 40, 15)  # found with a score of 0.8
    assert not is_grey(inside(truth, box)) and is_grey(inside(good, box))


def test_errors(args, tmp_path):
    args += ["--out", str(tmp_path / "f")]
    with pytest.raises(SystemExit, match=r"^error: there is no video 3 "):
        figure4_masks.main([*args, "--video-ids", "3"])
    args[2] = str(tmp_path / "elsewhere")
    with pytest.raises(SystemExit, match=r"^error: frame .*elsewhere.* not exist"):
        figure4_masks.main(args)
    args[5] = str(tmp_path / "nowhere.json")
    with pytest.raises(SystemExit, match=r"^error: .*nowhere.json does not exist"):
        figure4_masks.main(args)
    assert not list(tmp_path.glob("f.*"))


def test_grid_shows_maps_in_the_range_of_their_row():
    maps = [np.arange(200.0).reshape(10, 20), np.arange(200, 400.0).reshape(10, 20)]
    frames = [np.zeros((10, 20, 3), np.uint8)] * 2
    rows = [PictureRow("frame", frames, "title", ["a", "b"]), PictureRow("map", maps)]
    figure = picture_grid(rows)
    assert len(figure.axes) == 4
    limits = {ax.images[0].get_clim() for ax in figure.axes[2:]}
    assert limits == {tuple(np.percentile(np.arange(400), [1, 99]))}
    for ax in figure.axes:  # nothing is outside the page or on top of another
        box = ax.get_position()
        assert box.x0 > 0 and box.y0 > 0 and box.x1 < 1 and box.y1 < 1
    bottoms = [figure.axes[i].get_position() for i in (0, 2)]
    assert bottoms[0].y0 > bottoms[1].y1
