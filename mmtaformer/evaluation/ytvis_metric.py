"""The metric of video instance segmentation."""

import logging
import sys
from collections.abc import Sequence
from typing import Any

from mmdet.registry import METRICS
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from mmtaformer.utils.errors import DataError, UsageError
from mmtaformer.ytvis.annotations import select_classes
from mmtaformer.ytvis.predictions import frames_to_results
from mmtaformer.ytvis.results import ResultsChecker, load_ground_truth, save_results

from .ytvis_eval import check_max_dets, evaluate_ytvis, format_tables


@METRICS.register_module()
class YTVISMetric(BaseMetric):
    """Average precision and recall of whole videos, against the annotation file.

    Ground truth is read from ``ann_file``, not from the samples that passed through
    the model, and every video of the file counts. Figures have full precision.

    Args:
        ann_file: The official YouTube-VIS JSON the videos come from. Without
            annotations in it only ``format_only=True`` works.
        outfile_prefix: Where to write ``{outfile_prefix}.json`` and
            ``{outfile_prefix}.submission_file.zip``; nothing is written if None.
        format_only: Write the results without evaluating them.
        max_dets: Numbers of instances per video that recall is computed at.
        per_class: Whether to log all figures and the AP of every class as tables.
        collect_device: 'cpu' or 'gpu': how results of other processes are collected.
        prefix: Prefix of the names of the figures.
        collect_dir: Folder shared by all processes for ``collect_device='cpu'``.

    Raises:
        FileNotFoundError: If ``ann_file`` does not exist.
        DataError: If ``ann_file`` is malformed; so a broken mask is found before
            training, not in the validation after the first epoch.
        UsageError: If ``format_only`` comes without ``outfile_prefix``, or
            ``max_dets`` are not positive numbers.
    """

    default_prefix = "youtube_vis"

    def __init__(
        self,
        ann_file: str,
        outfile_prefix: str | None = None,
        format_only: bool = False,
        max_dets: Sequence[int] = (1, 10, 100),
        per_class: bool = True,
        collect_device: str = "cpu",
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix, collect_dir)
        if format_only and outfile_prefix is None:
            raise UsageError(
                "format_only=True writes results and does nothing else, so it needs "
                "outfile_prefix, such as 'work_dirs/results'."
            )
        self.ann_file = ann_file
        self.outfile_prefix = outfile_prefix
        self.format_only = format_only
        self.max_dets = tuple(check_max_dets(max_dets))
        self.per_class = per_class
        # Masks of the ground truth are read again when they are needed: they are
        # large, and every process has a copy of this object.
        ground_truth = load_ground_truth(ann_file, need_annotations=not format_only)
        self._checker = ResultsChecker(ground_truth)
        self._categories = ground_truth["categories"]
        self._category_ids = [category["id"] for category in self._categories]

    @classmethod
    def figure_names(
        cls,
        max_dets: Sequence[int] = (1, 10, 100),
        format_only: bool = False,
        prefix: str | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Return the names of the figures that a metric with these arguments reports.

        Args:
            max_dets: See the class.
            format_only: See the class.
            prefix: See the class.
            kwargs: Other arguments of the class, which change nothing.
        """
        if format_only:
            return []
        averages = ["AP", "AP50", "AP75", *(f"AP_{area}" for area in "sml")]
        recalls = [f"AR{n}" for n in max_dets] + [f"AR_{area}" for area in "sml"]
        return [f"{prefix or cls.default_prefix}/{n}" for n in (*averages, *recalls)]

    @property
    def dataset_meta(self) -> dict | None:
        """Meta information of the dataset; its classes must be in ``ann_file``."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict) -> None:
        classes = dataset_meta["classes"]
        _, labels = select_classes(self._categories, classes, self.ann_file)
        self._category_ids = sorted(labels, key=labels.__getitem__)
        self._dataset_meta = dataset_meta

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Turn predictions of whole videos into submission entries.

        Args:
            data_batch: Not used.
            data_samples: One ``TrackDataSample`` as a dict per video; see
                :func:`frames_to_results` for what its frames hold.

        Raises:
            DataError: If a video is not in ``ann_file``, or is not whole.
        """
        for sample in data_samples:
            frames = sample["video_data_samples"]
            video_id = frames[0].get("video_id")
            self._check_video(video_id, len(frames))
            entries = frames_to_results(frames, video_id, self._category_ids)
            name = f"predictions of video {video_id}"
            self.results.append((video_id, self._checker.check(entries, name)))

    def evaluate(self, size: int) -> dict:
        """Collect the results of all processes and evaluate them.

        Args:
            size: Number of videos of the dataset. Not used: results are told apart
                by video id, because cutting their list off at this size could drop
                a video when samplers repeat others to fill up the last batch.

        Returns:
            The figures, with the prefix in their names.
        """
        return super().evaluate(sys.maxsize)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Evaluate the collected results, and write them if asked to.

        Args:
            results: Pairs of a video id and its submission entries.

        Returns:
            The figures of :func:`evaluate_ytvis`; empty if ``format_only``.
        """
        videos = self._checker.videos
        predicted = dict(reversed(results))  # a video that was repeated counts once
        entries = [entry for video in videos for entry in predicted.get(video, [])]
        if self.outfile_prefix is not None:
            paths = save_results(entries, self.outfile_prefix)
            print_log(f"Results are in {paths[0]} and {paths[1]}.", "current")
        if self.format_only:
            return {}
        if len(predicted) < len(videos):
            print_log(
                f"{len(videos) - len(predicted)} of {len(videos)} videos of "
                f"{self.ann_file} were not predicted; their instances count as misses.",
                "current",
                logging.WARNING,
            )
        classes = self.dataset_meta["classes"] if self.dataset_meta else None
        result = evaluate_ytvis(self.ann_file, entries, self.max_dets, classes)
        if self.per_class:
            print_log(f"\n{format_tables(result)}", "current")
        return {key: value for key, value in result.items() if isinstance(value, float)}

    def _check_video(self, video_id: int, num_frames: int) -> None:
        if video_id not in self._checker.videos:
            raise DataError(
                f"video {video_id} is not in {self.ann_file}; dataset and evaluator "
                "must have the same ann_file."
            )
        length = len(self._checker.videos[video_id]["file_names"])
        if num_frames != length:
            raise DataError(
                f"got {num_frames} frames of video {video_id}, which has {length} in "
                f"{self.ann_file}; the metric needs whole videos, so load all frames "
                "in the test pipeline."
            )
