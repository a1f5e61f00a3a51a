"""The shell scripts, with stand-ins for the programs that they start."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ..helpers.golden import REPO_ROOT

TOOLS = REPO_ROOT / "tools"
SCRIPTS = sorted(TOOLS.glob("*.sh"))

# A Python that writes down its arguments and makes the files that it is asked for.
STAND_IN = """#!/usr/bin/env bash
echo "$*" >>"$CALLS"
case "$1" in
    --version) echo "Python 3.11.0" ;;
    -c) case "$2" in
        *max_epochs*) echo "$4/epoch_12.pth" ;;
        *zipfile*) grep -q whole "$3" || exit 1 ;;
    esac ;;
    tools/train.py) mkdir -p "$4"; echo whole >"$4/epoch_12.pth" ;;
    tools/test.py) sleep 0.01; touch "$7" ;;
    tools/analysis_tools/browse_results.py) sleep 0.01; touch "${@: -1}" ;;
esac
exit "${STAND_IN_EXIT:-0}"
"""


def bash(script, *arguments, cwd=REPO_ROOT, **environment):
    command = ["bash", str(script), *map(str, arguments)]
    values = {**os.environ, **{key: str(value) for key, value in environment.items()}}
    return subprocess.run(
        command, cwd=cwd, env=values, capture_output=True, text=True, check=False
    )


def executable(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def checkout(tmp_path):
    """A copy of the scripts with an environment whose Python is the stand-in."""
    root = tmp_path / "a b'c"
    (root / "tools").mkdir(parents=True)
    for script in SCRIPTS:
        executable(root / "tools" / script.name, script.read_text())
    (root / "requirements").mkdir()
    for path in (REPO_ROOT / "requirements").glob("*.txt"):
        (root / "requirements" / path.name).write_text(path.read_text())
    for name in ("pyproject.toml", "hatch_build.py"):
        (root / name).write_text((REPO_ROOT / name).read_text())
    executable(root / ".venv" / "bin" / "python", STAND_IN)
    executable(root / ".venv" / "bin" / "codespell", "#!/bin/sh\n")
    return root


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_parse_and_stop_at_errors(script):
    assert bash("-n", script).returncode == 0
    assert "\nset -euo pipefail\n" in script.read_text()


def test_quickstart_does_each_step_once(checkout, tmp_path):
    def run(*arguments):
        calls.write_text("")
        result = bash(
            *(checkout / "tools" / "quickstart.sh", *arguments),
            cwd=tmp_path,
            CALLS=calls,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout, calls.read_text()

    calls = tmp_path / "calls"
    printed, called = run()
    work_dir = "work_dirs/taformer_tiny_synthvis-deform"
    for step in [
        f"-r {checkout}/requirements/onedl.txt",
        f"--no-deps --no-build-isolation --editable {checkout}",
        "tools/dataset_converters/generate_synthvis.py --out data/synthvis_deform",
        "tools/train.py configs/taformer/taformer_tiny_synthvis-deform.py --work-dir "
        f"{work_dir} --resume",
        f"tools/test.py configs/taformer/taformer_tiny_synthvis-deform.py {work_dir}/"
        f"epoch_12.pth --work-dir {work_dir} --out {work_dir}/results.json",
        "synthvis_ceilings.py data/synthvis_deform/val.json --write",
        f"eval_results.py data/synthvis_deform/val.json {work_dir}/results.json",
        "browse_results.py data/synthvis_deform/val.json",
    ]:
        assert step in called
    assert "seqformer" not in called
    for where in ("results.json", "videos/", "contact_sheet.png", "epoch_12.pth"):
        assert f"{work_dir}/{where}" in printed

    printed, called = run()
    for done in ("pip install", "train.py", "test.py", "browse_results.py"):
        assert done not in called
    assert "eval_results.py" in called

    printed, called = run("--with-baseline")
    assert (
        "tools/train.py configs/seqformer/seqformer_tiny_synthvis-deform.py" in called
    )
    assert "taformer_tiny_synthvis-deform.py --work-dir" not in called
    assert called.count("eval_results.py") == 2


def test_quickstart_goes_on_after_a_half_written_checkpoint(checkout, tmp_path):
    calls = tmp_path / "calls"
    work_dir = checkout / "work_dirs" / "taformer_tiny_synthvis-deform"
    work_dir.mkdir(parents=True)
    (work_dir / "epoch_12.pth").write_text("half of i")
    for expected in (True, False):
        calls.write_text("")
        result = bash(checkout / "tools" / "quickstart.sh", CALLS=calls)
        assert result.returncode == 0, result.stderr
        assert ("tools/train.py" in calls.read_text()) == expected
    assert (work_dir / "epoch_12.pth").read_text() == "whole\n"


def test_quickstart_knows_whole_checkpoints(tmp_path):
    """The program that the stand-in above answers for."""
    script = (TOOLS / "quickstart.sh").read_text()
    program = script.partition("run -c 'import sys, zipfile")[2].partition("'")[0]
    whole = tmp_path / "whole.pth"
    torch.save({"a": torch.ones(1000)}, whole)
    half = tmp_path / "half.pth"
    half.write_bytes(whole.read_bytes()[:-500])
    command = [sys.executable, "-c", f"import sys, zipfile{program}"]
    for path, status in ((whole, 0), (half, 1)):
        run = subprocess.run([*command, path], stderr=subprocess.DEVNULL, check=False)
        assert run.returncode == status


def test_run_tests_passes_arguments_on(checkout, tmp_path):
    calls = tmp_path / "calls"
    script = checkout / "tools" / "run_tests.sh"
    result = bash(script, "tests/some where", "-k", "a or b", CALLS=calls)
    assert result.returncode == 0, result.stderr
    assert "-m ruff check ." in calls.read_text()
    assert "-m mypy" in calls.read_text()
    assert calls.read_text().endswith("-m pytest tests/some where -k a or b\n")
    (checkout / ".venv").rename(checkout / ".venv-openmmlab")
    calls.write_text("")
    assert bash(script, "--stack", "openmmlab", "-x", CALLS=calls).returncode == 0
    assert "requirements/openmmlab.txt" in calls.read_text()
    assert "requirements/onedl.txt" not in calls.read_text()
    assert calls.read_text().endswith("-m pytest -x\n")


def test_changed_requirements_are_installed(checkout, tmp_path):
    def called():
        calls.write_text("")
        assert bash(script, CALLS=calls).returncode == 0
        return calls.read_text()

    calls = tmp_path / "calls"
    script = checkout / "tools" / "setup_env.sh"
    assert "pip install" in called()
    assert "pip install" not in called()
    with (checkout / "requirements" / "dev.txt").open("a") as file:
        file.write("another==1.0\n")
    assert "pip install" in called()


def test_failed_installation_is_not_taken_for_done(checkout, tmp_path):
    calls = tmp_path / "calls"
    script = checkout / "tools" / "setup_env.sh"
    assert bash(script, CALLS=calls, STAND_IN_EXIT=1).returncode != 0
    calls.write_text("")
    assert bash(script, CALLS=calls).returncode == 0
    assert "pip install" in calls.read_text()


def test_unfit_pythons_are_named(checkout, tmp_path):
    (checkout / ".venv" / "bin" / "python").unlink()
    old = '#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.8.1" || exit 1\n'
    script = checkout / "tools" / "setup_env.sh"
    python = executable(tmp_path / "bin" / "python3", old)
    result = bash(script, PYTHON=python)
    assert result.returncode == 1
    assert "Python 3.8.1; Python 3.10, 3.11 or 3.12 is needed." in result.stderr
    # Nothing but this Python and the programs that the script needs.
    for name in ("bash", "dirname", "tail", "cat", "cksum"):
        path = subprocess.run(["which", name], capture_output=True, text=True).stdout
        (tmp_path / "bin" / name).symlink_to(path.strip())
    result = bash(script, PATH=tmp_path / "bin")
    assert result.returncode == 1
    assert "python3 is Python 3.8.1" in result.stderr
    assert "PYTHON=/path/to/python3.11" in result.stderr


def test_asked_python_is_looked_at_though_an_environment_exists(checkout, tmp_path):
    script = checkout / "tools" / "setup_env.sh"
    result = bash(script, PYTHON="/nonexistent", CALLS=tmp_path / "calls")
    assert result.returncode == 1
    assert "error: PYTHON=/nonexistent is " in result.stderr
    assert "Python 3.10, 3.11 or 3.12 is needed." in result.stderr
    newer = executable(tmp_path / "newer", STAND_IN.replace("3.11.0", "3.12.4"))
    result = bash(script, PYTHON=newer, CALLS=tmp_path / "calls")
    assert result.returncode == 1
    assert f"is Python 3.12.4, but the environment {checkout}/.venv" in result.stderr
    same = executable(tmp_path / "same", STAND_IN)
    assert bash(script, PYTHON=same, CALLS=tmp_path / "calls").returncode == 0


def test_environment_of_another_clone_is_left_alone(checkout, tmp_path):
    calls = tmp_path / "calls"
    script = checkout / "tools" / "setup_env.sh"
    assert bash(script, CALLS=calls).returncode == 0
    other = tmp_path / "other"
    shutil.copytree(checkout, other)
    shutil.rmtree(other / ".venv")
    (other / ".venv").symlink_to(checkout / ".venv")
    calls.write_text("")
    for environment in ({}, {"MMTAFORMER_VENV": checkout / ".venv"}):
        result = bash(other / "tools" / "setup_env.sh", CALLS=calls, **environment)
        assert result.returncode == 1
        assert f"belongs to the clone {checkout}; give this one" in result.stderr
    assert "pip install" not in calls.read_text()
    assert bash(script, CALLS=calls).returncode == 0
    # A clone that was moved takes its environment along.
    checkout.rename(tmp_path / "moved")
    moved = tmp_path / "moved" / "tools" / "setup_env.sh"
    assert bash(moved, CALLS=calls).returncode == 0
    assert "pip install" in calls.read_text()


def test_missing_compiler_is_named(checkout, tmp_path):
    for name in ("bash", "dirname", "tail", "cat", "cksum", "getconf", "awk", "env"):
        path = subprocess.run(["which", name], capture_output=True, text=True).stdout
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).symlink_to(path.strip())
    script = checkout / "tools" / "setup_env.sh"
    result = bash(script, PATH=tmp_path / "bin", CALLS=tmp_path / "calls")
    assert result.returncode == 1
    assert "there is no C++ compiler" in result.stderr


@pytest.mark.parametrize(
    ("script", "files"),
    [("dist_train.sh", ["c.py"]), ("dist_test.sh", ["c.py", "e.pth"])],
)
def test_distributed_scripts(tmp_path, script, files):
    python = executable(tmp_path / "python", STAND_IN)
    calls = tmp_path / "calls"
    result = bash(
        *(TOOLS / script, *files, 3, "--amp"),
        **dict(PYTHON=python, CALLS=calls, NNODES=2, NODE_RANK=1, MASTER_ADDR="host"),
    )
    assert result.returncode == 0, result.stderr
    called = calls.read_text()
    assert called.startswith("-m torch.distributed.run --nnodes=2 --node_rank=1 ")
    assert "--master_addr=host --master_port=29500 --nproc_per_node=3 " in called
    tool = script.replace("dist_", "").replace(".sh", ".py")
    options = f"{' '.join(files)} --launcher pytorch --amp\n"
    assert called.endswith(f"tools/{tool} {options}")
    usage = bash(TOOLS / script, "c.py")
    assert usage.returncode == 2
    assert "NODE_RANK" in usage.stderr


@pytest.mark.parametrize(
    ("script", "last", "passed"),
    [
        ("slurm_train.sh", "work", "train.py c.py --work-dir work"),
        ("slurm_test.sh", "e.pth", "test.py c.py e.pth"),
    ],
)
def test_slurm_scripts(tmp_path, script, last, passed):
    executable(tmp_path / "bin" / "srun", '#!/bin/sh\necho "$@"\n')
    path = f"{tmp_path}/bin:{os.environ['PATH']}"
    result = bash(
        *(TOOLS / script, "gpu", "job", "c.py", last, "--amp"),
        **dict(PATH=path, GPUS=4, SRUN_ARGS="--quotatype=auto --time=1"),
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("-p gpu --job-name=job --gres=gpu:4 --ntasks=4 ")
    assert " --quotatype=auto --time=1 " in result.stdout
    assert result.stdout.endswith(f"tools/{passed} --launcher slurm --amp\n")
    assert bash(TOOLS / script, "gpu").returncode == 2


def test_ci_runs_what_the_readme_says():
    command = "bash tools/run_tests.sh"
    assert (REPO_ROOT / ".ci" / "run").read_text().splitlines()[-1] == command
    assert command in (REPO_ROOT / "README.md").read_text()
