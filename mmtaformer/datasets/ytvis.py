"""Data sets in the official YouTube-VIS format."""

import os.path as osp
from collections.abc import Mapping, Sequence
from typing import Any

from mmdet.datasets import BaseVideoDataset
from mmdet.registry import DATASETS
from mmdet.visualization import get_palette
from mmengine.fileio import LocalBackend, get_file_backend, get_local_path
from mmengine.logging import print_log

from mmtaformer.utils.errors import DataError
from mmtaformer.ytvis.annotations import check_annotations, select_classes
from mmtaformer.ytvis.frames import check_frames, check_names
from mmtaformer.ytvis.instances import parse_instances
from mmtaformer.ytvis.json_files import read_json


@DATASETS.register_module()
class YTVISDataset(BaseVideoDataset):
    """Video instance segmentation data in the official YouTube-VIS format.

    One item is one video. In training ``TrackImgSampler`` asks for a video and a key
    frame, so that an epoch visits every frame as key frame once; the pipeline makes a
    clip of it (:class:`ClipSample`).

    - Classes come from the file, sorted by category id, unless ``metainfo`` gives
      ``classes``: then only those are used. Labels are indices into
      ``metainfo['classes']``.
    - The frames of a video are the ``file_names`` of the file (YouTube-VIS annotates
      every fifth frame and publishes those).
    - Crowds get ``ignore_flag=1``: they are no training targets, as in SeqFormer's
      released code. The evaluation reads them from the file itself.
    - In training videos without any instance to learn from are left out, unless
      ``filter_cfg=dict(filter_empty_gt=False)``. Frames are never left out.
    - The official validation and test files, which have no annotations, need
      ``test_mode=True``.

    All that can be checked before training starts is checked here, every mask too.

    Args:
        check_files: Whether to look at the disk: every frame must be there, under the
            image folder, and the first frame of each video must have the size that
            the file says.
        allow_outside_root: Whether frames may lie outside of the image folder, by
            absolute names, by ".." or by links that lead out of it. Whoever wrote the
            file can then have any image of this machine read.
        **kwargs: See :class:`mmdet.datasets.BaseVideoDataset`. ``ann_file`` and
            ``data_prefix=dict(img_path=...)`` are relative to ``data_root``.

    Raises:
        FileNotFoundError: If the annotation file or a frame is missing.
        DataError: If the file breaks the format or does not fit its images, if the
            class list does not fit the file, or if there is nothing to train on.
    """

    def __init__(
        self,
        *args: Any,
        check_files: bool = True,
        allow_outside_root: bool = False,
        **kwargs: Any,
    ) -> None:
        self.check_files = check_files
        self.allow_outside_root = allow_outside_root
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the annotation file.

        Returns:
            One dict per video with ``video_id``, ``video_length`` and ``images``, a
            list with one dict per frame: ``img_id`` (running number), ``frame_id``
            (index in the video), ``img_path``, ``height``, ``width``, ``instances``
            (see :func:`parse_instances`).
        """
        with get_local_path(self.ann_file, backend_args=self.backend_args) as path:
            content = read_json(path, "annotation file", compress_masks=True)
        content = check_annotations(content, self.ann_file)
        classes, self.cat2label = select_classes(
            content["categories"], self._metainfo.get("classes"), self.ann_file
        )
        self.cat_ids = list(self.cat2label)
        self._metainfo["classes"] = classes
        self._metainfo.setdefault("palette", _make_palette(len(classes)))
        folder = self.data_prefix.get("img_path", "")
        if not self.allow_outside_root:
            check_names(content["videos"], self.ann_file)
        if self.check_files and _is_local(folder, self.backend_args):
            check_frames(content["videos"], folder, self.allow_outside_root)

        instances = self._parse_annotations(content)
        data_list, num_images = [], 0
        for video in content["videos"]:
            data_list.append(
                self._parse_video(video, instances[video["id"]], num_images)
            )
            num_images += len(video["file_names"])
        return data_list

    def filter_data(self) -> list[dict]:
        """Leave out the videos without an instance to learn from, in training.

        Returns:
            The videos that are kept.
        """
        if self.test_mode:
            return self.data_list
        kept = [video for video in self.data_list if _has_target(video)]
        if not kept:
            raise DataError(
                f"{self.ann_file} has no instance of the classes "
                f"{list(self._metainfo['classes'])} to train on: use the annotated "
                "training file (the official validation and test files have no "
                "annotations), correct the class list, or set test_mode=True."
            )
        if not (self.filter_cfg or {}).get("filter_empty_gt", True):
            return self.data_list
        print_log(
            f"{len(kept)} of the {len(self.data_list)} videos of {self.ann_file} have "
            "instances to train on.",
            "current",
        )
        return kept

    def _parse_annotations(
        self, content: Mapping[str, Any]
    ) -> dict[int, list[list[dict | None]]]:
        """Instances of the wanted classes, for each video id."""
        videos = {video["id"]: video for video in content["videos"]}
        instances: dict[int, list] = {video_id: [] for video_id in videos}
        for annotation in content["annotations"]:
            label = self.cat2label.get(annotation["category_id"])
            if label is None:
                continue
            video = videos[annotation["video_id"]]
            instances[video["id"]].append(parse_instances(annotation, video, label))
        return instances

    def _parse_video(
        self,
        video: Mapping[str, Any],
        instances: Sequence[Sequence[dict | None]],
        first_img_id: int,
    ) -> dict[str, Any]:
        """Describe one video as mmdet's video data sets do."""
        folder = self.data_prefix.get("img_path", "")
        images = [
            dict(
                img_id=first_img_id + frame,
                frame_id=frame,
                img_path=osp.join(folder, name),
                height=video["height"],
                width=video["width"],
                instances=[i[frame] for i in instances if i[frame] is not None],
            )
            for frame, name in enumerate(video["file_names"])
        ]
        return dict(video_id=video["id"], video_length=len(images), images=images)


def _has_target(video: Mapping[str, Any]) -> bool:
    """Whether any frame has an instance that is not ignored."""
    return any(
        not instance["ignore_flag"]
        for image in video["images"]
        for instance in image["instances"]
    )


def _is_local(folder: str, backend_args: dict | None) -> bool:
    """Whether a folder can be listed."""
    backend = get_file_backend(folder, backend_args=backend_args)
    return isinstance(backend, LocalBackend)


def _make_palette(num_classes: int) -> list[tuple[int, int, int]]:
    """One colour per class, in plain integers: checkpoints store them."""
    return [(int(r), int(g), int(b)) for r, g, b in get_palette("random", num_classes)]
