"""The options that training and testing share, and the config they come to."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..errors import UsageError
from .config_check import check_config
from .options import check_options, parse_value


class OptionsAction(argparse.Action):
    """Collect KEY=VALUE arguments in a dictionary.

    mmengine's ``DictAction`` with what it lacks: spaces in a value are kept, a value
    in quotes is a text, and an argument without ``=`` is refused in one sentence.
    """

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        options = dict(getattr(namespace, self.dest) or {})
        for argument in values or ():
            key, equals, text = argument.partition("=")
            key = key.strip()
            if not equals or not all(key.split(".")):
                raise argparse.ArgumentError(
                    self,
                    f"expected KEY=VALUE, such as train_dataloader.batch_size=2, but "
                    f"got {argument!r}",
                )
            try:
                options[key] = parse_value(text)
            except ValueError as error:
                raise argparse.ArgumentError(self, f"{key}: {error}") from error
        setattr(namespace, self.dest, options)


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that training and testing share."""
    parser.add_argument(
        "--work-dir", help="folder for logs and checkpoints (work_dirs/CONFIG NAME)"
    )
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=OptionsAction,
        metavar="KEY=VALUE",
        help="values that replace those of the config, such as "
        "train_dataloader.batch_size=2 model.bbox_head.num_classes=3",
    )
    parser.add_argument(
        "--launcher",
        choices=["none", "pytorch", "slurm", "mpi"],
        default="none",
        help="what started the processes of a distributed run",
    )
    # torchrun sets the environment variable; older launchers pass either spelling.
    parser.add_argument(
        "--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS
    )


def load_config(args: argparse.Namespace) -> Config:
    """Read the config of the command line and apply the common options.

    Args:
        args: ``config`` and what :func:`add_common_arguments` adds.

    Returns:
        The config, with work_dir and launcher set.

    Raises:
        FileNotFoundError: If there is no such config.
        UsageError: If it cannot be read, has no place for an option, or has one of
            the mistakes of :func:`check_config`.
    """
    cfg = _read_config(args.config)
    cfg.launcher = args.launcher
    if args.cfg_options:
        check_options(cfg, args.cfg_options)
        cfg.merge_from_dict(args.cfg_options)
    check_config(cfg)
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get("work_dir") is None:
        cfg.work_dir = str(Path("work_dirs", Path(args.config).stem))
    return cfg


def _read_config(path: str) -> Config:
    require_file(path, "config")
    if Path(path).suffix not in (".py", ".yml", ".yaml", ".json"):
        raise UsageError(f"The config {path} is not a .py, .yml or .json file.")
    try:
        return Config.fromfile(path)
    except FileNotFoundError as error:
        if ".mim" not in str(error):
            raise
        raise UsageError(
            f"{path} inherits from a config by the name of its package (PACKAGE::...), "
            f"for which the package must be installed, not only found: {error}."
        ) from error
    except SyntaxError as error:
        raise UsageError(
            f"{path}, or a config that it inherits from, is not valid: "
            f"{' '.join(str(error).split())}."
        ) from error


def require_file(path: str, kind: str) -> None:
    """Raise FileNotFoundError if a path of the command line leads to no file.

    Addresses such as https://... are left to mmengine.
    """
    if "://" not in path and not Path(path).is_file():
        raise FileNotFoundError(
            f"There is no {kind} {path} (looked from {Path.cwd()}); check the path."
        )
