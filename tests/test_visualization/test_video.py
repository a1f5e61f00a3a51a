import av
import numpy as np
import pytest

from mmtaformer.visualization import write_video


def moving_bar(size, count=7):
    height, width = size
    for t in range(count):
        frame = np.full((height, width, 3), (200, 40, 40), np.uint8)
        frame[:, 4 * t : 4 * t + 8] = (30, 60, 220)
        yield frame


def read(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(stream)]
        return stream.codec_context.name, stream.average_rate, np.stack(frames)


@pytest.mark.parametrize("size", [(48, 64), (49, 65)])
def test_frames_come_back(tmp_path, size):
    path = tmp_path / "new" / "clip.mp4"
    write_video(path, moving_bar(size), fps=12.5)
    codec, rate, frames = read(path)
    assert codec == "h264" and rate == 12.5
    assert frames.shape == (7, size[0] + size[0] % 2, size[1] + size[1] % 2, 3)
    expected = np.stack(list(moving_bar(size)))
    difference = frames[:, : size[0], : size[1]].astype(int) - expected
    assert np.abs(difference).mean() < 10
    assert [p.name for p in path.parent.iterdir()] == ["clip.mp4"]


def test_browsers_can_play_it_while_it_loads(tmp_path):
    """The index comes before the pictures, and the pixels are of the usual kind."""
    write_video(tmp_path / "clip.mp4", moving_bar((48, 64)))
    content = (tmp_path / "clip.mp4").read_bytes()
    assert 0 < content.find(b"moov") < content.find(b"mdat")
    with av.open(str(tmp_path / "clip.mp4")) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"


def test_times(tmp_path):
    times = [5.0, 5.1, 5.2, 6.0, 6.1, 6.2, 9.0]
    write_video(tmp_path / "clip.mp4", moving_bar((48, 64)), times=times)
    with av.open(str(tmp_path / "clip.mp4")) as container:
        found = [frame.time for frame in container.decode(video=0)]
    assert found == pytest.approx([time - 5 for time in times], abs=0.01)


def test_animation(tmp_path):
    write_video(tmp_path / "clip.gif", moving_bar((48, 64)), fps=10)
    _, _, frames = read(tmp_path / "clip.gif")
    expected = np.stack(list(moving_bar((48, 64))))
    assert frames.shape == expected.shape
    assert np.abs(frames.astype(int) - expected).max() < 20


def test_without_h264(tmp_path, monkeypatch):
    def no_encoder(name, mode):
        raise av.codec.codec.UnknownCodecError(name)

    monkeypatch.setattr(av, "Codec", no_encoder)
    path = tmp_path / "clip.mp4"
    write_video(path, moving_bar((48, 64)))
    codec, rate, frames = read(path)
    assert (codec, rate, len(frames)) == ("mpeg4", 6, 7)


def test_broken_video_does_not_appear(tmp_path):
    def frames():
        yield from moving_bar((48, 64), 3)
        raise FileNotFoundError("frame 3")

    with pytest.raises(FileNotFoundError, match="frame 3"):
        write_video(tmp_path / "clip.mp4", frames())
    with pytest.raises(ValueError, match=r"clip\.mp4: there are no frames"):
        write_video(tmp_path / "clip.mp4", [])
    mixed = [*moving_bar((48, 64), 2), *moving_bar((48, 66), 1)]
    with pytest.raises(ValueError, match=r"frame 2 has shape \(48, 66, 3\)"):
        write_video(tmp_path / "clip.mp4", mixed)
    assert list(tmp_path.iterdir()) == []
