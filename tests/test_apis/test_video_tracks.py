import av
import numpy as np
import pytest

from mmtaformer.apis.sources import open_source
from mmtaformer.utils.errors import UsageError

from ..helpers.tracks import COUNT


def test_it_says_what_is_shown(result):
    assert len(result) == 3 and len(result.shown) == 2
    assert str(result) == (
        "clip: 4 frames of 64 x 48 pixels, 2 of 3 shown, best score 0.90 (score 0.3 or "
        "more)"
    )
    assert "0 of 3 shown, best score 0.90" in str(result.with_threshold(0.95))


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_video(result, tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    result.save_video(path, scale=4)
    with av.open(str(path)) as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    assert len(frames) == COUNT and frames[0].shape == (192, 256, 3)
    background = frames[0][180, 20].astype(int)
    inside = np.median(
        frames[1][64:80, 28:37].reshape(-1, 3), axis=0
    )  # the first alone
    assert np.abs(background - [30, 90, 90]).max() < 20
    expected = (np.array(result.tracks[0].color) + [30, 90, 90]) / 2
    assert np.abs(inside - expected).max() < 30


def test_times_of_the_source_are_kept(result, tmp_path):
    from dataclasses import replace

    uneven = replace(result, info=replace(result.info, times=[0.0, 0.1, 0.2, 1.0]))
    uneven.save_video(tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        times = [frame.time for frame in container.decode(stream)]
    assert times == pytest.approx([0.0, 0.1, 0.2, 1.0], abs=0.01)


def test_frames_of_a_stream_are_gone(result, tmp_path):
    from dataclasses import replace

    live = replace(result, source=open_source(iter([])))
    with pytest.raises(UsageError, match="frames of clip are gone"):
        live.save_video(tmp_path / "out.mp4")
    assert "<video" not in live._repr_html_()
    assert not list(tmp_path.iterdir())
