"""Train and test the small versions of Tables 3, 4 and 6 with several seeds.

Stop it at any time: the same command continues where it was. Started several times at
once, the processes share the runs. The report is written after each run, to
WORK_DIR/ablation.md, .png and .pdf.
"""

import argparse
import fcntl
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ablation_report import write_report
from ablation_rows import CONFIG_DIR, ROWS, TITLES, select_rows, unique_configs
from ablation_runs import (
    TOOLS,
    Run,
    RunBusy,
    RunFailed,
    build_settings,
    check_settings,
    execute,
    existing_runs,
    final_checkpoint,
    find_run,
    test_command,
    train_command,
)
from mmengine.config import Config, DictAction

from mmtaformer.utils.launch import INTERRUPTED, UsageError, friendly_errors


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--seeds", type=int, nargs="+", default=[0, 1, 2], help="0 1 2 if not given")
    add("--tables", type=int, nargs="+", choices=tuple(TITLES), help="only these")
    names = ", ".join(row.name for row in ROWS)
    add("--rows", nargs="+", metavar="ROW", help=f"only these, of {names}")
    add(
        "--data-root",
        default="data/synthvis",
        help="folder with train.json, val.json and frames; it is generated if it is "
        "not there (default: data/synthvis)",
    )
    add(
        "--difficulty",
        choices=("easy", "medium", "hard"),
        help="of the generated data (default: medium); if the data exists it must "
        "have been generated with it",
    )
    add("--work-dir", default="work_dirs/ablation", help="default: work_dirs/ablation")
    add("--max-epochs", type=int, help="length of every training")
    add(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        metavar="KEY=VALUE",
        help="values that replace those of every config",
    )
    add("--dry-run", action="store_true", help="print what would be run")
    add("--report-only", action="store_true", help="write the report of what is there")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Do as the command line says."""
    args = parse_args(argv)
    work_dir = Path(args.work_dir)
    with friendly_errors():
        plan = make_plan(args, work_dir)
        if args.dry_run:
            print_plan(plan)
        elif args.report_only:
            if not existing_runs(work_dir):
                raise UsageError(f"there are no runs in {work_dir}; check --work-dir.")
            write_report(work_dir)
            print(f"The report is {work_dir / 'ablation.md'}.")
        else:
            run_all(args, plan, work_dir)


def run_all(
    args: argparse.Namespace, plan: Sequence[tuple[Run, Config]], work_dir: Path
) -> None:
    """Execute a plan, or what is left of it, and end the program accordingly."""
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        check_folders(args, plan, work_dir)
        ensure_data(Path(args.data_root), args.difficulty, work_dir)
        failures = execute_plan(plan, work_dir)
    except KeyboardInterrupt:
        print("\nInterrupted. The same command continues.", file=sys.stderr)
        sys.exit(INTERRUPTED)
    finally:
        signal.signal(signal.SIGTERM, previous)
    print(f"The report is {work_dir / 'ablation.md'}.")
    if failures:
        sys.exit(
            f"error: {len(failures)} of {len(plan)} runs failed; the same command "
            "tries them again.\n" + "\n".join(failures)
        )


def settings_of(args: argparse.Namespace, config: str, seed: int) -> Config:
    """The whole config of a run with the options of the command line."""
    return build_settings(
        CONFIG_DIR / f"{config}.py",
        seed,
        Path(args.data_root),
        args.max_epochs,
        args.cfg_options,
    )


def make_plan(args: argparse.Namespace, work_dir: Path) -> list[tuple[Run, Config]]:
    """The runs that the chosen rows need, one seed after the other."""
    configs = unique_configs(select_rows(args.tables, args.rows))
    return [
        (find_run(work_dir, config, seed), settings_of(args, config, seed))
        for seed in dict.fromkeys(args.seeds)
        for config in configs
    ]


def check_folders(
    args: argparse.Namespace, plan: Sequence[tuple[Run, Config]], work_dir: Path
) -> None:
    """Raise UsageError unless all runs of a work dir have the same options."""
    settings: dict[Run, Any] = dict(plan)
    known = {row.config for row in ROWS}
    for run in existing_runs(work_dir):
        if run.config in known:
            check_settings(
                run, settings.get(run) or settings_of(args, run.config, run.seed)
            )


def ensure_data(data_root: Path, difficulty: str | None, work_dir: Path) -> None:
    """Generate the data unless it is there; raise UsageError if that fails.

    Processes that share a work dir do so one after the other.
    """
    work_dir.mkdir(parents=True, exist_ok=True)
    with (work_dir / "data.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        present = all((data_root / f"{s}.json").is_file() for s in ("train", "val"))
        if present and difficulty is None:
            return
        script = str(TOOLS / "dataset_converters" / "generate_synthvis.py")
        command = [sys.executable, script, "--out", str(data_root)]
        code = subprocess.call([*command, "--difficulty", difficulty or "medium"])
    if code != 0:
        raise UsageError(
            f"the data in {data_root} could not be generated; see the message above."
        )


def execute_plan(plan: Sequence[tuple[Run, Config]], work_dir: Path) -> list[str]:
    """Execute what is not complete, and write the report after each run.

    What another process is working on is left to it.

    Returns:
        What failed, one sentence each.
    """
    failures = []
    for number, (run, settings) in enumerate(plan, start=1):
        state = run.state()
        print(f"[{number}/{len(plan)}] {run.name}: {state}", flush=True)
        if state == "complete":
            continue
        try:
            execute(run, settings)
        except RunBusy:
            print("  left to another process, which is working on it", flush=True)
        except RunFailed as error:
            failures.append(f"{run.name}: {error}")
            print(f"  failed: {error}", flush=True)
        write_report(work_dir)
    write_report(work_dir)
    return failures


def print_plan(plan: Sequence[tuple[Run, Config]]) -> None:
    """Print the state of each run and the commands that are left."""
    for run, settings in plan:
        state = run.state()
        print(f"# {run.name}: {state}")
        if state == "complete":
            continue
        checkpoint = final_checkpoint(run, settings)
        if checkpoint is None:
            print(" ".join(train_command(run)))
            name = f"epoch_{settings.train_cfg.max_epochs}.pth"
            checkpoint = run.folder / "train" / name
        print(" ".join(test_command(run, checkpoint)))


if __name__ == "__main__":
    main()
