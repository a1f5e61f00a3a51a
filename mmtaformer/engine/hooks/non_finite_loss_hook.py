from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner


@HOOKS.register_module()
class NonFiniteLossHook(Hook):
    """Stops training at the first loss that is not a finite number.

    It runs right after the step that had the loss and before any hook that saves a
    checkpoint, so the weights that this step spoilt are never written and the last
    checkpoint stays good. The loss is looked at before gradient scaling, so this
    holds for mixed precision too: steps that a gradient scaler skips go on silently.
    """

    priority = "VERY_HIGH"

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Mapping[str, Any] | None = None,
        outputs: Mapping[str, torch.Tensor] | None = None,
    ) -> None:
        """Checks the losses of one iteration.

        Args:
            runner: The runner.
            batch_idx: Index of the batch in its epoch.
            data_batch: The batch, whose ``data_samples`` say what was in it.
            outputs: Values by name: the total ``loss`` and its terms.

        Raises:
            FloatingPointError: If the loss is NaN or infinite, with the iteration, the
                terms at fault and the videos of the batch.
        """
        terms = outputs or {}
        if "loss" not in terms or _is_finite(terms["loss"]):
            return
        samples = (data_batch or {}).get("data_samples", ())
        raise FloatingPointError(
            f"The loss is not finite at iteration {runner.iter + 1} "
            f"(epoch {runner.epoch + 1}, batch {batch_idx + 1}): "
            f"{_describe_terms(terms)}. The batch was: {_describe_samples(samples)}. "
            f"{_describe_checkpoint(runner)} Look at the annotations of these videos, "
            "lower the learning rate, or train without --amp."
        )


def _is_finite(value: Any) -> bool:
    return bool(torch.isfinite(torch.as_tensor(value)).all())


def _describe_terms(terms: Mapping[str, Any]) -> str:
    faulty = {
        name: float(torch.as_tensor(value).detach().float().mean())
        for name, value in terms.items()
        if "loss" in name and not _is_finite(value)
    }
    # The total is named only when no single term explains it.
    parts = {name: value for name, value in faulty.items() if name != "loss"} or faulty
    return ", ".join(f"{name} = {value}" for name, value in parts.items())


def _describe_samples(samples: Iterable[Any]) -> str:
    """Names videos and frames: `video 3, frames 0, 2, 4; video 7, frames 1`."""
    clips = [_describe_clip(getattr(s, "video_data_samples", [s])) for s in samples]
    return "; ".join(clips) or "unknown"


def _describe_clip(frames: Sequence[Any]) -> str:
    infos = [getattr(frame, "metainfo", {}) for frame in frames]
    name = f"video {infos[0].get('video_id', '?')}"
    if "img_path" in infos[0]:
        name += f" ({infos[0]['img_path']})"
    return f"{name}, frames " + ", ".join(str(i.get("frame_id", "?")) for i in infos)


def _describe_checkpoint(runner: Runner) -> str:
    last = runner.message_hub.runtime_info.get("last_ckpt")
    if last is None:
        return "No checkpoint had been saved yet."
    return f"The last checkpoint, {last}, is from before it."
