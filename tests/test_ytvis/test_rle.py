import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as mask_utils

from mmtaformer.utils.errors import DataError
from mmtaformer.ytvis import rle as codec

from ..helpers.rle_loops import Malformed, mask_of_rle, text_of_runs
from ..helpers.ytvis_factory import encode, rectangle

HEIGHT, WIDTH = 12, 20
SIZE = (WIDTH, HEIGHT)
QUICK = settings(max_examples=200, deadline=None, derandomize=True)


def random_mask(seed, shape=(HEIGHT, WIDTH)):
    return (np.random.default_rng(seed).random(shape) > 0.5).astype(np.uint8)


def rle_of(counts):
    return {"size": [HEIGHT, WIDTH], "counts": counts}


@pytest.mark.parametrize("encoding", ["rle", "compressed", "polygon"])
@pytest.mark.parametrize("seed", range(3))
def test_every_encoding_keeps_the_mask(encoding, seed):
    mask = (
        random_mask(seed) if encoding != "polygon" else rectangle(SIZE, seed, 3, 5, 4)
    )
    rle = codec.to_rle(encode(mask, encoding), HEIGHT, WIDTH)
    assert isinstance(rle["counts"], str)
    np.testing.assert_array_equal(mask_of_rle(rle, HEIGHT, WIDTH), mask)
    np.testing.assert_array_equal(codec.decode(rle), mask)


@QUICK
@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 300), st.floats(0, 1))
def test_masks_of_any_size(seed, height, width, density):
    mask = np.random.default_rng(seed).random((height, width)) < density
    (rle,) = codec.encode_masks(mask[None])
    for given_rle in (rle, codec.run_lengths(mask), dict(rle, size=(height, width))):
        found = codec.to_rle(given_rle, height, width)
        assert found == rle
        np.testing.assert_array_equal(mask_of_rle(found, height, width), mask)
    assert codec.area(rle) == mask.sum()


TEXTS = st.text(st.characters(min_codepoint=46, max_codepoint=113), max_size=12)
RUNS = st.lists(st.integers(-1, 40), max_size=8)


def completed(runs):
    """Runs with a last one that makes the sum right, where that is possible."""
    return [*runs, HEIGHT * WIDTH - sum(runs)]


@QUICK
@given(
    st.one_of(TEXTS, RUNS, RUNS.map(completed), RUNS.map(completed).map(text_of_runs))
)
def test_counts_are_read_as_loops_read_them_or_refused(counts):
    try:
        expected = mask_of_rle(rle_of(counts), HEIGHT, WIDTH)
    except Malformed:
        with pytest.raises(DataError, match=r"^frame 7: .*correct (it|them)\.$"):
            codec.to_rle(rle_of(counts), HEIGHT, WIDTH, "frame 7")
        return
    found = codec.to_rle(rle_of(counts), HEIGHT, WIDTH)
    np.testing.assert_array_equal(codec.decode(found), expected)
    # Whatever the runs were, those of equal masks are equal.
    assert found == codec.encode_masks(expected[None])[0]


@QUICK
@given(st.integers(0, 2**32), st.integers(0, 200), st.integers(0, 255))
def test_one_wrong_character_changes_the_mask_as_loops_say(seed, place, character):
    text = codec.encode_masks(random_mask(seed)[None])[0]["counts"]
    place %= len(text)
    text = text[:place] + chr(character) + text[place + 1 :]
    try:
        expected = mask_of_rle(rle_of(text), HEIGHT, WIDTH)
    except Malformed:
        with pytest.raises(DataError):
            codec.to_rle(rle_of(text), HEIGHT, WIDTH)
    else:
        found = codec.to_rle(rle_of(text), HEIGHT, WIDTH)
        np.testing.assert_array_equal(codec.decode(found), expected)


@QUICK
@given(st.lists(st.integers(0, 2**32 - 1), max_size=4), st.floats(0, 1))
def test_runs_are_what_was_compressed(seeds, density):
    """Several masks at once, full and empty ones too."""
    masks = [np.random.default_rng(s).random((HEIGHT, WIDTH)) < density for s in seeds]
    rles = codec.encode_masks(np.array(masks)) if masks else []
    runs, counts = codec.read_runs(rles)
    expected = [codec.run_lengths(mask)["counts"] for mask in masks]
    assert counts.tolist() == [len(one) for one in expected]
    assert runs.tolist() == [run for one in expected for run in one]


