"""From frames to tracks, in whole-video or online mode."""

import itertools
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from mmdet.registry import TASK_UTILS
from mmengine.logging import print_log
from torch import nn

from mmtaformer.utils.errors import DataError, UsageError
from mmtaformer.visualization import Track

from .clip_instances import ClipInstances, clip_instances
from .cuts import ShotDetector
from .frame_pipeline import FramePipeline, PreparedFrame
from .memory import fits, free_bytes, whole_video_bytes
from .online import FrameTrack, OnlineTracker, PredictClip
from .sources import Frame, Source
from .video_info import VideoInfo
from .video_tracks import VideoTracks

MODES = ("auto", "whole", "online")


@dataclass(frozen=True)
class TrackingOptions:
    """How a video is tracked.

    Attributes:
        mode: ``whole``: all frames of a shot at once, as in the paper; ``online``:
            clips that overlap, for any length; ``auto``: whole if it fits into memory.
        clip_length: Frames of a clip of online mode.
        overlap: Frames that two neighbouring clips share.
        detect_cuts: Whether tracks end where the video is cut.
        amp: Whether the model runs in half precision (bfloat16 on the CPU).
        one_class_per_query: Whether an instance is shown under its best class alone.
        nms_thr: Instances that overlap a better one by a higher IoU are left out; None
            keeps them.
    """

    mode: str = "auto"
    clip_length: int = 10
    overlap: int = 3
    detect_cuts: bool = True
    amp: bool = False
    one_class_per_query: bool = True
    nms_thr: float | None = 0.7

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise UsageError(f"mode is {self.mode!r}; give one of {', '.join(MODES)}.")
        if not 0 <= self.overlap < self.clip_length:
            raise UsageError(
                f"clips of {self.clip_length} frames cannot share {self.overlap}; "
                "overlap must be less than clip_length."
            )


class TrackStream:
    """Frames of a source with their tracks, each as soon as it is final.

    Iterate over it once. ``tracks`` and ``mode`` are known while it runs.

    Args:
        frames: The frames.
        pipeline: Prepares them.
        tracker: Tracks them.
        mode: ``whole`` or ``online``.
        detector: Finds cuts; None looks for none.
        keep_images: Whether frames keep their images until they are handed out.
    """

    def __init__(
        self,
        frames: Iterable[Frame],
        pipeline: FramePipeline,
        tracker: OnlineTracker,
        mode: str,
        detector: ShotDetector | None,
        keep_images: bool = True,
    ) -> None:
        self.frames = frames
        self.pipeline = pipeline
        self.tracker = tracker
        self.mode = mode
        self.detector = detector
        self.keep_images = keep_images
        self.stopped = False

    @property
    def tracks(self) -> dict[int, tuple[int, float]]:
        """Label and score of each track by all that was seen so far."""
        known = self.tracker.linker.tracks
        return {i: (track.label, track.score) for i, track in known.items()}

    def stop(self) -> None:
        """End the stream after the current frame, with complete results."""
        self.stopped = True

    def __iter__(self) -> Iterator[tuple[Frame, list[FrameTrack]]]:
        pending: deque[Frame] = deque()
        for frame in self.frames:
            is_cut = self.detector is not None and self.detector.is_cut(frame.image)
            prepared = self.pipeline.prepare(frame.image)
            pending.append(frame if self.keep_images else frame.without_image())
            for tracks in self.tracker.push(prepared, is_cut):
                yield pending.popleft(), tracks
            if self.stopped:
                break
        for tracks in self.tracker.finish():
            yield pending.popleft(), tracks


def make_predict(
    model: Any, pipeline: FramePipeline, options: TrackingOptions
) -> PredictClip:
    """The function that finds the instances of a clip of prepared frames."""
    device = next(model.parameters()).device.type
    dtype = torch.bfloat16 if device == "cpu" else torch.float16

    def predict(frames: Sequence[PreparedFrame], first: int) -> ClipInstances:
        batch = pipeline.collate(frames, first)
        precision = torch.autocast(device, dtype) if options.amp else nullcontext()
        with torch.no_grad(), precision:
            sample = model.test_step(batch)[0]
        return clip_instances(
            sample.video_data_samples,
            first,
            options.one_class_per_query,
            options.nms_thr,
        )

    return predict


