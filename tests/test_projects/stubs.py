"""Tools that only pretend to train and test."""

import json
from pathlib import Path

from ablation_runs import RunFailed
from mmengine.config import Config

from ..helpers import toy


def write_truth(folder: Path) -> None:
    """Ground truth of two videos with one cat each; frames are not needed."""
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "val"):
        (folder / f"{split}.json").write_text(json.dumps(toy.ground_truth()))


class StubTools:
    """Stands in for `run_command`: notes what is asked for and leaves its files.

    Attributes:
        calls: (tool, config, seed) of each command.
        commands: The command lines.
        failing: Calls that shall fail.
        epochs: How many epochs the training comes to; None for all.
        entries: The results; None for perfect ones.
        misses: Seeds whose results lack one of the two videos.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, int]] = []
        self.commands: list[list[str]] = []
        self.failing: set[tuple[str, str, int]] = set()
        self.epochs: int | None = None
        self.entries: list | None = None
        self.misses: set[int] = set()

    def __call__(self, command, folder: Path, name: str, lock) -> None:
        seed = int(folder.name.removeprefix("seed_"))
        call = (name, folder.parent.name, seed)
        self.calls.append(call)
        self.commands.append(list(command))
        assert Path(command[1]).name == f"{name}.py" and not lock.closed
        settings = Config.fromfile(command[2])
        assert settings.randomness.seed == seed
        if call in self.failing:
            raise RunFailed(f"{name} ended with code 1; see {folder / name}.log")
        if name == "train":
            self._train(folder / "train", settings)
        else:
            self._test(folder, command, seed)
        seconds = dict(train="60.0", test="6.0")[name]
        (folder / f"{name}_seconds.txt").write_text(seconds)

    def _train(self, folder: Path, settings: Config) -> None:
        folder.mkdir(exist_ok=True)
        epochs = self.epochs or settings.train_cfg.max_epochs
        (folder / f"epoch_{epochs}.pth").touch()
        (folder / "last_checkpoint").write_text(str(folder / f"epoch_{epochs}.pth"))

    def _test(self, folder: Path, command: list[str], seed: int) -> None:
        assert Path(command[3]).is_file()
        entries = toy.perfect_results() if self.entries is None else self.entries
        if seed in self.misses:
            entries = entries[:1]
        (folder / "results.json").write_text(json.dumps(entries))
