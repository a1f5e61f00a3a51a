"""Compute how much memory a model takes on a GPU, without a GPU.

    python tools/analysis_tools/memory.py CONFIG [--clips 1] [--size 448 768] [--test]

The model runs on tensors that have shapes and no values. Counted are the bytes of all
tensors that are alive at the same time: parameters, gradients, the two moments of
AdamW, what the backward pass needs, and temporary results. Not counted are the CUDA
context (about half a gigabyte), workspaces of cuDNN and what fragmentation wastes.
"""

import argparse
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from functools import partial
from pathlib import Path
from unittest import mock

import mmtaformer  # noqa: F401

# isort: split
import torch
import torch.fx.experimental._config
from mmdet.structures import DetDataSample, TrackDataSample
from mmengine.config import Config, DictAction
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from mmtaformer.models.heads import taformer_head
from mmtaformer.models.heads.clip_targets import ClipTargets
from mmtaformer.ops import set_attention_backend
from mmtaformer.utils.launch import friendly_errors, require_file
from mmtaformer.utils.param_count import build_skeleton

GIGABYTE = 1e9
# Table of docs/en/distributed.md, and the configs it is about.
TRAIN_SIZE, TEST_SIZE = (448, 768), (360, 640)
MOST_INSTANCES = 1000  # that a video can be asked for


