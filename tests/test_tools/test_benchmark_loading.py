import re

import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS
from mmdet.utils import register_all_modules


@pytest.fixture(scope="module", autouse=True)
def _mmdet_scope():
    register_all_modules(init_default_scope=True)


@pytest.fixture(scope="module")
def tool(load_tool):
    return load_tool("analysis_tools/benchmark_loading.py")


@pytest.fixture(scope="module")
def folder(tool, tmp_path_factory):
    root = tmp_path_factory.mktemp("loading")
    tool.write_videos(root, 2, (96, 64))
    return root


def test_both_load_the_same(tool, folder):
    """A clip of all frames, without chance: images, boxes, masks, labels, ids."""
    args = tool.parse_args(["--workers", "0"])
    resize = dict(type="Resize", scale=(48, 32), keep_ratio=True)
    clips = []
    for name in ("mmtaformer", "mmdet"):
        options = tool.loader_config(name, folder, resize, args)["dataset"]
        _, broadcaster, pack = options["pipeline"]
        everything = dict(type="UniformRefFrameSample", num_ref_imgs=19, frame_range=19)
        del broadcaster["transforms"][-1]  # the flip
        options["pipeline"] = [everything, broadcaster, pack]
        clips.append(DATASETS.build(options)[1, 0])
    own, other = clips
    difference = own["inputs"].float() - other["inputs"].float()
    assert own["inputs"].shape == (20, 3, 32, 48) and difference.abs().max() <= 1
    for one, two in zip(
        own["data_samples"].video_data_samples,
        other["data_samples"].video_data_samples,
        strict=True,
    ):
        one, two = one.gt_instances, two.gt_instances
        assert len(one) == len(two) > 0
        torch.testing.assert_close(one.bboxes, two.bboxes, atol=1e-3, rtol=0)
        assert one.labels.tolist() == two.labels.tolist()
        assert one.instances_ids.tolist() == two.instances_ids.tolist()
        np.testing.assert_array_equal(one.masks.masks, two.masks.masks)


def test_table(tool, capsys):
    options = ["--videos", "1", "--size", "64", "48", "--runs", "1", "--workers", "0"]
    tool.main(options)
    printed = capsys.readouterr().out
    number = r"[ │]+([\d.]+)"
    rows = re.findall("pixels" + 3 * number, printed)
    assert len(rows) == 2
    for own, other, ratio in rows:
        assert float(own) > 0
        assert (
            abs(float(own) / float(other) - float(ratio)) < 0.05 * float(ratio) + 0.01
        )
