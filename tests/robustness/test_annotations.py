"""Some hundred damaged annotation files, each in a process that may crash or hang."""

import os
import signal

import pytest

from .campaign import GOOD, attack
from .pool import run_cases


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    return attack(tmp_path_factory.mktemp("attack"), num_annotations=150)


@pytest.mark.parametrize("target", ["data set", "evaluation"])
def test_damaged_annotations_are_refused_or_read_rightly(outcomes, target):
    ends = outcomes[f"annotations: {target}"]
    assert len(ends) == 150
    assert [end for end in ends if end.kind not in GOOD] == []
    assert {end.kind for end in ends} == set(GOOD)


def _misbehave(case):
    while case == "hang":
        pass
    if case == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    return case


def test_hangs_and_crashes_are_noticed():
    ends = run_cases(_misbehave, ["a", "hang", "crash", "b"], time_limit=1)
    assert ends == ["a", "hang", "crash (-9)", "b"]
