"""Pictures and files of tracks."""

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from mmtaformer.utils.errors import UsageError

from ..helpers.tracks import COUNT, masks_of
from ..helpers.videos import SIZE


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