class LiveBytes(TorchDispatchMode):
    """Finds the most bytes of storages that existed at the same time.

    What has been freed is looked for only when the sum could have passed the peak by
    half a percent, which is how exact the result is.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._sum = 0
        self._known: dict[int, tuple[StorageWeakRef, int]] = {}

    def add(self, tensor: Tensor) -> None:
        """Count the storage of a tensor for as long as it exists."""
        if tensor.device.type != "meta":
            return
        storage = tensor.untyped_storage()
        known = self._known.get(storage._cdata)
        if known is not None:
            if not known[0].expired():
                return
            self._sum -= known[1]
        size = storage.nbytes()
        self._known[storage._cdata] = (StorageWeakRef(storage), size)
        self._sum += size
        if self._sum > 1.005 * self.peak:
            self._forget_freed()
            self.peak = max(self.peak, self._sum)

    def _forget_freed(self) -> None:
        freed = [key for key, (ref, _) in self._known.items() if ref.expired()]
        for key in freed:
            self._sum -= self._known.pop(key)[1]

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten._local_scalar_dense.default:
            return True  # of a tensor without value: conditions hold, numbers are 1
        result = func(*args, **(kwargs or {}))
        for value in tree_iter(result):
            if isinstance(value, Tensor):
                self.add(value)
        return result


def efficient_attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask=None, dropout_p=0.0, *_, **__
) -> Tensor:
    """The attention that CUDA devices use, which never holds the weights."""
    return torch.ops.aten._scaled_dot_product_efficient_attention(
        query, key, value, attn_mask, query.requires_grad, dropout_p
    )[0]


def as_on_cuda(num_instances: int) -> ExitStack:
    """Replaces what depends on values, and what CUDA devices do differently."""
    queries = torch.arange(num_instances, device="meta")
    stack, repeat = ExitStack(), Tensor.repeat_interleave

    def repeat_clips(clips: Tensor, counts: Tensor) -> Tensor:
        return repeat(clips, counts, output_size=len(clips) * num_instances)

    for owner, name, replacement in (
        (torch.nn.functional, "scaled_dot_product_attention", efficient_attention),
        # Of a mask every element counts, so the pairs of a frame with itself do too.
        (torch.fx.experimental._config, "meta_nonzero_assume_all_nonzero", True),
        (Tensor, "repeat_interleave", repeat_clips),
        (torch, "autocast", lambda *_, **__: nullcontext()),
        (taformer_head, "build_clip_targets", make_targets),
        (taformer_head.TAFormerHead, "match", lambda *_: (queries, queries)),
        # In prediction every kept query is another one, and masks leave the device.
        (Tensor, "unique", lambda kept, **_: (kept, torch.zeros_like(kept))),
        (Tensor, "tolist", lambda indices: list(range(indices.numel()))),
        (Tensor, "cpu", lambda _: torch.zeros(0)),
        (taformer_head, "encode_mask_results", lambda _: [{}] * MOST_INSTANCES),
    ):
        stack.enter_context(mock.patch.object(owner, name, replacement))
    set_attention_backend("mmcv")  # the operator of CUDA devices saves other tensors
    stack.callback(set_attention_backend, None)
    return stack


def make_targets(sample, mask_size, device, stride=4) -> ClipTargets:
    """Ground truth without values."""
    frames, instances = len(sample.video_data_samples), sample.num_instances
    return ClipTargets(
        labels=torch.zeros(instances, dtype=torch.long, device=device),
        boxes=torch.zeros(instances, frames, 4, device=device),
        masks=torch.zeros(instances, frames, *mask_size, device=device),
        present=torch.ones(instances, frames, dtype=torch.bool, device=device),
    )


def make_sample(frames: int, size: Sequence[int], instances: int) -> TrackDataSample:
    """A clip that fills its frames."""
    sample = TrackDataSample(metainfo=dict(num_instances=instances))
    sample.video_data_samples = [
        DetDataSample(metainfo=dict(img_shape=tuple(size), ori_shape=tuple(size)))
        for _ in range(frames)
    ]
    return sample


def train_step(
    model: nn.Module, clips: int, frames: int, size: Sequence[int], instances: int
) -> None:
    """Losses, gradients and the two moments of AdamW."""
    inputs = torch.empty(clips, frames, 3, *size, device="meta")
    samples = [make_sample(frames, size, instances) for _ in range(clips)]
    losses = model.train().loss(inputs, samples)
    sum(loss for name, loss in losses.items() if "loss" in name).backward()


def predict(model: nn.Module, frames: int, size: Sequence[int]) -> None:
    """One whole video; encoded masks are in the memory of the CPU."""
    video = torch.empty(1, frames, 3, *size, device="meta")
    model.eval().predict(video, [make_sample(frames, size, instances=0)])


def peak_bytes(model: nn.Module, work: Callable[[], None], training: bool) -> int:
    """The most that is alive while ``work`` runs, in bytes."""
    counter = LiveBytes()
    for tensor in (*model.parameters(), *model.buffers()):
        counter.add(tensor)
    moments = []
    if training:  # AdamW has two for each parameter from its first step on
        for parameter in model.parameters():
            if parameter.requires_grad:
                moments += [torch.empty_like(parameter), torch.empty_like(parameter)]
        for tensor in moments:
            counter.add(tensor)
    with counter:
        work()
    return counter.peak


def compute(
    config: str | Path,
    clips: int = 1,
    frames: int = 5,
    size: Sequence[int] = TRAIN_SIZE,
    instances: int = 10,
    test: bool = False,
    options: dict | None = None,
) -> float:
    """Peak memory in 10^9 bytes.

    Args:
        config: A config of TAFormer or SeqFormer.
        clips: Clips per GPU.
        frames: Frames per clip, or of the video.
        size: Height and width of the padded frames.
        instances: Instances in every clip.
        test: Whether a video is predicted instead of trained on.
        options: Values that replace those of the config.
    """
    cfg = Config.fromfile(config)
    cfg.merge_from_dict(options or {})
    model = build_skeleton(cfg.model).to("meta")
    with as_on_cuda(instances):
        if test:
            work = partial(predict, model, frames, size)
        else:
            work = partial(train_step, model, clips, frames, size, instances)
        return peak_bytes(model, work, training=not test) / GIGABYTE


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("config", help="config file")
    parser.add_argument("--clips", type=int, default=1, help="clips per GPU")
    parser.add_argument("--frames", type=int, default=5, help="frames per clip")
    parser.add_argument("--instances", type=int, default=10, help="instances per clip")
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        metavar=("HEIGHT", "WIDTH"),
        help="of the frames: 448 768 in training, 360 640 in testing by default",
    )
    parser.add_argument(
        "--test", action="store_true", help="predict a video instead of training"
    )
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        metavar="KEY=VALUE",
        help="values that replace those of the config",
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the peak."""
    args = parse_args(argv)
    with friendly_errors():
        require_file(args.config, "config")
        peak = compute(
            args.config,
            clips=args.clips,
            frames=args.frames,
            size=args.size or (TEST_SIZE if args.test else TRAIN_SIZE),
            instances=args.instances,
            test=args.test,
            options=args.cfg_options,
        )
        print(f"{peak:.1f} GB, computed")


if __name__ == "__main__":
    main()
