"""A few kills of each kind; more by hand, see ``crash.py``."""

import pytest

from .crash import AIMED, TIMED, crash

WORKERS = ["lost data worker", "SIGTERM", "SIGKILL"]
ALONE = [kind for kind in (*AIMED, *TIMED) if kind != "lost data worker"]


@pytest.mark.parametrize(("num_workers", "kinds"), [(0, ALONE), (2, WORKERS)])
def test_every_kill_is_survived(tmp_path, num_workers, kinds):
    outcome = crash(tmp_path, len(kinds), 0, num_workers, kinds)
    assert outcome.problems == []
    assert sum(outcome.kills.values()) == outcome.resumes == len(kinds)
    assert outcome.equal == outcome.complete > 0
