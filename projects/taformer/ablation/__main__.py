"""Train and test rows of the paper's tables on small models, with several seeds.

Stop it at any time: the same command continues with the last checkpoints. The report is
written after each run, to WORK_DIR/ablation.md, .png and .pdf.
"""

import argparse
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from mmengine.config import Config, DictAction

from mmtaformer.utils.errors import DataError
from mmtaformer.utils.launch import UsageError, friendly_errors, require_file

from ..paper import ROOT
from .report import write_report
from .rows import TABLES, select_rows, small_configs
from .runs import Run, build_settings

TICK = 0.5  # seconds between two looks at the running processes


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m projects.taformer.ablation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--seeds", type=int, nargs="+", default=[0, 1, 2], help="default: 0 1 2")
    add(
        "--tables",
        type=int,
        nargs="+",
        choices=TABLES,
        default=[3, 4, 6],
        help="default: 3 4 6; 7 needs a small model with four temporal points",
    )
    add(
        "--rows",
        nargs="*",
        metavar="ROW",
        help="only these, such as table6_cl; --rows alone leaves --configs",
    )
    add(
        "--configs",
        nargs="+",
        default=[],
        metavar="CONFIG",
        help="other models to train on the same data, beside the rows",
    )
    add(
        "--base",
        default=str(ROOT / "configs/taformer/taformer_tiny_synthvis-deform.py"),
        help="small model with all parts, which the rows change "
        "(default: taformer_tiny_synthvis-deform.py)",
    )
    add(
        "--data-root",
        default="data/synthvis_deform",
        help="default: data/synthvis_deform",
    )
    add("--work-dir", default="work_dirs/ablation", help="default: work_dirs/ablation")
    add("--max-epochs", type=int, help="length of every training")
    add(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        metavar="KEY=VALUE",
        help="values that replace those of the base, before a row changes it",
    )
    add(
        "--jobs",
        type=int,
        default=1,
        help="runs at a time, which share the cores unless OMP_NUM_THREADS is set",
    )
    add("--dry-run", action="store_true", help="print what would be run")
    add("--report-only", action="store_true", help="write the report of what is there")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Do as the command line says."""
    args = parse_args(argv)
    work_dir = Path(args.work_dir)
    with friendly_errors():
        runs = [] if args.report_only else make_plan(args)
        if args.dry_run:
            print_plan(runs)
            return
        failures = carry_out(runs, args.jobs, work_dir)
        if failures:
            raise UsageError(
                f"{len(failures)} of {len(runs)} runs failed; the same command tries "
                "them again.\n" + "\n".join(failures)
            )
        write_report(work_dir)
        print(f"The report is {work_dir / 'ablation.md'}.")


def make_plan(args: argparse.Namespace) -> list[Run]:
    """The runs that the command line asks for, one seed after the other."""
    data_root = Path(args.data_root)
    for path in (args.base, *args.configs):
        require_file(path, "config")
    rows = select_rows(args.tables, args.rows)
    configs = small_configs(rows, args.base, args.cfg_options)
    configs |= {Path(path).stem: Config.fromfile(path) for path in args.configs}
    return [
        Run(
            Path(args.work_dir) / name / f"seed_{seed}",
            build_settings(config, seed, data_root, args.max_epochs),
        )
        for seed in dict.fromkeys(args.seeds)
        for name, config in configs.items()
    ]


def print_plan(runs: Sequence[Run]) -> None:
    """Print what is complete, and the commands that are left."""
    for run in runs:
        print(f"# {run.folder}: {'complete' if run.done else 'to do'}")
        for command in () if run.done else run.commands():
            print(" ".join(command))


def carry_out(runs: Sequence[Run], jobs: int, work_dir: Path) -> list[str]:
    """Carry out what is not complete, ``jobs`` runs at a time.

    Returns:
        What failed, one sentence each.
    """
    for run in runs:  # all of them, before hours pass
        run.prepare()
    waiting = deque(run for run in runs if not run.done)
    running: dict[Path, Iterator[None]] = {}
    failures: list[str] = []
    # Whoever ends this process ends the trainings, too.
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                run = waiting.popleft()
                print(f"{run.folder} ({len(waiting)} more wait)", flush=True)
                running[run.folder] = train_and_test(run, jobs)
            for folder, steps in list(running.items()):
                try:
                    next(steps)
                    continue
                except (DataError, UsageError) as error:
                    failures.append(f"{folder}: {error}")
                    print(f"{folder} failed: {error}", flush=True)
                except StopIteration:
                    write_report(work_dir)
                del running[folder]
            time.sleep(TICK)
    finally:
        for steps in running.values():
            steps.close()
        signal.signal(signal.SIGTERM, previous)
    return failures


def train_and_test(run: Run, jobs: int) -> Iterator[None]:
    """Train, test and record a run; yield while one of its processes works.

    Raises:
        UsageError: If a process ends with an error.
    """
    threads = max(1, (os.cpu_count() or 1) // jobs)
    environment = {"OMP_NUM_THREADS": str(threads), **os.environ}
    log_path = run.folder / "log.txt"
    for command in run.commands():
        with log_path.open("ab") as log:
            process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, env=environment
            )
            try:
                while process.poll() is None:
                    yield
            finally:
                process.terminate()
                process.wait()
        if process.returncode != 0:
            raise UsageError(f"code {process.returncode}; see {log_path}")
    run.record()


if __name__ == "__main__":
    main()
