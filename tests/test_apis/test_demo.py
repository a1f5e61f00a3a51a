"""The demo, from the command line and in a notebook."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from mmtaformer.apis import zoo

from ..helpers.golden import REPO_ROOT
from ..helpers.inference import write_model
from ..helpers.videos import write_clip

DEMO = REPO_ROOT / "demo"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def demo(load_tool):
    return load_tool("../demo/video_demo.py")


@pytest.fixture
def video(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (6, 64, 96, 3), np.uint8)
    return write_clip(tmp_path / "clip.mp4", noise)


def test_a_video_becomes_tracks(demo, files, video, tmp_path, capsys):
    out = tmp_path / "out"
    model = [str(path) for path in files]
    demo.main([str(video), *model, "--out-dir", str(out), "--device", "cpu"])
    output = capsys.readouterr().out
    assert (
        "clip: 6 frames of 96 x 64 pixels" in output and "shown, best score" in output
    )
    assert f"{out}/vis/clip.mp4 shows them" in output
    assert (out / "vis" / "clip.mp4").is_file()
    assert json.loads((out / "preds" / "clip.json").read_text())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "broken.mp4 does not exist"),
        (b"no video at all" * 9, "broken.mp4 is not a video"),
    ],
)
def test_mistakes_are_one_sentence(demo, files, tmp_path, content, words):
    path = tmp_path / "broken.mp4"
    if content is not None:
        path.write_bytes(content)
    out = tmp_path / "out"
    with pytest.raises(SystemExit, match=f"error: .*{words}"):
        demo.main([str(path), *map(str, files), "--out-dir", str(out)])
    assert not out.exists()


def test_the_model_that_comes_along_runs_the_demo(demo, tmp_path, capsys):
    _need_bundled()
    demo.main([str(DEMO / "cells.mp4"), "--out-dir", str(tmp_path), "--device", "cpu"])
    found = int(capsys.readouterr().out.split(" of ")[1].split()[-1])
    assert found > 5


def test_the_bundled_files_are_small():
    _need_bundled()
    (weights,) = DEMO.glob("*.safetensors")
    assert weights.stat().st_size <= 3e6
    assert (DEMO / "cells.mp4").stat().st_size <= 3e5


def test_the_notebook_runs(tmp_path, files, monkeypatch):
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    notebook = nbformat.read(DEMO / "inference.ipynb", as_version=4)
    if _bundled() is None:  # the same cells with a model and a video made here
        noise = np.random.default_rng(0).integers(0, 255, (6, 64, 96, 3), np.uint8)
        write_clip(tmp_path / "cells.mp4", noise)
        name = '"taformer_tiny_cells"'
        own = f'"{files[0]}", "{files[1]}", device="cpu"'
        for cell in notebook.cells:
            cell.source = cell.source.replace(name, own)
    folder = DEMO if _bundled() else tmp_path
    path = os.pathsep.join([str(REPO_ROOT), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)
    client = nbclient.NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute()
    html = [
        output.data["text/html"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "data" in output and "text/html" in output.data
    ]
    assert any("<video" in text and "<table>" in text for text in html)


def _bundled() -> str | None:
    return zoo.find_model("taformer_tiny_cells")[1]


def _need_bundled() -> None:
    if _bundled() is None or not Path(DEMO / "cells.mp4").is_file():
        pytest.skip("the weights of the cells are not in this checkout")
