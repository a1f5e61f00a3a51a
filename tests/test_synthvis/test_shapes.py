import cv2
import numpy as np
import pytest

from mmtaformer.synthvis.shapes import (
    CLASSES,
    CLUTTER,
    outline,
    sample_shape,
)

SIDE = 128


def silhouette(contours):
    points = [np.rint((c + 1) * SIDE / 2).astype(np.int32) for c in contours]
    return cv2.fillPoly(np.zeros((SIDE + 1, SIDE + 1), np.uint8), points, 1) > 0


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


@pytest.mark.parametrize("kind", CLASSES + CLUTTER)
@pytest.mark.parametrize("seed", range(5))
def test_outlines_stay_in_the_unit_disc(kind, seed):
    shape = sample_shape(np.random.default_rng(seed), kind, amplitude=1.0)
    for time in np.linspace(0, 30, 40):
        points = np.concatenate(outline(shape, time))
        assert np.isfinite(points).all()
        assert np.hypot(*points.T).max() <= 1 + 1e-9


@pytest.mark.parametrize("kind", CLASSES)
def test_outlines_deform_smoothly(kind):
    shape = sample_shape(np.random.default_rng(0), kind, amplitude=0.6)
    masks = [silhouette(outline(shape, time)) for time in range(12)]
    assert min(iou(masks[0], mask) for mask in masks[1:]) < 0.85
    near = silhouette(outline(shape, 0.05))
    assert iou(masks[0], near) > 0.95


def compactness(mask):
    """Solidity, holes and elongation: none of them sees place, size or angle."""
    contours, hierarchy = cv2.findContours(
        mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
    )
    outer = max(contours, key=cv2.contourArea)
    hull = cv2.contourArea(cv2.convexHull(outer))
    holes = int((hierarchy[0, :, 3] >= 0).sum())
    (_, _), sides, _ = cv2.minAreaRect(outer)
    return np.array([cv2.contourArea(outer) / hull, holes, min(sides) / max(sides)])


def test_classes_differ_in_shape():
    """A nearest-mean rule on three numbers tells most shapes apart."""
    features = {
        kind: np.stack(
            [
                compactness(silhouette(outline(sample_shape(rng, kind, 0.6), 3)))
                for rng in map(np.random.default_rng, range(40))
            ]
        )
        for kind in CLASSES
    }
    means = np.stack([features[kind][:20].mean(axis=0) for kind in CLASSES])
    correct = [
        np.argmin(np.abs(means - sample).sum(axis=1)) == label
        for label, kind in enumerate(CLASSES)
        for sample in features[kind][20:]
    ]
    assert np.mean(correct) > 0.75
