"""The one visualizer of the project, which draws tracks."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from mmdet.registry import VISUALIZERS
from mmdet.visualization import TrackLocalVisualizer

from .draw import draw_track_frame
from .selection import confident, describe, drop_duplicates
from .tracks import Track, tracks_from_frames


@VISUALIZERS.register_module()
class TrackVisualizer(TrackLocalVisualizer):
    """mmdet's visualizer of tracks with drawing that suits video segmentation.

    ``add_datasample``, the storage backends (files, TensorBoard, W&B) and their
    arguments are mmdet's. Different are the pictures: run-length masks are taken as
    they are, a colour belongs to an instance, contours are smooth, labels do not
    cover each other, and a trail shows where an instance came from.

    Args:
        trail: Over how many frames the trail of an instance reaches back.
        scale: How much larger than the frames the pictures are; None enlarges small
            frames so that labels can be read.
        one_class_per_query: See :func:`drop_duplicates`.
        nms_thr: See :func:`drop_duplicates`.
        **kwargs: See :class:`mmdet.visualization.TrackLocalVisualizer`.
    """

    def __init__(
        self,
        name: str = "visualizer",
        *args: Any,
        trail: int = 0,
        scale: float | None = None,
        one_class_per_query: bool = True,
        nms_thr: float | None = 0.7,
        **kwargs: Any,
    ) -> None:
        super().__init__(name, *args, **kwargs)
        self.trail = trail
        self.scale = scale
        self.one_class_per_query = one_class_per_query
        self.nms_thr = nms_thr

    def select(
        self, tracks: Sequence[Track], score_thr: float
    ) -> tuple[list[Track], str]:
        """Choose the tracks that are shown.

        Args:
            tracks: The predictions of one video.
            score_thr: Lowest score that is shown.

        Returns:
            The chosen tracks, and a sentence that says how many they are.
        """
        single = drop_duplicates(tracks, self.one_class_per_query, self.nms_thr)
        shown = confident(single, score_thr)
        return shown, describe(shown, single)

    def draw_frames(
        self, frames: Iterable[np.ndarray], tracks: Sequence[Track]
    ) -> Iterator[np.ndarray]:
        """Draw the tracks of a video on its frames, one by one.

        Args:
            frames: RGB, uint8, (H, W, 3).
            tracks: The tracks to draw; the first ones lie on top.

        Yields:
            RGB, uint8, (H * scale, W * scale, 3).
        """
        for t, frame in enumerate(frames):
            yield self.draw_frame(frame, tracks, t)

    def draw_frame(
        self, frame: np.ndarray, tracks: Sequence[Track], t: int
    ) -> np.ndarray:
        """Draw the tracks on frame ``t``; see :func:`draw_track_frame`."""
        return draw_track_frame(frame, tracks, t, self.scale, self.trail)

    def _draw_instances(self, image: np.ndarray, instances: Any) -> np.ndarray:
        """Draw one frame for mmdet's ``add_datasample``."""
        classes = self.dataset_meta.get("classes")
        if classes is None:
            highest = max([-1, *instances.labels.tolist()])
            classes = [f"class {label}" for label in range(highest + 1)]
        if "instances_id" not in instances or "scores" not in instances:
            instances = _with_ids_and_scores(instances)
        tracks = tracks_from_frames([{"pred_track_instances": instances}], classes)
        tracks = drop_duplicates(tracks, self.one_class_per_query, self.nms_thr)
        return draw_track_frame(image, tracks, 0, self.scale)


def _with_ids_and_scores(instances: Any) -> Any:
    """Ground truth has neither scores nor, in mmdet, ids under this name."""
    instances = instances.clone()
    count = len(instances.labels)
    ids = instances.get("instances_ids", np.arange(count))
    instances.instances_id = np.asarray(ids)
    instances.scores = np.ones(count)
    if not isinstance(instances.get("masks"), np.ndarray | list | type(None)):
        masks = instances.masks
        instances.masks = getattr(masks, "masks", masks)
    return instances
