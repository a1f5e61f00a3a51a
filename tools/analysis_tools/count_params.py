"""Count the parameters of the model of a config."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

# The package first: it says in one sentence what is missing to run it.
import mmtaformer  # noqa: F401

# isort: split
from mmengine.config import Config, DictAction

from mmtaformer.utils.param_count import (
    build_skeleton,
    count_parts,
    count_published,
    count_trainable,
)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="config file")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        metavar="KEY=VALUE",
        help="values that replace those of the config: model.backbone.depth=101",
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the number of trainable parameters and the paper's count."""
    args = parse_args(argv)
    if not Path(args.config).is_file():
        sys.exit(
            f"error: There is no config {args.config} (looked from {Path.cwd()}); "
            "check the path."
        )
    cfg = Config.fromfile(args.config)
    if args.cfg_options is not None:
        cfg.merge_from_dict(args.cfg_options)
    model = build_skeleton(cfg.model)
    try:
        published = count_published(model)
    except ValueError as error:
        sys.exit(f"error: {error}")
    trainable = count_trainable(model)
    for name, count in count_parts(model).items():
        print(f"  {name:<22}{count:>12,}")
    print(f"trainable parameters    {trainable:>12,}  {trainable / 1e6:.1f} M")
    print(f"as the paper counts     {published:>12,}  {published / 1e6:.1f} M")


if __name__ == "__main__":
    main()
