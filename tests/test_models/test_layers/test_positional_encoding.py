"""Sine encodings by their formulas, one number after the other."""

import math

import pytest
import torch
from mmdet.registry import MODELS

from mmtaformer.models.layers import temporal_sine_encoding
from mmtaformer.utils.errors import UsageError


def sine(position: float, channel: int, num_channels: int) -> float:
    """Channel 2i: sin(position / 10000^(2i / C)); channel 2i + 1: its cosine."""
    angle = position / 10000 ** (2 * (channel // 2) / num_channels)
    return math.cos(angle) if channel % 2 else math.sin(angle)


def build(temporal=True, **options):
    return MODELS.build(
        dict(
            type="SpatioTemporalPositionalEncoding",
            num_feats=6,
            normalize=True,
            offset=-0.5,
            temporal=temporal,
            **options,
        )
    )


def test_frame_index():
    encoding = temporal_sine_encoding(4, 10)
    for t in range(4):
        for channel in range(10):
            expected = sine(t, channel, 10)
            assert encoding[t, channel].item() == pytest.approx(expected, abs=1e-6)


def test_encoding_of_the_frames_fits_that_of_the_pixels():
    assert torch.equal(build().encode_frames(3, "cpu"), temporal_sine_encoding(3, 12))
    assert build(temporal=False).encode_frames(3, "cpu") is None


def test_index_in_the_video():
    frame_ids = torch.tensor([[3, 4, 17], [0, 0, 2]])
    encoding = build(frame_index="video").encode_frames(3, "cpu", frame_ids)
    assert encoding.shape == (2, 3, 12)
    for clip, ids in enumerate(frame_ids.tolist()):
        for t, frame in enumerate(ids):
            expected = [sine(frame, channel, 12) for channel in range(12)]
            assert encoding[clip, t].tolist() == pytest.approx(expected, abs=1e-6)
    # Indices are known and not asked for, or there is no encoding at all.
    in_clip = build().encode_frames(3, "cpu", frame_ids)
    assert torch.equal(in_clip, temporal_sine_encoding(3, 12))
    none = build(temporal=False, frame_index="video").encode_frames(3, "cpu")
    assert none is None


def test_index_in_the_video_that_is_not_known():
    with pytest.raises(UsageError, match="frame_index='video', but .* 'frame_id'"):
        build(frame_index="video").encode_frames(3, "cpu")
    with pytest.raises(UsageError, match="frame_index='shot'; give 'clip' or 'video'"):
        build(frame_index="shot")


def test_pixels_without_padding():
    """Rows in the first half of the channels, columns in the second, in [0, 2 pi]."""
    encoding = build()(None, torch.empty(1, 1, 3, 5))[0]
    for row in range(3):
        for column in range(5):
            y, x = ((row + 0.5) / 3, (column + 0.5) / 5)
            for channel in range(12):
                position = 2 * math.pi * (y if channel < 6 else x)
                expected = sine(position, channel % 6, 6)
                actual = encoding[channel, row, column].item()
                assert actual == pytest.approx(expected, abs=1e-5)


def test_padding_does_not_count():
    mask = torch.zeros(2, 4, 6, dtype=torch.bool)
    mask[1, 3:], mask[1, :, 4:] = True, True
    encoding = build()(mask)
    whole = build()(None, torch.empty(1, 1, 4, 6))
    part = build()(None, torch.empty(1, 1, 3, 4))
    torch.testing.assert_close(encoding[:1], whole)
    torch.testing.assert_close(encoding[1:, :, :3, :4], part)
