"""A seeded generator of damaged JSON: every field, every type, every length."""

import copy
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 1.0, 0.5, -0.0, 1e-9, 1e9, 1e308,
    float("nan"), float("inf"), float("-inf"), 2**31, 2**32, 2**63, 10**30, 10**400,
    "", "x", "0", "\0", "a\nb", "\ud800", "\u00e9", "../x", "/etc/passwd", "a" * 5000,
    [], [1], [[]], [None], [[1, 2, 3, 4]], [[1, 1, 1e9, 1, 5, 5]], {}, {"a": 1},
    {"size": [24, 40], "counts": ""}, {"size": [24, 40], "counts": []},
    {"size": [40, 24], "counts": [960]}, {"size": [24, 40], "counts": [960, 0]},
    {"size": [24, 40], "counts": [33, 4, 6, 4, 52]},
)  # fmt: skip


@dataclass(frozen=True)
class Damaged:
    """Bytes of a file, and what was done to it."""

    content: bytes
    what: str


def damaged_files(content: Any, count: int, seed: int) -> Iterator[Damaged]:
    """Variants of a JSON file, each with one damage, now and then two.

    Args:
        content: The whole content.
        count: How many.
        seed: Number of the first variant; each has a generator of its own.
    """
    for number in range(seed, seed + count):
        rng = np.random.default_rng(number)
        if rng.random() < 0.06:
            yield _damage_bytes(json.dumps(content).encode(), rng)
            continue
        damaged = copy.deepcopy(content)
        what = [_damage_tree(damaged, rng) for _ in range(1 + (rng.random() < 0.1))]
        yield Damaged(json.dumps(damaged).encode(), "; ".join(what))


def _damage_tree(content: Any, rng: np.random.Generator) -> str:
    """Change one place; every field has the same chance, however often it occurs."""
    fields: dict[str, list] = defaultdict(list)
    for name, holder, key in _places(content, ""):
        fields[re.sub(r"\d+", "", name)].append((name, holder, key))
    places = fields[sorted(fields)[rng.integers(len(fields))]]
    name, holder, key = places[rng.integers(len(places))]
    ways = _ways_of(holder[key]) + [_replace] * 3 + [_delete]
    way = ways[rng.integers(len(ways))]
    way(holder, key, rng)
    return f"{name}: {way.__name__.strip('_')}"


def _places(value: Any, name: str) -> Iterator[tuple[str, Any, Any]]:
    keys = (
        list(value) if isinstance(value, dict)
        else range(len(value)) if isinstance(value, list) else ()
    )  # fmt: skip
    for key in keys:
        place = f"{name}.{key}" if isinstance(value, dict) else f"{name}[{key}]"
        yield place, value, key
        yield from _places(value[key], place)


def _ways_of(value: Any) -> list[Callable]:
    if isinstance(value, str):
        return [_cut_end, _cut_start, _insert, _change_character, _append, _lead_out]
    if isinstance(value, list):
        return [_shorten, _lengthen, _empty, _reverse, _swap]
    if isinstance(value, bool) or value is None:
        return []
    if isinstance(value, int | float):
        return [_step, _negate, _enlarge, _as_float]
    return []


def _replace(holder, key, rng):
    holder[key] = copy.deepcopy(ODD_VALUES[rng.integers(len(ODD_VALUES))])


def _delete(holder, key, rng):
    del holder[key]


def _cut_end(holder, key, rng):
    holder[key] = holder[key][: -int(rng.integers(1, 4))]


def _cut_start(holder, key, rng):
    holder[key] = holder[key][1:]


def _insert(holder, key, rng):
    place = int(rng.integers(len(holder[key]) + 1))
    new = chr(rng.integers(0, 128))
    holder[key] = holder[key][:place] + new + holder[key][place:]


def _change_character(holder, key, rng):
    if holder[key]:
        place = int(rng.integers(len(holder[key])))
        new = chr(rng.integers(46, 114))
        holder[key] = holder[key][:place] + new + holder[key][place + 1 :]


def _append(holder, key, rng):
    holder[key] += ("0", "_", "o", "oooooooo0")[rng.integers(4)]


def _lead_out(holder, key, rng):
    start = ("../", "/", "./", "a/../../")[rng.integers(4)]
    holder[key] = start + holder[key]


def _shorten(holder, key, rng):
    holder[key] = holder[key][: -int(rng.integers(1, 3))]


def _lengthen(holder, key, rng):
    extra = holder[key][-1] if holder[key] and rng.random() < 0.5 else None
    holder[key] = [*holder[key], copy.deepcopy(extra)]


def _empty(holder, key, rng):
    holder[key] = []


def _reverse(holder, key, rng):
    holder[key] = holder[key][::-1]


def _swap(holder, key, rng):
    if holder[key]:
        i, j = rng.integers(len(holder[key]), size=2)
        holder[key][i], holder[key][j] = holder[key][j], holder[key][i]


def _step(holder, key, rng):
    holder[key] += (-1, 1)[rng.integers(2)]


def _negate(holder, key, rng):
    holder[key] = -holder[key]


def _enlarge(holder, key, rng):
    holder[key] *= 10 ** int(rng.integers(1, 12))


def _as_float(holder, key, rng):
    holder[key] = holder[key] + 0.0


def _damage_bytes(content: bytes, rng: np.random.Generator) -> Damaged:
    """Damage that no longer is the JSON that was meant."""
    place = int(rng.integers(1, len(content)))
    changed = bytearray(content)
    changed[place] ^= 1 << int(rng.integers(8))
    ways = {
        "cut off": content[:place],
        "one bit flipped": bytes(changed),
        "empty": b"",
        "blank": b" \n" * 5,
        "nested deeply": b'{"a":' * 5000 + b"1" + b"}" * 5000,
        "lists nested deeply": b"[" * 20000,
        "twice": content * 2,
        "UTF-16": content.decode().encode("utf-16"),
        "a list": b"[" + content + b"]",
        "a number of many digits": b"9" * 5000,
        "NULs": bytes(200),
    }
    name = sorted(ways)[rng.integers(len(ways))]
    return Damaged(ways[name], f"file: {name}")
