"""Tracks of a video made by hand."""

import numpy as np
from pycocotools import mask as mask_utils

from mmtaformer.apis import VideoInfo, VideoTracks
from mmtaformer.apis.sources import open_source
from mmtaformer.visualization import Track

from .videos import SIZE, encode, rectangle

COUNT = 4
CLASSES = ("cat", "dog")


def masks_of(index):
    """Bool masks: the first moves, the second lies under it, the third is absent."""
    masks = {
        0: [rectangle(2 + 4 * t, 10, 20, 12) for t in range(COUNT)],
        1: [rectangle(10, 12, 30, 30) if t != 2 else None for t in range(COUNT)],
        2: [rectangle(50, 0, 8, 8)] * COUNT,
    }
    return masks[index]


def make_track(index, label, score):
    masks = [None if m is None else encode(m) for m in masks_of(index)]
    boxes = []
    for rle in masks:
        x, y, w, h = mask_utils.toBbox(rle) if rle else (0, 0, 0, 0)
        boxes.append((x, y, x + w, y + h) if rle else None)
    return Track(index, CLASSES[label], masks, None, score, boxes, label)


def video_tracks():
    """Three tracks, the last one with a low score."""
    frames = np.full((COUNT, *SIZE, 3), 90, np.uint8)
    frames[..., 2] = 30  # BGR: less red
    return VideoTracks(
        tracks=[make_track(0, 1, 0.9), make_track(1, 0, 0.6), make_track(2, 0, 0.1)],
        info=VideoInfo("clip", *SIZE, [0.0, 0.1, 0.2, 0.3]),
        classes=CLASSES,
        source=open_source(frames),
    )
