import os
import signal

import pytest

from mmtaformer.utils import files
from mmtaformer.utils.files import atomic_path

from ..helpers import processes


def write_half(target):
    with atomic_path(target) as partial:
        partial.write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)


def test_atomic_path_leaves_nothing_when_the_block_fails(tmp_path):
    target = tmp_path / "new" / "file.json"
    with atomic_path(target) as partial:
        partial.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(target) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert list(target.parent.iterdir()) == [target]


def test_leftovers_of_killed_processes_are_removed(tmp_path, monkeypatch):
    target = tmp_path / "file.json"
    killed = processes.start(write_half, target)
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    (leftover,) = tmp_path.iterdir()
    assert (leftover / "file.json").read_text() == "half"
    # Those of other machines stay, and what only looks alike.
    foreign = tmp_path / leftover.name.replace(".partial-", ".partial-x")
    similar = tmp_path / leftover.name.rpartition("-")[0]
    for folder in (foreign, similar):
        folder.mkdir()
    with atomic_path(target) as partial:
        # That of a process that runs, as this one does.
        monkeypatch.setattr(files, "_swept", set())
        files.remove_leftovers(tmp_path)
        partial.write_text("whole")
    assert {*tmp_path.iterdir()} == {target, foreign, similar}
    assert target.read_text() == "whole"


def test_long_names(tmp_path):
    target = tmp_path / ("x" * 250 + ".json")
    with atomic_path(target) as partial:
        partial.write_text("fits")
    assert target.read_text() == "fits"


def test_processes_that_run():
    assert files.is_running(os.getpid())
    assert files.is_running(1)
    child = processes.start(int)
    child.join()
    assert not files.is_running(child.pid)
