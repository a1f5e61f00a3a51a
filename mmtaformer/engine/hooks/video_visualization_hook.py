"""Videos of the predictions, written while a model is tested."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdet.registry import HOOKS
from mmengine.dist import get_dist_info
from mmengine.hooks import Hook
from mmengine.runner import Runner


@HOOKS.register_module()
class VideoVisualizationHook(Hook):
    """Write one video per tested video, with the predictions drawn on its frames.

    Videos are named after id and folder of the tested video. Frames are read from
    the ``img_path`` of each data sample. What is drawn, and which of several
    predictions of one instance, is the visualizer's affair
    (:class:`mmtaformer.visualization.TrackVisualizer`, the runner's if it is one).

    Args:
        out_dir: Folder of the videos; None draws nothing, except ``draw_val``.
        score_thr: Lowest score that is drawn.
        fps: Frames per second of the videos.
        num_videos: How many videos are written, from the first one; None for all.
        scale: How much larger than the frames the videos are; None leaves it to the
            visualizer.
        draw_val: Whether validation writes videos too, into ``out_dir`` or the folder
            ``videos`` of the run, one folder per validation. The middle frame of each
            goes to the backends of the visualizer as well (TensorBoard, W&B).
    """

    priority = "NORMAL"

    def __init__(
        self,
        out_dir: str | None = None,
        score_thr: float = 0.3,
        fps: float = 6,
        num_videos: int | None = None,
        scale: float | None = None,
        draw_val: bool = False,
    ) -> None:
        self.out_dir = out_dir
        self.score_thr = score_thr
        self.fps = fps
        self.num_videos = math.inf if num_videos is None else num_videos
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
        if not self.draw_val:
            return
        root = Path(self.out_dir or Path(runner.log_dir, "videos"))
        metainfo = runner.val_dataloader.dataset.metainfo
        for sample in self._chosen(outputs or []):
            picture = self._write_video(
                root / f"val_iter_{runner.iter}", runner, sample, metainfo
            )
            name = f"val_video_{sample.video_data_samples[0].video_id}"
            runner.visualizer.add_image(name, picture, step=runner.iter)

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
        if self.out_dir is None:
            return
        metainfo = runner.test_dataloader.dataset.metainfo
        for sample in self._chosen(outputs or []):
            self._write_video(Path(self.out_dir), runner, sample, metainfo)

    def _chosen(self, outputs: Sequence[Any]) -> list[Any]:
        """The videos of a batch that are written, counted over all processes."""
        rank, world_size = get_dist_info()
        chosen = []
        for sample in outputs:
            if self._num_seen * world_size + rank < self.num_videos:
                chosen.append(sample)
            self._num_seen += 1
        return chosen

    def _write_video(
        self, folder: Path, runner: Runner, sample: Any, metainfo: dict[str, Any]
    ) -> Any:
        """Write a video, say what it shows, and return its middle frame (RGB)."""
        from mmtaformer.visualization import read_frame, tracks_from_frames, write_video

        visualizer = self._visualizer(runner)
        frames = sample.video_data_samples
        paths = [Path(frame.img_path) for frame in frames]
        tracks = tracks_from_frames(frames, metainfo["classes"])
        shown, sentence = visualizer.select(tracks, self.score_thr)
        target = folder / f"{frames[0].video_id}_{paths[0].parent.name}.mp4"
        write_video(
            target, visualizer.draw_frames(map(read_frame, paths), shown), self.fps
        )
        runner.logger.info(f"{target}: {sentence}")
        middle = len(paths) // 2
        return visualizer.draw_frame(read_frame(paths[middle]), shown, middle)

    def _visualizer(self, runner: Runner) -> Any:
        """The runner's visualizer if it draws tracks, else one with its defaults."""
        from mmtaformer.visualization import TrackVisualizer

        visualizer = getattr(runner, "visualizer", None)
        if not isinstance(visualizer, TrackVisualizer):
            visualizer = TrackVisualizer()
        if self.scale is not None:
            visualizer.scale = self.scale
        return visualizer
