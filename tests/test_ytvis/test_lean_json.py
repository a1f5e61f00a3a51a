"""What is read in little memory is what the standard library reads."""

import json

import pytest

from mmtaformer.ytvis.lean_json import parse_lean
from mmtaformer.ytvis.rle import CheckedRle, compress_runs

from ..robustness.damage import damaged_files

RUNS = {"size": [24, 40], "counts": [33, 4, 6, 4, 913]}
MASKS = [
    RUNS,
    None,
    {"counts": [0, 960], "size": [24, 40], "more": "x"},
    {"size": [24, 40], "counts": "Q148h0"},
    [[1, 1, 9.5, 1, 5, 5]],
    {"size": [24, 40], "counts": [480, 0, 480]},
]
ENTRY = {"id": 1, "score": 0.5, "name": "é", "segmentations": MASKS, "boxes": [None]}
FILES = {
    "annotations": {"videos": [{"id": 1, "size": 1e3}], "annotations": [ENTRY, ENTRY]},
    "results": [ENTRY, {"segmentations": None}, {}],
    "neither": {"annotations": [1, []], "segmentations": MASKS[1:2]},
}


def read(text):
    return json.loads(text, object_hook=compress_runs)


def compress(value):
    """Compress the masks, wherever they are."""
    if isinstance(value, dict):
        mask = {key: compress(item) for key, item in value.items()}
        return value if isinstance(value, CheckedRle) else compress_runs(mask)
    return [compress(item) for item in value] if isinstance(value, list) else value


def kinds(value):
    """The same tree of types."""
    if isinstance(value, dict):
        return type(value), {key: kinds(item) for key, item in value.items()}
    return [kinds(v) for v in value] if isinstance(value, list) else type(value)


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("name", FILES)
def test_whole_files(name, indent):
    text = b"\n " + json.dumps(FILES[name], indent=indent).encode() + b"\n"
    found = parse_lean(text)
    assert found == read(text)
    assert kinds(found) == kinds(read(text))


def test_masks_are_compressed():
    (entry,) = parse_lean(json.dumps([ENTRY]).encode())
    compressed = [isinstance(mask, CheckedRle) for mask in entry["segmentations"]]
    assert compressed == [True, False, True, False, False, True]


@pytest.mark.parametrize("name", FILES)
def test_damaged_files(name):
    """They are the same, or left to the standard library; never anything else."""
    same = 0
    for damaged in damaged_files(FILES[name], 300, seed=0):
        try:
            # Masks in odd places are left as they are, which no reader minds.
            found = compress(parse_lean(damaged.content))
        except (ValueError, RecursionError):
            continue
        expected = read(damaged.content)
        assert (found, kinds(found)) == (expected, kinds(expected)), damaged.what
        same += 1
    assert same > 200


@pytest.mark.parametrize(
    "counts",
    [
        "[]", "[ ]", "[1, [2]]", "[1.0, 959]", "[1e2, 860]", "[-1, 961]", "[true, 959]",
        "[960, 18446744073709551616]", "[9223372036854775807, 1, 960]", "[null]",
        "960", "{}", '"960"', "[33, 4, 6, 4, 52]", "[960, 0, 0]",
    ],
)  # fmt: skip
def test_runs_that_are_none(counts):
    text = f'[{{"segmentations": [{{"size": [24, 40], "counts": {counts}}}]}}]'
    found, expected = parse_lean(text.encode()), read(text)
    assert (found, kinds(found)) == (expected, kinds(expected))


@pytest.mark.parametrize("text", [b"", b"x", b"[NaN]", b"[1] 2", b'["\\ud800"]', b"1"])
def test_the_rest_is_left_to_the_standard_library(text):
    with pytest.raises(ValueError):
        parse_lean(text)


def test_nesting():
    with pytest.raises(RecursionError):
        parse_lean(b"[" * 100_000)
