"""Count the parameters of the model of a config."""

import argparse
from collections.abc import Sequence

# The package first: it says in one sentence what is missing to run it.
import mmtaformer  # noqa: F401

# isort: split
from mmengine.config import Config, DictAction
from torch import nn

from mmtaformer.utils.launch import friendly_errors, require_file
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
    with friendly_errors():
        require_file(args.config, "config")
        cfg = Config.fromfile(args.config)
        cfg.merge_from_dict(args.cfg_options or {})
        print_counts(build_skeleton(cfg.model))


def print_counts(model: nn.Module) -> None:
    """Print the counts of a model."""
    published = count_published(model)
    trainable = count_trainable(model)
    for name, count in count_parts(model).items():
        print(f"  {name:<22}{count:>12,}")
    print(f"trainable parameters    {trainable:>12,}  {trainable / 1e6:.1f} M")
    print(f"as the paper counts     {published:>12,}  {published / 1e6:.1f} M")


if __name__ == "__main__":
    main()
