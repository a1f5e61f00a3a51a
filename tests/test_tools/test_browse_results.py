import importlib.util
import json

import av
import cv2
import numpy as np
import pytest

from mmtaformer.visualization import read_frame

from ..helpers import toy
from ..helpers.golden import REPO_ROOT

TOOL = REPO_ROOT / "tools" / "analysis_tools" / "browse_results.py"


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("browse_results", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def files(tmp_path):
    """Ground truth, results and the folder of grey frames, as arguments."""
    gt = toy.ground_truth()
    for video in gt["videos"]:
        for name in video["file_names"]:
            path = tmp_path / "images" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.full((*toy.SIZE, 3), 90, np.uint8))
    (tmp_path / "gt.json").write_text(json.dumps(gt))
    (tmp_path / "results.json").write_text(json.dumps(toy.perfect_results()))
    names = ("gt.json", "results.json", "images")
    gt_file, results, images = (str(tmp_path / name) for name in names)
    return [gt_file, results, "--img-prefix", images]


def test_videos_and_sheet(tool, files, tmp_path, capsys):
    out = tmp_path / "out"
    sheet = out / "sheet.png"
    tool.main([*files, "--videos", "--out-dir", str(out), "--sheet", str(sheet)])
    names = {path.name for path in out.iterdir()}
    assert names == {"0_clip0.mp4", "7_clip7.mp4", "sheet.png"}
    with av.open(str(out / "0_clip0.mp4")) as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    assert len(frames) == 2 and frames[0].shape == (360, 600, 3)
    for frame in frames:  # the cat is in the top left corner in both
        assert np.ptp(frame[75, 75].astype(int)) > 60
        assert np.ptp(frame[300, 500].astype(int)) < 12
    output = capsys.readouterr().out
    assert str(sheet) in output
    assert "video 7 (clip7): 1 of 1 shown, best score 0.80" in output


def test_ground_truth_and_prediction_look_alike(tool, files, tmp_path):
    """Perfect predictions have the colours of the ground truth, row by row."""
    sheet = tmp_path / "sheet.png"
    tool.main(
        [*files, "--sheet", str(sheet), "--num-videos", "1", "--cell-width", "200"]
    )
    page = read_frame(sheet).astype(int)
    colorful = np.ptp(page, axis=-1) > 60
    heights = np.flatnonzero(colorful.any(axis=1))
    first, second = np.split(heights, np.flatnonzero(np.diff(heights) > 9) + 1)
    masks = [page[rows[0] + 30 : rows[0] + 45] for rows in (first, second)]
    kept = [colorful[rows[0] + 30 : rows[0] + 45] for rows in (first, second)]
    assert kept[0].sum() > 500
    assert np.array_equal(masks[0][kept[0]], masks[1][kept[1]])


def test_an_instance_is_shown_once(tool, files, tmp_path, capsys):
    """The same masks under a second class, and masks that overlap."""
    entries = toy.perfect_results()
    shifted = toy.rectangle(1, 0, 11, 10)
    entries.append({**entries[0], "category_id": 0, "score": 0.85})
    entries.append(toy.entry(0, 5, 0.8, [shifted, shifted]))
    (tmp_path / "results.json").write_text(json.dumps(entries))
    for arguments, shown in (([], 1), (["--nms-thr", "1"], 2)):
        tool.main([*files, "--sheet", str(tmp_path / "sheet.png"), *arguments])
        assert f"(clip0): {shown} of {shown} shown" in capsys.readouterr().out
    tool.main([*files, "--sheet", str(tmp_path / "s.png"), "--score-thr", "0.95"])
    assert "(clip0): 0 of 1 shown, best score 0.90" in capsys.readouterr().out


def test_spread(tool):
    assert tool.spread(range(10), 4) == [0, 3, 6, 9]
    assert tool.spread(range(3), 5) == tool.spread(range(3), 0) == [0, 1, 2]
    assert tool.spread(range(3), 1) == [0]


def test_errors(tool, files, tmp_path):
    with pytest.raises(SystemExit):
        tool.main(files)
    files[-1] = str(tmp_path / "elsewhere")
    with pytest.raises(SystemExit, match=r"error: frame .*elsewhere.* does not exist"):
        tool.main([*files, "--sheet", str(tmp_path / "sheet.png")])
    assert not (tmp_path / "sheet.png").exists()
