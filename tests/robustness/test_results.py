"""Damaged results files, each in a process that may crash or hang."""

from .campaign import GOOD, attack


def test_damaged_results_are_refused_or_read_rightly(tmp_path):
    ends = attack(tmp_path, num_results=90)["results: evaluation"]
    assert len(ends) == 90
    assert [end for end in ends if end.kind not in GOOD] == []
    assert {end.kind for end in ends} == set(GOOD)
