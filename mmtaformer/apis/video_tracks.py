"""The instances of a video, as inference returns them."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmtaformer.utils.errors import UsageError
from mmtaformer.visualization import (
    Track,
    TrackVisualizer,
    confident,
    describe,
    write_video,
)

from . import exports, outputs
from .video_info import VideoInfo

if TYPE_CHECKING:
    import pandas
    import supervision
    from PIL import Image

    from .sources import Source

PathType = str | os.PathLike[str]


@dataclass(frozen=True)
class VideoTracks:
    """The tracks of one video: class, score, and box and mask in every frame.

    Frames are not kept. What shows them reads them again from the source.

    Attributes:
        tracks: The instances, best score first. Masks are run-length encoded.
        info: Size, times and name of the video.
        classes: Name of each label.
        source: Where the frames come from; None if they are gone.
        mode: ``whole`` or ``online``.
        score_thr: Lowest score that drawings and crops show.
    """

    tracks: Sequence[Track]
    info: VideoInfo
    classes: Sequence[str]
    source: "Source | None" = field(default=None, repr=False)
    mode: str = "whole"
    score_thr: float = 0.3

    def __len__(self) -> int:
        return len(self.tracks)

    def __iter__(self) -> Iterator[Track]:
        return iter(self.tracks)

    def __getitem__(self, index: int) -> Track:
        return self.tracks[index]

    def __str__(self) -> str:
        info = self.info
        return (
            f"{info.name}: {info.num_frames} frames of {info.width} x {info.height} "
            f"pixels, {self.summary} (score {self.score_thr:g} or more)"
        )

    @property
    def shown(self) -> list[Track]:
        """The tracks that reach ``score_thr``."""
        return confident(self.tracks, self.score_thr)

    @property
    def summary(self) -> str:
        """How many tracks are shown, such as ``3 of 10 shown, best score 0.87``."""
        return describe(self.shown, self.tracks)

    def with_threshold(self, score_thr: float) -> "VideoTracks":
        """The same tracks, shown from another score on."""
        return replace(self, score_thr=score_thr)

    def to_json(
        self, path: PathType | None = None, video_id: int = 1
    ) -> list[dict[str, Any]]:
        """Results in the official YouTube-VIS format, all scores.

        Args:
            path: Where to write them, if at all.
            video_id: Id of the video.

        Returns:
            One entry per track; category ids are labels counted from 1.
        """
        return exports.results(self.tracks, path, video_id)

    def to_coco_vid(
        self, path: PathType | None = None, image_dir: PathType | None = None
    ) -> dict[str, Any]:
        """The shown tracks as annotations, which can be corrected and trained on.

        Args:
            path: Where to write the JSON file, if at all.
            image_dir: Where to write the frames that it names, if at all.

        Returns:
            The content of an annotation file of YouTube-VIS.
        """
        content = exports.annotations(self.shown, self.info, self.classes, path)
        if image_dir is not None:
            names = content["videos"][0]["file_names"]
            outputs.save_frames(self.frames(), names, image_dir)
        return content

    def to_dataframe(self) -> "pandas.DataFrame":
        """A table with one row per track and frame; needs pandas.

        Returns:
            Columns ``frame``, ``time`` (s), ``track_id``, ``class``, ``score``,
            ``visible``, ``x1``, ``y1``, ``x2``, ``y2`` and ``area`` (pixels), NaN
            where an instance is not visible.
        """
        return exports.dataframe(self.tracks, self.info.times)

    def to_supervision(self) -> "list[supervision.Detections]":
        """The shown tracks as one ``Detections`` per frame; needs supervision."""
        shown = self.shown
        return [exports.detections(shown, t) for t in range(self.info.num_frames)]

    def frames(self) -> Iterator[np.ndarray]:
        """Read the frames again: RGB, uint8, (H, W, 3).

        Raises:
            UsageError: If the source was a stream, whose frames are gone.
        """
        if self.source is None or not self.source.repeatable:
            raise UsageError(
                f"the frames of {self.info.name} are gone; draw them while they come, "
                "with VISInferencer.stream()."
            )
        for _, frame in zip(self.info.times, self.source, strict=False):
            yield frame.image[..., ::-1]

    def draw(self, trail: int = 0, scale: float | None = None) -> Iterator[np.ndarray]:
        """The frames with the shown tracks drawn on them; see :meth:`save_video`."""
        visualizer = TrackVisualizer(trail=trail, scale=scale)
        return visualizer.draw_frames(self.frames(), self.shown)

    def save_video(
        self,
        path: PathType,
        fps: float | None = None,
        trail: int = 0,
        scale: float | None = None,
        beside: "VideoTracks | None" = None,
    ) -> None:
        """Write a video with the shown tracks; it appears when it is complete.

        Args:
            path: An ``.mp4`` (H.264, which browsers play) or a ``.gif``.
            fps: Frames per second; the times of the source by default.
            trail: Over how many frames the trail of an instance reaches back.
            scale: How much larger than the frames; small frames are enlarged by
                default.
            beside: Other tracks of this video, for example ground truth, which are
                shown on the right.
        """
        drawn = self.draw(trail, scale)
        if beside is not None:
            drawn = outputs.side_by_side(drawn, beside.draw(trail, scale))
        times = self.info.times if fps is None else None
        write_video(path, drawn, fps or self.info.fps, times)

    def save_masks(self, out_dir: PathType) -> None:
        """Write one indexed PNG per frame, as DAVIS has them.

        Pixel values are 1 for the first of the shown tracks, and so on; where masks
        overlap the better track lies on top.

        Args:
            out_dir: A folder of the video's name is made in it.
        """
        outputs.save_masks(self.shown, self.info, out_dir)

    def save_crops(self, out_dir: PathType) -> None:
        """Write each shown track's box in each frame as a PNG.

        Args:
            out_dir: One folder per track is made in it.
        """
        outputs.save_crops(self.frames(), self.shown, Path(out_dir) / self.info.name)

    def plot(self, num_frames: int = 6, path: PathType | None = None) -> "Image.Image":
        """Frames with the shown tracks, evenly spread over time, beside each other.

        Args:
            num_frames: How many frames.
            path: Where to write the picture, if at all.
        """
        count = min(num_frames, self.info.num_frames)
        wanted = np.linspace(0, self.info.num_frames - 1, count).round().astype(int)
        return outputs.plot(self.frames(), self.shown, wanted.tolist(), path)

    def _repr_html_(self) -> str:
        """A clip that plays and a table, in a notebook."""
        if self.source is None or not self.source.repeatable:
            return outputs.html(str(self), self.shown)
        scale = outputs.HTML_SHORT_SIDE / min(self.info.height, self.info.width)
        return outputs.html(
            str(self), self.shown, self.draw(scale=scale), self.info.fps
        )
