import os
import signal
import socket
import time

import pytest

from mmtaformer.engine import WorkDirLockHook
from mmtaformer.utils.errors import UsageError
from mmtaformer.utils.processes import lock_work_dir

from ..helpers import processes
from ..helpers.toy_training import train


def hold(folder, ready):
    file = lock_work_dir(folder)
    ready.touch()
    time.sleep(600)
    file.close()


def test_two_trainings_cannot_share_a_work_dir(tmp_path):
    work_dir, ready = tmp_path / "run", tmp_path / "ready"
    work_dir.mkdir()
    other = processes.start(hold, work_dir, ready)
    processes.wait_for_file(ready)
    owner = f"process {other.pid} on {socket.gethostname()}"
    with pytest.raises(UsageError, match=owner):
        train(work_dir, [WorkDirLockHook()], num_workers=0)
    assert not list(work_dir.glob("*.pth"))
    # A lock does not outlive its process, even if it was killed.
    os.kill(other.pid, signal.SIGKILL)
    other.join()
    train(work_dir, [WorkDirLockHook()], num_workers=0)
    # Nor the training.
    again = processes.start(hold, work_dir, tmp_path / "again")
    processes.wait_for_file(tmp_path / "again")
    again.kill()
    again.join()
