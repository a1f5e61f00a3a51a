"""A config elsewhere that inherits one of the installed package."""

import os
import subprocess
import sys

import torch
from mmengine.config import Config

TOOL = """
import runpy
import sys

import mmtaformer

assert mmtaformer.__file__.startswith(sys.argv[1]), mmtaformer.__file__
sys.argv[:2] = ["train.py"]
runpy.run_path(mmtaformer.__path__[0] + "/.mim/tools/train.py", run_name="__main__")
"""
CHILD = """
_base_ = "mmtaformer::taformer/taformer_tiny_synthvis.py"

model = dict(num_queries=7)
"""


def test_child_in_another_folder_trains(installed, synthvis_root, tmp_path):
    """One iteration, with the tools, configs and code of the wheel only."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "synthvis").symlink_to(synthvis_root)
    (tmp_path / "child.py").write_text(CHILD)
    options = ["train_cfg.max_epochs=1", "train_dataloader.dataset.indices=1"]
    options += [f"val_{name}=None" for name in ("cfg", "dataloader", "evaluator")]
    command = [sys.executable, "-c", TOOL, str(installed), "child.py", "--cfg-options"]
    result = subprocess.run(
        [*command, *options],
        cwd=tmp_path,
        # Found before what is installed where the tests run.
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    work_dir = tmp_path / "work_dirs" / "child"
    state = torch.load(work_dir / "epoch_1.pth", map_location="cpu", weights_only=False)
    assert state["meta"]["iter"] == 1
    assert len(state["state_dict"]["query_embedding.weight"]) == 7
    child = Config.fromfile(work_dir / "child.py")
    base = Config.fromfile(
        installed / "mmtaformer/.mim/configs/taformer/taformer_tiny_synthvis.py"
    )
    for inherited in (child.model, child.optim_wrapper):
        assert inherited.pop("_scope_") == "mmtaformer"  # where mmengine found it
    assert child.model.pop("num_queries") != base.model.pop("num_queries")
    assert child.model == base.model
    assert child.optim_wrapper == base.optim_wrapper
