"""Convert a checkpoint of another code base to this project, or adapt one of its own.

Examples::

    # SeqFormer's released weights, to evaluate or fine-tune SeqFormer
    python tools/model_converters/convert_checkpoint.py seqformer \\
        seqformer_r50.pth checkpoints/seqformer_r50.pth \\
        --config configs/seqformer/seqformer_r50_4xb4-6e_youtubevis2019.py

    # the same weights as the start of TAFormer
    python tools/model_converters/convert_checkpoint.py seqformer \\
        seqformer_r50.pth checkpoints/taformer_r50_from-seqformer.pth \\
        --config configs/taformer/taformer_r50_4xb4-6e_youtubevis2019.py \\
        --temporal-init inflate

Train from the result with ``--cfg-options load_from=checkpoints/....pth``.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import DictAction

from mmtaformer.apis import init_model
from mmtaformer.converters import (
    CLASS_ROWS,
    LEVELS,
    SOURCES,
    convert_checkpoint,
    format_report,
    load_converted,
    write_checkpoint,
)
from mmtaformer.models.temporal_init import TEMPORAL_INITS
from mmtaformer.utils.launch import UsageError, friendly_errors


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0],
        epilog="source:\n"
        + "\n".join(
            f"  {name:22} {kind.description}" for name, kind in SOURCES.items()
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("source", choices=SOURCES, metavar="source", help="code base, see below")
    add("src", help="checkpoint to convert")
    add("dst", help="checkpoint to write")
    add("--config", help="load the result into the model of this config as a check")
    add(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        metavar="KEY=VALUE",
        help="values that replace those of the config",
    )
    add(
        "--class-rows",
        choices=CLASS_ROWS,
        default="auto",
        help="rows of the class branches: auto selects those of the categories where "
        "the source indexes them by raw category id (42 of YouTube-VIS become 40, 91 "
        "of COCO become 80), keep keeps them all, drop leaves the class branches out "
        "(default: auto)",
    )
    add(
        "--one-level",
        choices=LEVELS,
        help="reduce a model of several feature levels to this one; needs --config",
    )
    add(
        "--temporal-init",
        choices=TEMPORAL_INITS,
        help="how TAFormer's temporal parts start when the source has none; needs "
        "--config; inflate is nearest to the source",
    )
    args = parser.parse_args(argv)
    for option in ("one_level", "temporal_init"):
        if getattr(args, option) and not args.config:
            parser.error(
                f"--{option.replace('_', '-')} depends on the model that takes the "
                "weights; give its config with --config"
            )
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """Convert as the command line says."""
    args = parse_args(argv)
    with friendly_errors():
        convert(args)


def convert(args: argparse.Namespace) -> None:
    """Convert, check, report and write."""
    if Path(args.src).resolve() == Path(args.dst).resolve():
        raise UsageError(f"{args.dst} is the source; choose another file to write.")
    model = None
    if args.config:
        model = init_model(args.config, device="cpu", cfg_options=args.cfg_options)
    conversion = convert_checkpoint(
        args.source,
        args.src,
        class_rows=args.class_rows,
        one_level=args.one_level,
        temporal_init=args.temporal_init,
        model=model,
    )
    missing = load_converted(conversion, model) if model is not None else None
    print(format_report(conversion, missing))
    write_checkpoint(
        args.dst,
        conversion.state_dict,
        source=Path(args.src).name,
        converter=args.source,
        class_rows=args.class_rows,
        one_level=args.one_level,
        temporal_init=args.temporal_init,
    )
    print(f"\nWrote {len(conversion.state_dict)} parameters to {args.dst}.")
    if missing is None:
        print("Not checked against a model: give one with --config.")
    else:
        print(
            f"Loaded them into the model of {args.config}; {len(missing)} of its own "
            "are left at initialization."
        )


if __name__ == "__main__":
    main()
