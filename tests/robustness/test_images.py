"""Damaged images in the place of frames, each in a process that may crash or hang."""

from .campaign import GOOD, attack


def test_damaged_images_are_refused_or_read_rightly(tmp_path):
    outcomes = attack(tmp_path, num_images=100)
    for frame in ("first", "later"):
        ends = outcomes[f"images: {frame} frame"]
        assert len(ends) >= 38
        assert [end for end in ends if end.kind not in GOOD] == []
