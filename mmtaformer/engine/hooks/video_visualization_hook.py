"""Videos of the predictions, written while a model is tested."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdet.registry import HOOKS
from mmengine.dist import get_dist_info
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmtaformer.visualization import (
    draw_track_frame,
    read_frame,
    tracks_from_frames,
    write_video,
)


@HOOKS.register_module()
class VideoVisualizationHook(Hook):
    """Write one video per tested video, with the predictions drawn on its frames.

    Videos are named after id and folder of the tested video. Frames are read from
    the ``img_path`` of each data sample.

    Args:
        out_dir: Folder of the videos; None draws nothing.
        score_thr: Lowest score that is drawn.
        fps: Frames per second of the videos.
        max_videos: How many videos are written, from the first one; None for all.
        scale: How much larger than the frames the videos are; None enlarges small
            frames so that labels can be read.
        draw_val: Whether validation writes videos too, into a folder of ``out_dir``
            per validation.
    """

    priority = "NORMAL"

    def __init__(
        self,
        out_dir: str | None = None,
        score_thr: float = 0.3,
        fps: float = 6,
        max_videos: int | None = None,
        scale: float | None = None,
        draw_val: bool = False,
    ) -> None:
        self.out_dir = out_dir
        self.score_thr = score_thr
        self.fps = fps
        self.max_videos = math.inf if max_videos is None else max_videos
        self.scale = scale
        self.draw_val = draw_val
        self._num_seen = 0

    def before_val_epoch(self, runner: Runner) -> None:
        """Count the videos from 0."""
        self._num_seen = 0

    def before_test_epoch(self, runner: Runner) -> None:
        """Count the videos from 0."""
        self._num_seen = 0

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[Any] | None = None,
    ) -> None:
        """Write the videos of a batch of validation.

        Args:
            runner: The runner.
            batch_idx: Index of the batch.
            data_batch: Not used.
            outputs: One ``TrackDataSample`` per video.
        """
        if self.draw_val and self.out_dir is not None:
            folder = Path(self.out_dir) / f"val_iter_{runner.iter}"
            classes = runner.val_dataloader.dataset.metainfo["classes"]
            self._write_videos(folder, classes, outputs or [])

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[Any] | None = None,
    ) -> None:
        """Write the videos of a batch of testing.

        Args:
            runner: The runner.
            batch_idx: Index of the batch.
            data_batch: Not used.
            outputs: One ``TrackDataSample`` per video.
        """
        if self.out_dir is not None:
            classes = runner.test_dataloader.dataset.metainfo["classes"]
            self._write_videos(Path(self.out_dir), classes, outputs or [])

    def _write_videos(
        self, folder: Path, classes: Sequence[str], outputs: Sequence[Any]
    ) -> None:
        rank, world_size = get_dist_info()
        for sample in outputs:
            position = self._num_seen * world_size + rank
            self._num_seen += 1
            if position < self.max_videos:
                self._write_video(folder, sample.video_data_samples, classes)

    def _write_video(
        self, folder: Path, frames: Sequence[Any], classes: Sequence[str]
    ) -> None:
        paths = [Path(frame.img_path) for frame in frames]
        tracks = tracks_from_frames(frames, classes, self.score_thr)
        drawn = (
            draw_track_frame(read_frame(path), tracks, t, self.scale)
            for t, path in enumerate(paths)
        )
        name = f"{frames[0].video_id}_{paths[0].parent.name}.mp4"
        write_video(folder / name, drawn, self.fps)
