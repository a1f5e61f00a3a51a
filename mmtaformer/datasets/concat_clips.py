"""Training on several data sets of clips at once."""

from typing import Any

import numpy as np
from mmdet.datasets import ConcatDataset
from mmdet.registry import DATASETS

from mmtaformer.utils.errors import DataError


@DATASETS.register_module()
class ConcatClipDataset(ConcatDataset):
    """Data sets of videos or pseudo clips, joined, one item for every key frame.

    With mmdet's ``ConcatDataset`` the ``TrackImgSampler`` numbers the videos of each
    data set from 0, and nothing tells which data set is meant. Here frames are
    numbered through, so that any sampler of images, such as mmengine's
    ``DefaultSampler``, visits every frame of every data set as key frame once.

    Args:
        datasets: Configs of :class:`YTVISDataset`, :class:`CocoPseudoClipDataset` or
            alike. All must have the same classes.
        **kwargs: See :class:`mmdet.datasets.ConcatDataset`.

    Raises:
        DataError: If the classes of the data sets differ.
    """

    def __init__(self, datasets: list, **kwargs: Any) -> None:
        super().__init__(datasets, ignore_keys="palette", **kwargs)
        classes = [tuple(part.metainfo["classes"]) for part in self.datasets]
        for part, names in zip(self.datasets, classes, strict=True):
            if names != classes[0]:
                raise DataError(
                    f"{part.ann_file} has the classes {list(names)}, but "
                    f"{self.datasets[0].ann_file} has {list(classes[0])}; give all "
                    "data sets the same metainfo=dict(classes=...)."
                )

    def full_init(self) -> None:
        """Load all data sets and number their frames."""
        super().full_init()
        lengths = [
            part.get_len_per_video(video)
            for part in self.datasets
            for video in range(len(part))
        ]
        self._first_frames = np.cumsum([0, *lengths])

    def __len__(self) -> int:
        return int(self._first_frames[-1])

    def __getitem__(self, idx: int) -> Any:
        """Clip around a key frame.

        Args:
            idx: Number of the key frame, counted through all data sets.
        """
        video = int(np.searchsorted(self._first_frames, idx, side="right")) - 1
        frame = idx - int(self._first_frames[video])
        part = int(np.searchsorted(self.cumulative_sizes, video, side="right"))
        if part:
            video -= self.cumulative_sizes[part - 1]
        return self.datasets[part][video, frame]
