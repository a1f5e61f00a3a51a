"""Every command of the pages: its tool takes the arguments, and its files exist."""

import importlib
import importlib.util
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from mmengine.config import Config

from ..helpers.config_files import CONFIGS, unknown_keys
from ..helpers.golden import REPO_ROOT
from ..helpers.pages import PAGES, name_of, read_blocks

# Names in capitals on the pages, and what they stand for.
PLACEHOLDERS = {
    "CONFIG": "configs/taformer/taformer_tiny_synthvis.py",
    "SOURCE": "seqformer",
    "[--config": "--config",
    "CONFIG]": "configs/taformer/taformer_tiny_synthvis.py",
}
# Programs of others, which are not run.
OTHERS = {"pip", "mim", "source", "sphinx-build", "pre-commit", "grep", "git", "cd"}
OWN_MODULES = ("mmtaformer", "projects", "tests")
FOLDERS = ("configs", "projects", "tools", "docs", "requirements", "tests")


def split_commands(text):
    """The commands of a block, each on one line, without comments."""
    lines = text.replace("\\\n", " ").splitlines()
    commands = [re.sub(r"(^|\s)#.*$", "", line).strip() for line in lines]
    return [" ".join(command.split()) for command in commands if command]


# Each once, with the first place where it stands.
COMMANDS = {}
for page in PAGES:
    for block in read_blocks(page):
        if block.language in ("bash", "shell"):
            for command in split_commands(block.text):
                COMMANDS.setdefault(command, f"{name_of(page)}:{block.line}")


def check(command, load_tool):
    """Check a command.

    Raises:
        AssertionError: If a file does not exist, or a tool does not take an argument.
    """
    words = [PLACEHOLDERS.get(w, w) for w in shlex.split(command)]
    while re.match(r"[A-Z][A-Z0-9_]*=", words[0]):
        del words[0]
    check_files(words)
    if words[:2] == ["python", "-m"] and words[2].split(".")[0] not in OWN_MODULES:
        assert importlib.util.find_spec(words[2]), f"there is no module {words[2]}"
    elif words[:2] == ["python", "-m"]:
        parse(importlib.import_module(as_module(words[2])), words[3:])
    elif words[0] == "python":
        path = words[1]
        in_tools = path.startswith("tools/")
        name = path.removeprefix("tools/") if in_tools else f"../{path}"
        parse(load_tool(name), words[2:])
    elif words[0] == "bash":
        check_script(Path(words[1]), words[2:], load_tool)
    else:
        assert words[0] in OTHERS, f"{words[0]} is nothing that this project has"


def check_files(words):
    """What lies in a folder of the repository exists; `work_dirs` and data need not."""
    for word in words:
        path = word.partition("=")[2] or word
        if path.startswith(tuple(f"{folder}/" for folder in FOLDERS)):
            path = path.removesuffix("/_build/html")
            assert (REPO_ROOT / path).exists(), f"there is no {path}"
        named = re.match(r"work_dirs/([^/]+)/epoch_(\d+)\.pth$", path)
        if named and named[1] in {config.stem for config in CONFIGS}:
            (config,) = (config for config in CONFIGS if config.stem == named[1])
            epochs = Config.fromfile(config).train_cfg.max_epochs
            assert int(named[2]) == epochs, f"{config} trains {epochs} epochs"


def as_module(name):
    """A package that is run is its __main__."""
    folder = REPO_ROOT.joinpath(*name.split("."))
    return f"{name}.__main__" if folder.is_dir() else name


def parse(tool, words):
    """The tool takes the arguments, and the config has the keys of its options."""
    try:
        args = tool.parse_args(words)
    except SystemExit as error:
        raise AssertionError(f"{tool.__name__} does not accept {words}") from error
    config = getattr(args, "config", None)
    if isinstance(config, str) and (REPO_ROOT / config).is_file():
        cfg = Config.fromfile(REPO_ROOT / config)
        cfg.merge_from_dict(getattr(args, "cfg_options", None) or {})
        assert unknown_keys(cfg) == []


def check_script(script, words, load_tool):
    """A script knows its options; what it hands on is for train.py or test.py."""
    assert script.parent.name == "tools" and (REPO_ROOT / script).is_file(), script
    kind = re.match(r"(dist|slurm)_(train|test)\.sh", script.name)
    if kind is None:
        text = (REPO_ROOT / script).read_text()
        for word in words:
            known = re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text)
            exists = (REPO_ROOT / word).exists()
            stack = (REPO_ROOT / "requirements" / f"{word}.txt").is_file()
            assert known or exists or stack, f"{script} does not know {word}"
        return
    files = 1 if kind[2] == "train" else 2  # the config, and the checkpoint to test
    if kind[1] == "dist":
        assert words[files].isdigit(), f"{script} needs the number of processes"
        words = words[:files] + words[files + 1 :]
    else:  # partition and name of the job; a work dir after the config of a training
        words = words[2:]
        if kind[2] == "train":
            words.insert(1, "--work-dir")
    parse(load_tool(f"{kind[2]}.py"), words)


@pytest.mark.parametrize(
    "command", COMMANDS, ids=[f"{at} {text[:50]}" for text, at in COMMANDS.items()]
)
def test_command(command, load_tool):
    check(command, load_tool)


TRAIN = "configs/taformer/taformer_r50_4xb4-6e_youtubevis2019.py"
LAST = f"work_dirs/{Path(TRAIN).stem}/epoch_7.pth"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("bash tools/unknown.sh", "unknown.sh"),
        ("make html", "make is nothing"),
        ("python tools/train.py configs/taformer/gone.py", "no configs/taformer/gone"),
        (f"python tools/train.py {TRAIN} --ampp", "does not accept"),
        (f"python tools/train.py {TRAIN} --cfg-options model.num_querys=3", "num_q"),
        (f"python tools/test.py {TRAIN} {LAST}", "trains 6 epochs"),
        (f"bash tools/dist_train.sh {TRAIN} --amp 4", "number of processes"),
        (f"bash tools/dist_train.sh {TRAIN} 4 --ampp", "does not accept"),
        ("bash tools/slurm_train.sh P name configs/gone.py work_dirs/a", "gone.py"),
        ("bash tools/quickstart.sh --with-base", "does not know --with-base"),
        ("bash tools/run_tests.sh tests/gone", "tests/gone"),
        ("pip install -r requirements/gone.txt", "no requirements/gone.txt"),
        ("python -m projects.taformer.ablation --row x --wrong", "does not accept"),
    ],
)
def test_wrong_commands_fail(command, message, load_tool):
    with pytest.raises(AssertionError, match=message):
        check(command, load_tool)


def test_commands_are_split():
    text = "# first\na \\\n    --b c  # why\n\nd '#e' f#g\n"
    assert split_commands(text)[0] == "a --b c"
    assert len(split_commands(text)) == 2


@pytest.mark.parametrize("script", sorted(REPO_ROOT.glob("tools/*.sh")), ids=name_of)
def test_scripts_are_proper_shell(script):
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
