"""Every command of the pages is run, see :mod:`commands`."""

import pytest

from .command import split_commands
from .commands import run_command
from .pages import RUN_PAGES, Block, read_blocks

# Each once, with the first place where it stands.
COMMANDS: dict[str, Block] = {}
for page in RUN_PAGES:
    for block in read_blocks(page):
        if block.language == "bash":
            for command in split_commands(block):
                COMMANDS.setdefault(command, block)


@pytest.mark.parametrize(
    "text", COMMANDS, ids=[f"{b} {text[:60]}" for text, b in COMMANDS.items()]
)
def test_command(text, checkout, load_tool):
    run_command(text, checkout, load_tool)


TRAIN = "configs/taformer/taformer_r50_4xb4-6e_youtubevis2019.py"


@pytest.mark.parametrize(
    "text",
    [
        "python tools/unknown.py",
        "bash tools/unknown.sh",
        "make html",
        "python tools/train.py configs/taformer/gone.py",
        f"python tools/train.py {TRAIN} --ampp",
        f"python tools/train.py {TRAIN} --cfg-options model.num_querys=3",
        f"python tools/train.py {TRAIN} --cfg-options load_from=other/place.pth",
        f"python tools/test.py {TRAIN} work_dirs/gone/epoch_6.pth",
        f"bash tools/dist_train.sh {TRAIN}",
        f"bash tools/dist_train.sh {TRAIN} 4 --ampp",
        f"bash tools/dist_test.sh {TRAIN} work_dirs/{TRAIN[17:-3]}/epoch_7.pth 4",
        "bash tools/slurm_train.sh PARTITION name configs/gone.py work_dirs/a",
        "bash tools/quickstart.sh --with-base",
        "bash tools/run_tests.sh tests/gone",
        "pip install -r requirements/gone.txt",
        "pip install onedl-mmcv==1.0.0",
        "pip install --no-such-option onedl-mmcv",
        "pip cache remove onedl-mmcv",
        "source venv/bin/activate",
        "python tools/analysis_tools/benchmark.py --what speed",
        "sphinx-build -b html docs/en docs/_build/html",
        "mim train mmtaformer gone.py",
        "mim train mmtaformer taformer_tiny_synthvis.py --ampp",
        "mim test mmtaformer taformer_tiny_synthvis.py",
        "mim run mmtaformer gone",
        "mim search mmtaformer --feld config",
        "grep --no-such-option word pyproject.toml",
    ],
)
def test_wrong_commands_fail(text, checkout, load_tool):
    with pytest.raises((Exception, SystemExit)):
        run_command(text, checkout, load_tool)


def test_commands_are_split(tmp_path):
    text = "# first\na \\\n    --b c  # why\n\nd '#e' f#g\n"
    block = Block(tmp_path / "page.md", 1, "bash", "", text)
    assert split_commands(block)[0] == "a --b c"
    assert len(split_commands(block)) == 2
