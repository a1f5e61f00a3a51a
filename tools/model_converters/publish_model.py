"""Make weights to pass on from the checkpoint of a training."""

import argparse
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

# The package first: it says in one sentence what is missing to run it.
import mmtaformer

# isort: split
import torch
from mmengine.config import Config
from safetensors.torch import save

from mmtaformer.utils.checkpoint import load_checkpoint_file
from mmtaformer.utils.errors import DataError
from mmtaformer.utils.files import atomic_path
from mmtaformer.utils.launch import friendly_errors, require_file


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", help="checkpoint of a training")
    parser.add_argument(
        "out",
        help="NAME.safetensors; the file is NAME-XXXXXXXX.safetensors, with the first "
        "eight digits of the sha256 of its content",
    )
    parser.add_argument("--config", required=True, help="config of the training")
    parser.add_argument(
        "--dtype",
        choices=["float32", "float16", "bfloat16"],
        default="float32",
        help="type of the weights that are float32 (float32)",
    )
    args = parser.parse_args(argv)
    if Path(args.out).suffix != ".safetensors":
        parser.error(f"OUT must end with .safetensors, but is {args.out}")
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """Publish as the command line says."""
    args = parse_args(argv)
    with friendly_errors():
        require_file(args.checkpoint, "checkpoint")
        require_file(args.config, "config")
        content = load_checkpoint_file(args.checkpoint)
        weights = published_weights(content, args.checkpoint, args.dtype)
        cfg = Config.fromfile(args.config, import_custom_modules=False)
        data = save(weights, describe(content, cfg, Path(args.out).stem))
        print(write(data, Path(args.out)))


def published_weights(content: dict, path: str, dtype: str) -> dict[str, torch.Tensor]:
    """Return the weights alone: those averaged during training where there are some.

    Args:
        content: The checkpoint.
        path: Its path, for messages.
        dtype: Name of the type of the weights.

    Raises:
        DataError: If there are none, or one is not finite.
    """
    # mmengine's EMAHook exchanges them when it saves: `state_dict` has the averages.
    weights = content.get("state_dict")
    if not weights:
        raise DataError(f"{path} has no weights under 'state_dict'.")
    published = {}
    for name, value in weights.items():
        if value.dtype == torch.float32:
            value = value.to(getattr(torch, dtype))
        if value.is_floating_point() and not value.isfinite().all():
            raise DataError(f"{path} cannot be published: {name} is not finite.")
        # Copies, as safetensors refuses to write shared memory twice.
        published[name] = value.contiguous().clone()
    return published


def describe(content: dict, cfg: Config, name: str) -> dict[str, str]:
    """Return the metadata: config, classes and metrics as text.

    Args:
        content: The checkpoint.
        cfg: The config of the training.
        name: Name of the model.
    """
    texts = dict(name=name, cfg=cfg.pretty_text, mmtaformer=mmtaformer.__version__)
    classes = content.get("meta", {}).get("dataset_meta", {}).get("classes")
    if classes is not None:
        texts["classes"] = json.dumps(list(classes))
    hub = content.get("message_hub", {})
    history = hub.get("log_scalars", {})
    metrics = {
        key.removeprefix("val/"): float(values.current())
        for key, values in history.items()
        if key.startswith("val/") and "time" not in key
    }
    if metrics:
        texts["metrics"] = json.dumps(metrics)
    return texts


def write(data: bytes, out: Path) -> Path:
    """Write the file under the name of its content; return its path."""
    digest = hashlib.sha256(data).hexdigest()[:8]
    path = out.with_name(f"{out.stem}-{digest}.safetensors")
    with atomic_path(path) as partial:
        partial.write_bytes(data)
    return path


if __name__ == "__main__":
    main()