def test_masks_of_a_track_are_told_apart():
    masks = [random_mask(seed) for seed in range(4)]
    kinds = [encode(masks[0], "rle"), *(encode(m, "compressed") for m in masks[1:])]
    rles = codec.to_rles([None, kinds[0], [], *kinds[1:]], HEIGHT, WIDTH)
    assert rles[0] is None and rles[2] is None
    for rle, mask in zip([rles[1], *rles[3:]], masks, strict=True):
        np.testing.assert_array_equal(codec.decode(rle), mask)
    broken = dict(kinds[2], counts=kinds[2]["counts"][:-1])
    with pytest.raises(DataError, match="^frame 3: "):
        codec.to_rles([None, *kinds[:2], broken, kinds[3]], HEIGHT, WIDTH)


def test_masks_with_empty_runs_are_compared_in_full():
    """pycocotools stops where two masks have an empty run in one place."""
    counts = [10, 5, 0, 0, 20, 30, HEIGHT * WIDTH - 65]
    mask = mask_of_rle(rle_of(counts), HEIGHT, WIDTH)
    first = codec.to_rle(rle_of(counts), HEIGHT, WIDTH)
    text = mask_utils.frPyObjects(rle_of(counts), HEIGHT, WIDTH)["counts"].decode()
    second = codec.to_rle(rle_of(text), HEIGHT, WIDTH)
    assert codec.overlap(first, second) == (mask.sum(), mask.sum())


def test_overlap_of_masks():
    first, second = rectangle(SIZE, 1, 2, 6, 5) > 0, rectangle(SIZE, 4, 4, 9, 6) > 0
    rles = codec.encode_masks(np.stack([first, second]))
    assert codec.overlap(*rles) == ((first & second).sum(), (first | second).sum())
    assert codec.overlap(rles[0], None) == codec.overlap(None, rles[0]) == (0, 30)
    assert codec.overlap(None, None) == (0, 0)
    assert codec.bounding_box(rles[1]) == [4, 4, 9, 6]
    assert codec.area(None) == 0


def test_several_polygons_make_one_mask():
    left, right = rectangle(SIZE, 1, 2, 4, 5), rectangle(SIZE, 10, 4, 3, 3)
    polygons = encode(left, "polygon") + encode(right, "polygon")
    mask = codec.decode(codec.to_rle(polygons, HEIGHT, WIDTH))
    np.testing.assert_array_equal(mask, left | right)


def test_polygons_beyond_the_border_are_cut():
    polygon = [[-5.0, -5.0, 8.0, -5.0, 8.0, 6.0, -5.0, 6.0]]
    mask = codec.decode(codec.to_rle(polygon, HEIGHT, WIDTH))
    np.testing.assert_array_equal(mask, rectangle(SIZE, 0, 0, 8, 6))
    outside = [[22.0, 2.0, 30.0, 2.0, 30.0, 9.0]]
    assert codec.area(codec.to_rle(outside, HEIGHT, WIDTH)) == 0


