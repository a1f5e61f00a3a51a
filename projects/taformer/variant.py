"""Write a config that changes another one as a row of the paper changes TAFormer.

The rows of Tables 3, 4, 6 and 7 are TAFormer with something left out or replaced. Here
the same is done to the small model, to the config of the pretraining, to any TAFormer.
"""

import argparse
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmtaformer.utils.files import atomic_path
from mmtaformer.utils.launch import UsageError, friendly_errors, require_file

CONFIGS = Path(__file__).resolve().parent / "configs"
FULL = CONFIGS / "table3_st-enc_ta-dec_cl.py"


def vary(base: Config, row: Path) -> Config:
    """Change the model of a config as a row changes the full model.

    Args:
        base: A config of TAFormer with all of its parts.
        row: Config of the row.

    Returns:
        A copy of ``base``; all but the model stays.
    """
    varied = deepcopy(base)
    full, own = Config.fromfile(FULL), Config.fromfile(row)
    transfer(full.model, own.model, varied.model)
    return varied


def transfer(before: dict, after: dict, target: dict[str, Any]) -> None:
    """Change ``target`` in place as ``before`` was changed to become ``after``."""
    for key in before.keys() | after.keys():
        if key not in after:
            target.pop(key, None)
        elif key not in before:
            target[key] = deepcopy(after[key])
        elif before[key] != after[key]:
            nodes = (before[key], after[key], target.get(key))
            if all(isinstance(node, dict) for node in nodes):
                transfer(*nodes)
            else:
                target[key] = deepcopy(after[key])


def find_row(name: str) -> Path:
    """Find the config of a row by its name.

    Raises:
        UsageError: If there is no such row.
    """
    path = CONFIGS / f"{name}.py"
    if not path.is_file():
        known = ", ".join(sorted(path.stem for path in CONFIGS.glob("*.py")))
        raise UsageError(f"there is no row {name}; choose of {known}.")
    return path


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("row", help="name of the row, such as table4_addition")
    parser.add_argument("base", help="config to change")
    parser.add_argument("out", help="config to write")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Write the config that the command line asks for."""
    args = parse_args(argv)
    with friendly_errors():
        require_file(args.base, "config")
        config = vary(Config.fromfile(args.base), find_row(args.row))
        with atomic_path(args.out) as partial:
            config.dump(partial)
        print(f"Wrote {args.out}.")


if __name__ == "__main__":
    main()
