"""COCO's run lengths read by plain loops, to compare the codec with."""

from typing import Any

import numpy as np


class Malformed(Exception):
    """The text or list is no run lengths of this image."""


def runs_of_text(text: str) -> list[int]:
    """Run lengths of a compressed RLE, character by character."""
    runs: list[int] = []
    number, shift = 0, 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise Malformed(f"character {character!r}")
        number |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            number -= 1 << shift
        runs.append(number + runs[-2] if len(runs) > 2 else number)
        number, shift = 0, 0
    if shift or not runs:
        raise Malformed("cut off, or empty")
    return runs


def text_of_runs(runs: list[int]) -> str:
    """Compressed RLE of any whole numbers, character by character."""
    text = ""
    for index, run in enumerate(runs):
        number = run - runs[index - 2] if index > 2 else run
        while True:
            bits, number = number & 31, number >> 5
            is_last = number == (-1 if bits & 16 else 0)
            text += chr(48 + (bits if is_last else bits | 32))
            if is_last:
                break
    return text


def mask_of_runs(runs: Any, height: int, width: int) -> np.ndarray:
    """(H, W) bool of runs that are checked one by one."""
    if not isinstance(runs, list) or not runs:
        raise Malformed("no list")
    pixels: list[bool] = []
    for index, run in enumerate(runs):
        if type(run) is not int or run < 0 or len(pixels) + run > height * width:
            raise Malformed(f"run {index}")
        pixels += [index % 2 == 1] * run
    if len(pixels) != height * width:
        raise Malformed("sum")
    return np.array(pixels).reshape(width, height).T


def mask_of_rle(rle: dict[str, Any], height: int, width: int) -> np.ndarray:
    """(H, W) bool of an RLE, compressed or not."""
    counts = rle["counts"]
    runs = runs_of_text(counts) if isinstance(counts, str) else counts
    return mask_of_runs(runs, height, width)
