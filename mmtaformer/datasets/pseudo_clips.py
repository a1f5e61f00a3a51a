"""Images with instance masks as clips, for pretraining and joint training."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS
from mmengine.fileio import get_local_path
from mmengine.logging import print_log

from mmtaformer.utils.errors import DataError
from mmtaformer.ytvis.frames import check_names

from .coco_annotations import read_coco_json


@DATASETS.register_module()
class CocoPseudoClipDataset(CocoDataset):
    """The images of a data set in COCO's format, each as a video of one frame.

    The pipeline makes a clip of it: see :class:`RepeatFrame` and :class:`RotateFrame`.
    An item looks like one of :class:`YTVISDataset`, and an epoch visits every image
    once. Crowds are left out; so are images without an instance to learn from.

    Args:
        class_map: Name of a category in the file -> name of its class in
            ``metainfo['classes']``; categories that are not named are left out. By
            default the classes are categories of the same names. There is no
            automatic part in it: COCO's "mouse" is a computer mouse, YouTube-VIS's
            is the animal.
        max_instances: Leave out images with more instances, which would take more
            memory than any video; SeqFormer's released code has 25. None keeps all.
        allow_outside_root: Whether images may lie outside of the image folder, by
            absolute names or by "..".
        **kwargs: See :class:`mmdet.datasets.CocoDataset`.

    Raises:
        FileNotFoundError: If the annotation file is missing.
        DataError: If the file breaks the format or an annotation has no mask or a
            broken one; if ``class_map`` does not fit the file or the classes; or if
            there is nothing to train on.
    """

    def __init__(
        self,
        *args: Any,
        class_map: Mapping[str, str] | None = None,
        max_instances: int | None = None,
        allow_outside_root: bool = False,
        **kwargs: Any,
    ) -> None:
        self.allow_outside_root = allow_outside_root
        self.class_map = class_map
        self.max_instances = max_instances
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the annotation file.

        Returns:
            One dict per image, as in mmdet, its instances with ``instance_id``.
        """
        with get_local_path(self.ann_file, backend_args=self.backend_args) as path:
            content = read_coco_json(path)
        if not self.allow_outside_root:
            images = content["images"]
            names = [dict(id=i["id"], file_names=[i["file_name"]]) for i in images]
            check_names(names, self.ann_file)
        self.cat2label = self._match_categories(content["categories"])
        self.cat_ids = list(self.cat2label)
        annotations = defaultdict(list)
        for annotation in content["annotations"]:
            annotations[annotation["image_id"]].append(annotation)
        return [
            self.parse_data_info(
                dict(
                    raw_img_info={**image, "img_id": image["id"]},
                    raw_ann_info=annotations[image["id"]],
                )
            )
            for image in content["images"]
        ]

    def parse_data_info(self, raw_data_info: dict) -> dict:
        """Describe one image.

        Args:
            raw_data_info: The image and its annotations.

        Returns:
            The image with its ``instances``; ``instance_id`` is their number.
        """
        image = super().parse_data_info(raw_data_info)
        instances = [i for i in image["instances"] if not i["ignore_flag"]]
        for number, instance in enumerate(instances):
            instance["instance_id"] = number
        image["instances"] = instances
        return image

    def filter_data(self) -> list[dict]:
        """Leave out the images with no instance or too many, in training.

        Returns:
            The images that are kept.
        """
        if self.test_mode:
            return self.data_list
        most = float("inf") if self.max_instances is None else self.max_instances
        kept = [x for x in self.data_list if 0 < len(x["instances"]) <= most]
        if not kept:
            raise DataError(
                f"No image of {self.ann_file} has 1 to {most} instances of the "
                f"categories that become {list(self.metainfo['classes'])}; correct "
                "class_map, the class list or max_instances."
            )
        print_log(
            f"{len(kept)} of the {len(self.data_list)} images of {self.ann_file} have "
            "instances to train on.",
            "current",
        )
        return kept

    def get_len_per_video(self, idx: int) -> int:
        """Number of key frames of an image, as video data sets have it."""
        return 1

    def prepare_data(self, idx: int | tuple[int, int]) -> Any:
        """Run the pipeline on an image.

        Args:
            idx: Index of the image, or, as for a video, (index, key frame).

        Returns:
            What the pipeline returns.
        """
        image = self.get_data_info(idx[0] if isinstance(idx, tuple) else idx)
        keys = ("img_id", "img_path", "height", "width", "instances")
        frame = dict({key: image[key] for key in keys}, frame_id=0)
        return self.pipeline(
            dict(video_id=image["img_id"], video_length=1, images=[frame])
        )

    def _match_categories(
        self, categories: Sequence[Mapping[str, Any]]
    ) -> dict[int, int]:
        """Label of every category id that is used."""
        classes = list(self.metainfo["classes"])
        class_map = self.class_map or {name: name for name in classes}
        names = {category["name"] for category in categories}
        for kind, wanted, known in (
            (f"the categories of {self.ann_file}", class_map, names),
            ("metainfo['classes']", class_map.values(), classes),
        ):
            unknown = sorted(set(wanted) - set(known))
            if unknown:
                raise DataError(
                    f"The class map of {self.ann_file} names {unknown}, but {kind} are "
                    f"{sorted(known)}; correct class_map or the class list."
                )
        return {
            category["id"]: classes.index(class_map[category["name"]])
            for category in categories
            if category["name"] in class_map
        }
