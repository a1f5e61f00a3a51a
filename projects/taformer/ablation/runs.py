"""Training and testing one config with one seed, in a folder of its own."""

import json
import sys
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmtaformer.evaluation import (
    evaluate_ytvis,
    has_visibilities,
    iou_by_visibility,
    load_ground_truth,
)
from mmtaformer.utils.files import atomic_path
from mmtaformer.utils.launch import UsageError

from ..figures import contribution
from ..figures.curves import read_log
from ..paper import ROOT

METRICS = ("AP", "AP50", "AP75", "AR1", "AR10", "IoU_drawn", "IoU_weakened")
CONTRIBUTION = [sys.executable, "-m", contribution.__name__]


@dataclass(frozen=True)
class Run:
    """One config trained and tested with one seed.

    Attributes:
        folder: Where everything of this run lies: ``config.py`` (all settings),
            ``train/`` and ``test/`` (work dirs of the tools), their output in
            ``log.txt``, ``results.json``, ``contribution.json`` (AP without other
            frames, of models that look at them) and, once it is complete,
            ``record.json``.
        settings: See :func:`build_settings`.
    """

    folder: Path
    settings: Config

    @property
    def done(self) -> bool:
        """Whether the run is complete."""
        return (self.folder / "record.json").is_file()

    def commands(self) -> list[list[str]]:
        """The command lines of a run; the first continues what is there."""
        config = str(self.folder / "config.py")
        train, test = self.folder / "train", self.folder / "test"
        last = train / f"epoch_{self.settings.train_cfg.max_epochs}.pth"
        tools = [
            [sys.executable, str(ROOT / "tools" / f"{t}.py")] for t in ("train", "test")
        ]
        out = str(self.folder / "results.json")
        commands = [
            [*tools[0], config, "--work-dir", str(train), "--resume"],
            [*tools[1], config, str(last), "--work-dir", str(test), "--out", out],
        ]
        if looks_at_other_frames(self.settings.model):
            dataset = self.settings.test_dataloader.dataset
            images = str(Path(dataset.data_root, dataset.data_prefix.img_path))
            data = [self.settings.test_evaluator.ann_file, "--img-prefix", images]
            model = ["--model", self.folder.parent.name, config, str(last)]
            figures = ["--json", str(self.folder / "contribution.json")]
            commands.append([*CONTRIBUTION, *data, *model, *figures])
        return commands

    def prepare(self) -> None:
        """Write the config, unless it is there.

        Raises:
            UsageError: If the folder was made with other settings.
        """
        path = self.folder / "config.py"
        if not path.is_file():
            # Formatting it nicely takes longer; the tools do that in their work dirs.
            content = self.settings.to_dict()
            lines = [f"{key} = {value!r}\n" for key, value in content.items()]
            with atomic_path(path) as partial:
                partial.write_text("".join(lines))
        before = Config.fromfile(path)
        if before.to_dict() != self.settings.to_dict():
            lines = Config.diff(before, self.settings).splitlines()[2:]
            changes = "\n".join(line for line in lines if line[:1] in ("+", "-"))
            raise UsageError(
                f"{self.folder} was made with other settings; give the same options as "
                f"then, or another --work-dir.\n{changes}"
            )

    def record(self) -> None:
        """Evaluate the results and note what the run came to."""
        ann_file = self.settings.test_evaluator.ann_file
        ground_truth = load_ground_truth(ann_file)
        results = self.folder / "results.json"
        figures = evaluate_ytvis(ground_truth, results)
        if has_visibilities(ground_truth):
            figures |= iou_by_visibility(ground_truth, results)
        content = dict(
            metrics={name: figures[name] for name in METRICS if name in figures},
            own_frames=self._read_contribution(),
            training_seconds=training_seconds(self.folder / "train"),
            max_epochs=self.settings.train_cfg.max_epochs,
            ann_file=ann_file,
        )
        with atomic_path(self.folder / "record.json") as partial:
            partial.write_text(json.dumps(content, indent=2) + "\n")

    def _read_contribution(self) -> dict[str, float]:
        path = self.folder / "contribution.json"
        if not path.is_file():
            return {}
        (figures,) = json.loads(path.read_text()).values()
        return {case: ap for case, ap in figures.items() if contribution.CASES[case]}


def looks_at_other_frames(model: Config) -> bool:
    """Whether a model is a TAFormer with a temporal part in encoder or decoder."""
    if model.type != "TAFormer":
        return False
    window = model.encoder.layer_cfg.self_attn_cfg.get("temporal_window", 2)
    return bool(window or model.decoder.get("temporal_self_attn"))


def read_records(work_dir: Path) -> dict[str, dict[int, dict[str, Any]]]:
    """Read the records of complete runs: by name of the model, then by seed."""
    records: dict[str, dict[int, dict[str, Any]]] = {}
    for path in work_dir.glob("*/seed_*/record.json"):
        seed = int(path.parent.name.removeprefix("seed_"))
        name = path.parents[1].name
        records.setdefault(name, {})[seed] = json.loads(path.read_text())
    return {name: dict(sorted(runs.items())) for name, runs in sorted(records.items())}


def build_settings(
    config: Config, seed: int, data_root: Path, max_epochs: int | None = None
) -> Config:
    """Complete the config of a run.

    Args:
        config: What is trained; it stays as it is.
        seed: Random seed.
        data_root: Folder with ``train.json``, ``val.json`` and the frames.
        max_epochs: Length of the training; None for the config's own.

    Returns:
        The config. Testing has its own process, so training does not validate.
    """
    cfg = deepcopy(config)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.data_root = str(data_root)
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        evaluator.ann_file = str(data_root / "val.json")
    if max_epochs is not None:
        for scheduler in cfg.param_scheduler:
            if scheduler.get("end") == cfg.train_cfg.max_epochs:
                scheduler.end = max_epochs
        cfg.train_cfg.update(max_epochs=max_epochs, val_interval=max_epochs)
    cfg.train_cfg.val_begin = cfg.train_cfg.max_epochs + 1
    cfg.default_hooks.checkpoint.max_keep_ckpts = 2
    cfg.randomness = dict(seed=seed)
    return cfg


def training_seconds(work_dir: Path) -> float:
    """Time of the iterations that the final checkpoint has seen, from the log."""
    curve = read_log(work_dir)["time"]
    before = [0, *(step for step, _ in curve)]
    return sum(s * (step - b) for b, (step, s) in zip(before[:-1], curve, strict=True))
