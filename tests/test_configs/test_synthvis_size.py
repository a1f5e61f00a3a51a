"""Small configs keep generated frames and make larger ones as small."""

import numpy as np
import pytest
from mmdet.registry import TRANSFORMS
from mmdet.utils import register_all_modules
from mmengine.config import Config

from ..helpers.golden import REPO_ROOT

SIZES = {"synthvis": (160, 96), "synthvis_deform": (96, 64)}


@pytest.fixture(params=SIZES)
def config(request):
    return request.param


@pytest.fixture
def largest(config):
    return SIZES[config]


@pytest.fixture(params=["train_pipeline", "test_pipeline"])
def resize(request, config):
    register_all_modules(init_default_scope=True)
    path = REPO_ROOT / f"configs/_base_/datasets/{config}.py"
    pipeline = Config.fromfile(path)[request.param]
    (broadcast,) = [t for t in pipeline if t.type == "TransformBroadcaster"]
    (cfg,) = [t for t in broadcast.transforms if t.type == "Resize"]
    return TRANSFORMS.build(cfg)


def test_generated_frames_stay_as_they_are(resize, largest):
    shape = (*largest[::-1], 3)
    frame = np.random.default_rng(0).integers(255, size=shape, dtype=np.uint8)
    result = resize(dict(img=frame.copy()))
    assert np.array_equal(result["img"], frame)
    assert result["scale_factor"] == (1.0, 1.0)


@pytest.mark.parametrize("size", [(480, 854), (854, 480), (720, 1280)])
def test_larger_frames_cost_no_more(resize, largest, size):
    result = resize(dict(img=np.zeros((*size, 3), np.uint8)))
    height, width = result["img"].shape[:2]
    assert max(height, width) <= largest[0] and min(height, width) <= largest[1]
    assert height / width == pytest.approx(size[0] / size[1], rel=0.02)
