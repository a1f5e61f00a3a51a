"""Damaged `--cfg-options`, by a seed: misspelt, misplaced, of another kind, absurd.

    python -m tests.robustness.configs --variants 1000 --seed 1

Each variant must start, or end in one sentence before data are loaded.
"""

import argparse
import contextlib
import importlib.util
import io
import random
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

from mmengine.config import Config
from mmengine.runner import Runner

from ..helpers.golden import REPO_ROOT

CONFIG = REPO_ROOT / "configs" / "taformer" / "taformer_tiny_synthvis.py"
NUMBERS = ("model.num_queries", "train_dataloader.batch_size", "randomness.seed")
COUNTS = (
    *("train_dataloader.batch_size", "train_cfg.max_epochs", "train_cfg.val_interval"),
    *("train_dataloader.num_workers", "optim_wrapper.optimizer.lr"),
)
SECTIONS = ("model", "model.backbone", "optim_wrapper", "train_dataloader.dataset")
PATHS = ("load_from", "train_dataloader.dataset.ann_file", "work_dir")


def keys(node: Any, where: str = "") -> Iterator[str]:
    """Dotted keys of what is built from a config, down to its values."""
    items = node.items() if isinstance(node, Mapping) else enumerate(node)
    for key, value in items:
        path = f"{where}.{key}" if where else str(key)
        yield path
        if isinstance(value, Mapping | list | tuple):
            yield from keys(value, path)


def misspelt(word: str, rng: random.Random) -> str:
    """One letter less, one twice, two exchanged, or a case changed."""
    at = rng.randrange(len(word))
    return rng.choice(
        [
            word[:at] + word[at + 1 :],
            word[:at] + word[at] + word[at:],
            word[:at] + word[at + 1 : at + 2] + word[at] + word[at + 2 :],
            word[:at] + word[at].swapcase() + word[at + 1 :],
        ]
    )


def damaged(cfg: Config, rng: random.Random) -> str:
    """One argument of ``--cfg-options``."""
    some = rng.choice(list(keys(cfg._cfg_dict)))
    top = rng.choice(list(cfg))
    types = [key for key in keys(cfg._cfg_dict) if key.endswith(".type")]
    text = rng.choice(["abc", "''", "a b", "1 2", "0x", "é", "--", "{}", "%s"])
    kinds = {
        "no equals sign": lambda: some,
        "part of a key missing": lambda: (
            rng.choice([f".{some}", f"{some}.", "a..b"]) + "=1"
        ),
        "section misspelt": lambda: f"{misspelt(top, rng)}.x=1",
        "variable": lambda: f"{rng.choice(['max_epochs', 'data_root', 'lr'])}=1",
        "class misspelt": lambda: (
            f"{(key := rng.choice(types))}={misspelt(value_at(cfg, key), rng)}"
        ),
        "part of a number": lambda: f"{rng.choice(NUMBERS)}.{text}=1",
        "past the end of a list": lambda: (
            f"train_pipeline.{rng.randrange(4, 99)}.type=A"
        ),
        "entry of a list": lambda: f"train_dataloader.dataset.pipeline.{text}.type=A",
        "text for a number": lambda: f"{rng.choice(NUMBERS)}={text}",
        "value for a section": lambda: f"{rng.choice(SECTIONS)}={text}",
        "too small": lambda: f"{rng.choice(COUNTS)}={-rng.randrange(1, 9)}",
        "brackets": lambda: f"{some}={rng.choice(['[1', '(1]', '1,(', '[[]'])}",
        "figure": lambda: (
            "default_hooks.checkpoint.save_best=" + misspelt("youtube_vis/AP", rng)
        ),
        "path": lambda: f"{rng.choice(PATHS)}=/a b'c/{text}/é (1).json",
    }
    return kinds[rng.choice(list(kinds))]()


def value_at(cfg: Config, key: str) -> Any:
    node: Any = cfg
    for part in key.split("."):
        node = node[int(part)] if isinstance(node, list | tuple) else node[part]
    return node


class Started(Exception):
    """The runner is built, and nothing stands in the way of training."""


def outcome(train: Any, option: str, work_dir: str) -> str:
    """Start a training with an option; return 'started' or the sentence.

    Raises:
        Exception: What a user would see as a traceback.
    """
    argv = [str(CONFIG), "--work-dir", work_dir, "--cfg-options", option]
    printed = io.StringIO()
    with (
        contextlib.redirect_stderr(printed),
        contextlib.redirect_stdout(io.StringIO()),
        mock.patch.object(Runner, "train", side_effect=Started),
    ):
        try:
            train.main(argv)
        except Started:
            return "started"
        except SystemExit as end:
            usage = printed.getvalue().strip().splitlines()
            return str(end.code) if end.code != 2 else usage[-1]
    raise AssertionError("neither started nor ended")


def campaign(train: Any, variants: int, seed: int) -> Iterator[tuple[str, str]]:
    """Give options and what comes of each, a traceback's last line included."""
    rng = random.Random(seed)
    cfg = Config.fromfile(CONFIG)
    with tempfile.TemporaryDirectory() as work_dir:
        for _ in range(variants):
            option = damaged(cfg, rng)
            try:
                yield option, outcome(train, option, work_dir)
            except Exception as error:
                yield option, f"raw {type(error).__name__}: {error}"


def is_good(result: str) -> bool:
    """Whether it started, or said in one sentence why not."""
    return result == "started" or ("error: " in result and "\n" not in result)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variants", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    path: Path = REPO_ROOT / "tools" / "train.py"
    spec = importlib.util.spec_from_file_location("train", path)
    assert spec is not None and spec.loader is not None
    train = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(train)
    counts: Counter[str] = Counter()
    for option, result in campaign(train, args.variants, args.seed):
        kind = "started" if result == "started" else "sentence"
        counts[kind if is_good(result) else "raw"] += 1
        if not is_good(result):
            print(option, "->", result)
    print(dict(counts))


if __name__ == "__main__":
    main()
