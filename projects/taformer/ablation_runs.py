"""Training and testing one small config with one seed, resumable at any point."""

import fcntl
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from mmengine.config import Config

from mmtaformer.evaluation import evaluate_ytvis
from mmtaformer.utils.files import atomic_path
from mmtaformer.utils.launch import UsageError

TOOLS = Path(__file__).resolve().parents[2] / "tools"
METRICS = ("AP", "AP50", "AP75", "AR1", "AR10")
TICK = 5.0  # seconds between two looks at a running process


class RunFailed(Exception):
    """A run that did not come to its end; the others go on."""


class RunBusy(Exception):
    """A run that another process is working on."""


@dataclass(frozen=True)
class Run:
    """One small config trained and tested with one seed, in a folder of its own.

    The folder holds ``config.py`` (all settings), ``train/`` and ``test/`` (the work
    dirs of the tools), their output in ``train.log`` and ``test.log``,
    ``results.json``, and, once it is complete, ``record.json``.

    Attributes:
        config: Name of the small config, without its suffix.
        seed: Random seed of the training.
        folder: Where everything of this run lies.
    """

    config: str
    seed: int
    folder: Path

    @property
    def name(self) -> str:
        """How the run is called in messages."""
        return f"{self.config}, seed {self.seed}"

    @property
    def record_path(self) -> Path:
        """The file that a complete run has."""
        return self.folder / "record.json"

    @property
    def failure_path(self) -> Path:
        """The file that says why the last attempt failed."""
        return self.folder / "failed.txt"

    def state(self) -> str:
        """``complete``, ``failed``, ``started`` or ``not started``."""
        if self.record_path.is_file():
            return "complete"
        if self.failure_path.is_file():
            return f"failed: {self.failure_path.read_text().strip()}"
        return "started" if self.folder.is_dir() else "not started"

    def read_record(self) -> dict[str, Any] | None:
        """What a complete run came to: ``metrics`` in [0, 1], ``seconds``, settings."""
        if not self.record_path.is_file():
            return None
        return json.loads(self.record_path.read_text())


def find_run(work_dir: Path, config: str, seed: int) -> Run:
    """The run of a config and a seed below a work dir."""
    return Run(config, seed, work_dir / config / f"seed_{seed}")


def existing_runs(work_dir: Path) -> list[Run]:
    """The runs that have a folder below a work dir, sorted by config and seed."""
    runs = []
    for folder in sorted(work_dir.glob("*/seed_*")):
        seed = folder.name.removeprefix("seed_")
        if seed.isdigit():
            runs.append(Run(folder.parent.name, int(seed), folder))
    return sorted(runs, key=lambda run: (run.config, run.seed))


def build_settings(
    config_path: Path,
    seed: int,
    data_root: Path,
    max_epochs: int | None = None,
    cfg_options: Mapping[str, Any] | None = None,
) -> Config:
    """The whole config of a run.

    Args:
        config_path: The small config.
        seed: Random seed.
        data_root: Folder with ``train.json``, ``val.json`` and the frames.
        max_epochs: Length of the training; None for the config's own.
        cfg_options: Further values to replace, as ``--cfg-options`` takes them.

    Returns:
        The config. Testing has its own process, so training does not validate.
    """
    cfg = Config.fromfile(config_path)
    cfg.merge_from_dict(dict(cfg_options or {}))
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.data_root = str(data_root)
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        evaluator.ann_file = str(data_root / "val.json")
    if max_epochs is not None:
        _set_max_epochs(cfg, max_epochs)
    cfg.train_cfg.val_begin = cfg.train_cfg.max_epochs + 1
    # With one, the last checkpoint is removed before the next is written.
    cfg.default_hooks.checkpoint.max_keep_ckpts = 2
    cfg.randomness = dict(seed=seed)
    return cfg


def check_settings(run: Run, settings: Config) -> None:
    """Raise UsageError if the folder of a run was made with other settings."""
    path = run.folder / "config.py"
    if not path.is_file():
        return
    before, now = _flatten(Config.fromfile(path)), _flatten(settings)
    for key in before | now:
        if before.get(key) != now.get(key):
            raise UsageError(
                f"{run.folder} was made with other settings ({key} was "
                f"{before.get(key, 'not set')} and is now {now.get(key, 'not set')}); "
                "give the same options as then, or another --work-dir."
            )


