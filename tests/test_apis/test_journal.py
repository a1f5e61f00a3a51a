import numpy as np
import pytest

from mmtaformer.apis.journal import ClipJournal
from mmtaformer.apis.linking import ClipLinker
from mmtaformer.apis.online import OnlineTracker
from mmtaformer.utils.errors import UsageError

from ..helpers.videos import World, rectangle

RUN = {"source": "clip", "weights": "abc"}


def make_world():
    return World(
        [lambda t: rectangle(2 + t, 2), lambda t: rectangle(50 - t, 20)],
        embeddings=np.eye(2, 4, dtype=np.float32),
    )


def track(predict, count):
    tracker = OnlineTracker(predict, ClipLinker(), clip_length=5, overlap=2)
    frames = [tracks for t in range(count) for tracks in tracker.push(t)]
    return frames + tracker.finish()


class Killed(Exception):
    pass


def killed_after(world, calls):
    def predict(frames, first):
        if len(world.calls) == calls:
            raise Killed
        return world(frames, first)

    return predict


@pytest.mark.parametrize("half_a_line", [False, True])
@pytest.mark.parametrize("calls", [0, 1, 4])
def test_a_run_that_goes_on_equals_one_that_was_never_interrupted(
    tmp_path, calls, half_a_line
):
    path = tmp_path / "out" / "clip.clips.jsonl"
    journal = ClipJournal(killed_after(make_world(), calls), path, RUN)
    with pytest.raises(Killed):
        track(journal, 23)
    journal.close()
    if half_a_line:
        path.write_bytes(path.read_bytes() + b'{"first": 12, "vo')
    world = make_world()
    resumed = ClipJournal(world, path, RUN, resume=True)
    assert track(resumed, 23) == track(make_world(), 23)
    assert len(world.calls) == 7 - calls  # the others were not computed again
    resumed.close()
    world = make_world()
    again = ClipJournal(world, path, RUN, resume=True)
    assert track(again, 23) == track(make_world(), 23) and not world.calls
    again.remove()
    assert not path.exists()


def test_another_run_is_refused(tmp_path):
    path = tmp_path / "clip.clips.jsonl"
    track(ClipJournal(make_world(), path, RUN), 9)
    before = path.read_text()
    with pytest.raises(UsageError, match="another video"):
        ClipJournal(make_world(), path, {**RUN, "weights": "x"}, resume=True)
    assert path.read_text() == before
    path.write_text("no journal")
    with pytest.raises(UsageError, match="another video"):
        ClipJournal(make_world(), path, RUN, resume=True)


def test_without_resume_it_starts_anew(tmp_path):
    path = tmp_path / "clip.clips.jsonl"
    track(ClipJournal(make_world(), path, RUN), 9)
    world = make_world()
    track(ClipJournal(world, path, RUN), 9)
    assert len(world.calls) == 3


def test_a_last_clip_that_is_longer_now_is_computed_anew(tmp_path):
    """The stream that was stopped after 4 frames goes on to 9."""
    path = tmp_path / "clip.clips.jsonl"
    track(ClipJournal(make_world(), path, RUN), 4)
    resumed = ClipJournal(make_world(), path, RUN, resume=True)
    assert track(resumed, 9) == track(make_world(), 9)
