import os
import signal
import time

from mmtaformer.utils.processes import end_with_launcher

from ..helpers import processes


def work(folder):
    """What a rank does: it goes on until it is told to end."""

    def end(signum, frame):
        (folder / "told").touch()
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    end_with_launcher(interval=0.01)
    (folder / "ready").touch()
    time.sleep(600)


def launch(folder):
    """What torchrun does, until it is killed."""
    if os.fork() == 0:
        work(folder)
    time.sleep(600)


def run(folder, monkeypatch, environment):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    for name in environment:
        monkeypatch.setenv(name, "1")
    launcher = processes.start(launch, folder)
    processes.wait_for_file(folder / "ready")
    launcher.kill()
    launcher.join()


def test_ranks_end_when_their_launcher_was_killed(tmp_path, monkeypatch):
    run(tmp_path, monkeypatch, ["TORCHELASTIC_RUN_ID"])
    processes.wait_for_file(tmp_path / "told")


def test_other_processes_outlive_their_parent(tmp_path, monkeypatch):
    """A run that was put into the background of a shell, for instance."""
    monkeypatch.setattr(time, "sleep", lambda seconds, sleep=time.sleep: sleep(2))
    run(tmp_path, monkeypatch, [])
    time.sleep(1)
    assert not (tmp_path / "told").exists()
