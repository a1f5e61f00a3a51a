import pickle

import numpy as np
import pytest
from mmdet.structures.mask import BitmapMasks

from mmtaformer.datasets.run_length_masks import RunLengthMasks
from mmtaformer.ytvis.rle import encode_masks

HEIGHT, WIDTH = 45, 70


@pytest.fixture(params=[0, 1, 4])
def pair(request):
    """The same masks as run lengths and as mmdet has them: noise, blobs, corners."""
    rng = np.random.default_rng(0)
    masks = (rng.random((request.param, HEIGHT, WIDTH)) < 0.3).astype(np.uint8)
    if request.param == 4:
        masks[1:] = 0
        masks[1, 5:30, 10:60] = masks[2, 0, 0] = masks[2, -1, -1] = 1
    rles = encode_masks(masks) if len(masks) else []
    return (
        RunLengthMasks.from_rles(rles, HEIGHT, WIDTH),
        BitmapMasks(masks, HEIGHT, WIDTH),
    )


def check(found, expected):
    assert len(found) == len(expected)
    assert (found.height, found.width) == (expected.height, expected.width)
    assert found.masks.dtype == np.uint8
    np.testing.assert_array_equal(found.masks, expected.masks)


@pytest.mark.parametrize(
    "shape",
    [(45, 70), (22, 35), (23, 31), (1, 1), (44, 69), (45, 7), (90, 35)]
    + [(90, 140), (20, 141)],
)
def test_resize(pair, shape):
    """The second line is wider than before: decoded, as columns repeat."""
    check(pair[0].resize(shape), pair[1].resize(shape))


@pytest.mark.parametrize("scale", [0.37, 1.0, 1.6, (33, 50), (50, 33), (1000, 20)])
def test_rescale(pair, scale):
    check(pair[0].rescale(scale), pair[1].rescale(scale))


def test_every_size(pair):
    for width in range(1, WIDTH + 1):
        shape = (1 + width % HEIGHT, width)
        check(pair[0].resize(shape), pair[1].resize(shape))


@pytest.mark.parametrize(
    "change",
    [
        lambda masks: masks.resize((20, 30), interpolation="bilinear"),
        lambda masks: masks.flip("horizontal"),
        lambda masks: masks.crop(np.array([5, 6, 40, 30])),
        lambda masks: masks.pad((50, 80)),
        lambda masks: masks[np.zeros(0, np.int64)],
        lambda masks: masks[np.arange(len(masks))[::-1]],
        lambda masks: masks[np.arange(len(masks)) % 2 == 0],
        lambda masks: masks.resize((30, 40)).resize((15, 21)).flip("vertical"),
    ],
)
def test_other_operations(pair, change):
    check(change(pair[0]), change(pair[1]))


def test_one_mask(pair):
    if len(pair[0]):
        check(pair[0][len(pair[0]) - 1], pair[1][len(pair[1]) - 1])


def test_small_on_the_way_from_a_worker(pair):
    found = pickle.loads(pickle.dumps(pair[0].resize((22, 35))))
    check(found, pair[1].resize((22, 35)))