def execute(run: Run, settings: Config) -> None:
    """Do what is left of a run: train, test, record.

    Args:
        run: The run; a complete one is left alone.
        settings: See :func:`build_settings`.

    Raises:
        RunFailed: If training or testing fails.
        RunBusy: If another process is working on it.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    with _locked(run) as lock:
        if run.record_path.is_file():
            return
        run.failure_path.unlink(missing_ok=True)
        try:
            _train_and_test(run, settings, lock)
        except RunFailed as error:
            run.failure_path.write_text(f"{error}\n")
            raise


def train_command(run: Run) -> list[str]:
    """Command line that trains a run, from its last checkpoint if there is one."""
    config, work_dir = str(run.folder / "config.py"), str(run.folder / "train")
    script = str(TOOLS / "train.py")
    return [sys.executable, script, config, "--work-dir", work_dir, "--resume"]


def test_command(run: Run, checkpoint: Path) -> list[str]:
    """Command line that tests the checkpoint of a run."""
    config, work_dir = str(run.folder / "config.py"), str(run.folder / "test")
    command = [sys.executable, str(TOOLS / "test.py"), config, str(checkpoint)]
    out = str(run.folder / "results.json")
    return [*command, "--work-dir", work_dir, "--out", out]


def final_checkpoint(run: Run, settings: Config) -> Path | None:
    """The checkpoint that a complete training ends with, if it is there.

    The name of a checkpoint is noted when its file is complete.
    """
    name = f"epoch_{settings.train_cfg.max_epochs}.pth"
    path, note = run.folder / "train" / name, run.folder / "train" / "last_checkpoint"
    complete = note.is_file() and Path(note.read_text().strip()).name == name
    return path if complete and path.is_file() else None


def mean_and_std(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean, and sample standard deviation, which takes two values at least."""
    spread = statistics.stdev(values) if len(values) > 1 else None
    return statistics.fmean(values), spread


def _train_and_test(run: Run, settings: Config, lock: IO) -> None:
    config, results = run.folder / "config.py", run.folder / "results.json"
    if not config.is_file():
        # Formatting it nicely takes longer; the tools do that in their work dirs.
        lines = [f"{key} = {value!r}\n" for key, value in settings.to_dict().items()]
        with atomic_path(config) as partial:
            partial.write_text("".join(lines))
    if final_checkpoint(run, settings) is None:
        run_command(train_command(run), run.folder, "train", lock)
    checkpoint = final_checkpoint(run, settings)
    if checkpoint is None:
        raise RunFailed(f"training ended early; see {run.folder / 'train.log'}")
    if not results.is_file():
        run_command(test_command(run, checkpoint), run.folder, "test", lock)
    try:
        figures = evaluate_ytvis(settings.test_evaluator.ann_file, results)
    except (FileNotFoundError, ValueError) as error:
        raise RunFailed(str(error)) from error
    record = dict(
        config=run.config,
        seed=run.seed,
        metrics={name: figures[name] for name in METRICS},
        seconds={name: _seconds(run.folder, name) for name in ("train", "test")},
        max_epochs=settings.train_cfg.max_epochs,
        ann_file=settings.test_evaluator.ann_file,
    )
    with atomic_path(run.record_path) as partial:
        partial.write_text(json.dumps(record, indent=2) + "\n")


def run_command(command: Sequence[str], folder: Path, name: str, lock: IO) -> None:
    """Run a command to its end, and add up the time it takes.

    Args:
        command: The command line.
        folder: Where ``{name}.log`` and ``{name}_seconds.txt`` are continued.
        name: ``train`` or ``test``.
        lock: Open file with the lock of the run, which the command keeps if this
            process is killed.

    Raises:
        RunFailed: If it ends with an error.
    """
    log_path = folder / f"{name}.log"
    before, start = _seconds(folder, name), time.monotonic()
    with (
        log_path.open("ab") as log,
        subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, pass_fds=[lock.fileno()]
        ) as process,
    ):
        try:
            code = None
            while code is None:
                code = _wait(process)
                seconds = before + time.monotonic() - start
                with atomic_path(_seconds_path(folder, name)) as partial:
                    partial.write_text(f"{seconds:.1f}\n")
        except BaseException:
            process.terminate()
            raise
    if code != 0:
        raise RunFailed(f"{name} ended with code {code}; see {log_path}")


def _wait(process: subprocess.Popen) -> int | None:
    try:
        return process.wait(TICK)
    except subprocess.TimeoutExpired:
        return None


def _seconds_path(folder: Path, name: str) -> Path:
    return folder / f"{name}_seconds.txt"


def _seconds(folder: Path, name: str) -> float:
    """What the attempts so far took."""
    path = _seconds_path(folder, name)
    return float(path.read_text()) if path.is_file() else 0.0


@contextmanager
def _locked(run: Run) -> Iterator[IO]:
    """Keep other processes off a run; give the open file that holds the lock."""
    with (run.folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunBusy from error
        yield file


def _set_max_epochs(cfg: Config, max_epochs: int) -> None:
    """Change the length of the training, and schedules that end with it."""
    for scheduler in cfg.param_scheduler:
        if scheduler.get("end") == cfg.train_cfg.max_epochs:
            scheduler.end = max_epochs
    cfg.train_cfg.update(max_epochs=max_epochs, val_interval=max_epochs)


def _flatten(node: Any, where: str = "") -> dict[str, Any]:
    """The values of nested dicts and lists by their dotted keys."""
    if isinstance(node, Config):
        node = node.to_dict()
    if isinstance(node, Mapping):
        items = list(node.items())
    elif isinstance(node, list | tuple):
        items = list(enumerate(node))
    else:
        return {where: node}
    flat: dict[str, Any] = {}
    for key, value in items:
        flat |= _flatten(value, f"{where}.{key}" if where else str(key))
    return flat
