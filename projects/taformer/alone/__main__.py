"""Train the encoder or the decoder alone, on features that are given.

Near an object the features say where its middle is and, in some frames only, what is
asked: that it is there at all (task hidden), or which of two look-alikes it is (task
twins). So whatever is found where a frame does not say it comes from other frames.
"""

import argparse
from collections.abc import Iterator, Sequence

from mmengine.config import DictAction
from mmengine.registry import init_default_scope
from rich.live import Live
from rich.table import Table

from mmtaformer.apis.inference import quiet
from mmtaformer.evaluation.own_frames import only_own_frames
from mmtaformer.utils.launch import friendly_errors

from .decoder import DecoderTrial
from .encoder import EncoderTrial
from .trial import CONFIG, Trial, read_config
from .videos import TASKS

PARTS: dict[str, type[Trial]] = {"encoder": EncoderTrial, "decoder": DecoderTrial}


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m projects.taformer.alone",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("part", choices=PARTS, help="decoder includes the head")
    add("--tasks", nargs="+", choices=TASKS, default=TASKS, help="default: both")
    add("--seeds", type=int, nargs="+", default=[0, 1, 2], help="default: 0 1 2")
    add("--steps", type=int, default=1152, help="of five clips (default: 1152)")
    add("--config", default=str(CONFIG), help="small TAFormer (default: %(default)s)")
    add(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        default={},
        metavar="KEY=VALUE",
        help="values of the config that are replaced, such as model.num_queries=2",
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table that the command line asks for."""
    args = parse_args(argv)
    init_default_scope("mmdet")
    table = Table(
        *("task", "seed", "shown", "not shown", "copies"),
        title="IoU where a frame shows what is\nasked and where it does not",
    )
    # Quiet, or mmengine names every parameter of every model.
    with friendly_errors(), quiet():
        with Live(table):  # rows appear as trials end
            for cells in run_trials(args):
                table.add_row(*cells)
        print()


def run_trials(args: argparse.Namespace) -> Iterator[tuple[str, ...]]:
    """Train and test one after the other; the table's rows."""
    config = read_config(args.config, args.cfg_options)
    for task in args.tasks:
        for seed in args.seeds:
            trial = PARTS[args.part](config, task, seed)
            trial.train(args.steps)
            shown, hidden = trial.test()
            with only_own_frames(trial.model, trial.temporal_layers):
                _, copies = trial.test()
            figures = (f"{x:.1f}" for x in (shown, hidden, copies))
            yield task, str(seed), *figures


if __name__ == "__main__":
    main()