NAN, INFINITY = float("nan"), float("inf")
ZIGZAG = [coordinate for i in range(400) for coordinate in (20 * (i % 2), i % 12)]
SQUARE = [1, 1, 5, 1, 5, 5, 1, 5]


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (rle_of(""), "no compressed run lengths"),
        (rle_of([]), "neither a text nor a list"),
        (rle_of(None), "neither a text nor a list"),
        (rle_of({}), "neither a text nor a list"),
        (rle_of([240.0]), "more than whole numbers"),
        (rle_of([True, 239]), "more than whole numbers"),
        (rle_of([1, "2", 237]), "more than whole numbers"),
        (rle_of([33, -4, 211]), "more than whole numbers"),
        (rle_of([33, 4, 6, 4, 52]), "add up to 99, but the image has 240"),
        (rle_of([10**400]), "one larger than any image has pixels"),
        (rle_of([2**63 - 1, 2**63 - 1, 242]), "add up to .*, but the image has 240"),
        (rle_of("\0"), "no compressed run lengths"),
        (rle_of("\ud800"), "no compressed run lengths"),
        (rle_of("`7?é"), "no compressed run lengths"),
        (rle_of("P" * 9 + "0"), "no compressed run lengths"),
        (rle_of(text_of_runs([-5, 245])), "no compressed run lengths"),
        (rle_of(text_of_runs([33, -4, 211])), "no compressed run lengths"),
        (rle_of(text_of_runs([99, 20, 31, -40, 130])), "no compressed run lengths"),
        (dict(rle_of([240]), size=[20, 12]), r"height and width \(20, 12\)"),
        (dict(rle_of([240]), size=[12]), r"height and width \(12,\)"),
        (dict(rle_of([240]), size=None), "not .height, width."),
        (dict(rle_of([240]), size=[12.0, 20]), "not .height, width."),
        (dict(rle_of([240]), size="ab"), "not .height, width."),
        ({"counts": [240]}, "neither null, nor polygons, nor an RLE"),
        ({}, "neither null, nor polygons, nor an RLE"),
        ("x", "neither null, nor polygons, nor an RLE"),
        (5, "neither null, nor polygons, nor an RLE"),
        (False, "neither null, nor polygons, nor an RLE"),
        ([1.0, 2.0, 3.0, 4.0], "not a list of x, y pairs"),
        ([[1.0, 2.0, 3.0]], "not a list of x, y pairs"),
        ([[1.0, 2.0, 3.0, "4"]], "not a list of x, y pairs"),
        ([[*SQUARE, None, 1]], "not a list of x, y pairs"),
        ([[*SQUARE, True, 1]], "not a list of x, y pairs"),
        ([[*SQUARE, NAN, 1]], "not a list of x, y pairs"),
        ([[*SQUARE, 1, -INFINITY]], "not a list of x, y pairs"),
        ([[*SQUARE, 10**400, 1]], "not a list of x, y pairs"),
        ([rle_of([240])], "not a list of x, y pairs"),
        ([SQUARE, []], "has 0 points"),
        ([SQUARE, [3.0, 3.0, 4.0, 4.0]], "has 2 points, and so no area"),
        ([[1, 1, 1e9, 1, 5, 5]], "far outside of the image of 20 x 12"),
        ([[1, 1, 1, -13, 5, 5]], "far outside of the image of 20 x 12"),
        ([ZIGZAG], "a longer outline than 20 x 12 pixels can hold"),
    ],
)
def test_broken_masks(mask, message):
    for check in (codec.to_rle, codec.check_mask):
        with pytest.raises(DataError, match=f"^here: .*{message}") as error:
            check(mask, HEIGHT, WIDTH, "here")
        assert "\n" not in str(error.value)


class TestCompressRuns:
    """What is compressed while a file is read."""

    def test_is_what_the_codec_makes_of_it(self):
        given = rle_of([33, 4, 203])
        read = json.loads(json.dumps({"a": [given]}), object_hook=codec.compress_runs)
        expected = codec.to_rle(given, HEIGHT, WIDTH)
        assert read == {"a": [expected]}
        again = codec.to_rle(read["a"][0], HEIGHT, WIDTH)
        # pycocotools takes nothing but plain dicts.
        assert again == expected and type(again) is dict
        assert mask_utils.decode(expected).sum() == 4

    @pytest.mark.parametrize(
        "mask",
        [
            rle_of([33, 4, 202]),
            rle_of([True, 239]),
            rle_of([]),
            rle_of("04"),
            {"counts": [240]},
            {"size": [-12, -20], "counts": [240]},
            {"size": [2**40, 1], "counts": [2**40]},
            {"size": [12], "counts": [12]},
            {"size": "ab", "counts": [12]},
            {"file_names": ["a"]},
        ],
    )
    def test_leaves_the_rest_to_whoever_knows_the_place(self, mask):
        assert codec.compress_runs(mask) is mask

    def test_the_size_is_still_checked(self):
        mask = codec.compress_runs(rle_of([33, 4, 203]))
        with pytest.raises(DataError, match="^here: the mask has height and width"):
            codec.to_rle(mask, WIDTH, HEIGHT, "here")