def open_stream(
    model: nn.Module,
    pipeline: FramePipeline,
    source: Source,
    options: TrackingOptions,
    linker: dict[str, Any] | None = None,
    keep_images: bool = True,
    wrap: Callable[[PredictClip], PredictClip] | None = None,
) -> TrackStream:
    """Choose the mode and make a stream of a source's frames.

    Args:
        model: What finds the instances.
        pipeline: Its test pipeline.
        source: Where frames come from.
        options: How they are tracked.
        linker: Config of the linker of online mode.
        keep_images: See :class:`TrackStream`.
        wrap: Put around the function that finds the instances of a clip.

    Raises:
        DataError: If the source has no frames.
    """
    frames = iter(source)
    first = next(frames, None)
    if first is None:
        raise DataError(f"{source.name} has no frames.")
    mode = choose_mode(model, pipeline, source, first, options)
    predict = make_predict(model, pipeline, options)
    linker = {"type": "ClipLinker", **(linker or {})}
    if mode == "whole":  # nothing to link, nothing too weak
        linker = {"type": "ClipLinker", "min_score": 0.0}
    tracker = OnlineTracker(
        predict if wrap is None else wrap(predict),
        TASK_UTILS.build(linker),
        None if mode == "whole" else options.clip_length,
        options.overlap,
    )
    return TrackStream(
        itertools.chain([first], frames),
        pipeline,
        tracker,
        mode,
        ShotDetector() if options.detect_cuts else None,
        keep_images,
    )


def choose_mode(
    model: nn.Module,
    pipeline: FramePipeline,
    source: Source,
    first: Frame,
    options: TrackingOptions,
) -> str:
    """``whole`` if the whole video fits into memory, else ``online``; says so."""
    if options.mode == "online":
        return "online"
    if source.num_frames is None:
        if options.mode == "whole":
            return "whole"
        print_log(f"{source.name}: a stream of unknown length, online mode.", "current")
        return "online"
    sample = pipeline.prepare(first.image).sample
    needed = whole_video_bytes(
        model, source.num_frames, sample.img_shape[:2], sample.ori_shape[:2]
    )
    free = free_bytes(next(model.parameters()).device)
    enough = fits(needed, free)
    mode = "whole" if enough or options.mode == "whole" else "online"
    print_log(
        f"{source.name}: {source.num_frames} frames at once need "
        f"{needed / 1e9:.1f} GB; {free / 1e9:.1f} GB are free. The mode is {mode}.",
        "current",
        logging.INFO if enough else logging.WARNING,
    )
    return mode


class TrackCollector:
    """Gathers the tracks of a stream; masks stay run-length encoded."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.names: list[str | None] = []
        self.size: tuple[int, int] = (0, 0)
        self._masks: dict[int, dict[int, Any]] = {}
        self._boxes: dict[int, dict[int, Any]] = {}

    def add(self, frame: Frame, tracks: Sequence[FrameTrack]) -> None:
        """Take the next frame."""
        t = len(self.times)
        self.times.append(frame.time)
        self.names.append(frame.name)
        self.size = frame.size
        for track in tracks:
            self._masks.setdefault(track.track_id, {})[t] = track.mask
            self._boxes.setdefault(track.track_id, {})[t] = track.box

    def result(
        self,
        stream: TrackStream,
        source: Source,
        classes: Sequence[str],
        score_thr: float,
    ) -> VideoTracks:
        """All tracks with the class and score that the whole video gives them."""
        length, tracks = len(self.times), []
        for track_id, (label, score) in stream.tracks.items():
            if track_id not in self._masks:
                continue
            masks, boxes = self._masks[track_id], self._boxes[track_id]
            tracks.append(
                Track(
                    track_id=track_id,
                    name=classes[label],
                    masks=[masks.get(t) for t in range(length)],
                    boxes=[boxes.get(t) for t in range(length)],
                    score=score,
                    label=label,
                )
            )
        names = [name for name in self.names if name is not None]
        return VideoTracks(
            tracks=sorted(tracks, key=lambda track: -(track.score or 0)),
            info=VideoInfo(source.name, *self.size, self.times, names),
            classes=classes,
            source=source,
            mode=stream.mode,
            score_thr=score_thr,
        )
