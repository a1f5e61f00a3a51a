import cv2
import numpy as np
import pytest

from mmtaformer.apis.sources import SampledSource, is_batch, open_source
from mmtaformer.utils.errors import DataError, UsageError

from ..helpers.videos import SIZE, numbered_frames, write_clip


def levels(source):
    """The number that each frame shows; see numbered_frames."""
    return [round((float(frame.image.mean()) - 20) / 10) for frame in source]


@pytest.fixture
def folder(tmp_path):
    """Ten images whose names sort by number only."""
    path = tmp_path / "clip"
    path.mkdir()
    for index, frame in enumerate(numbered_frames(11)):
        cv2.imwrite(str(path / f"f{index}.png"), frame)
    (path / "notes.txt").write_text("no image")
    return path


@pytest.fixture
def video(tmp_path):
    return write_clip(tmp_path / "clip.mp4", numbered_frames(20), fps=10)


def test_every_kind_of_source_gives_the_same_frames(folder, tmp_path):
    images = [folder / f"f{i}.png" for i in range(11)]
    array = np.stack(numbered_frames(11))
    video = write_clip(tmp_path / "v.mkv", list(array), codec="ffv1", pix_fmt="bgr0")
    sources = (
        str(folder),
        folder,
        str(folder / "*.png"),
        images,
        array,
        list(array),
        array[..., 0],
        iter(array),
        (array[i : i + 4] for i in range(0, 11, 4)),
        video,
    )
    for source in sources:
        opened = open_source(source)
        frames = list(opened)
        assert levels(frames) == list(range(11)), source
        assert all(f.image.shape == (*SIZE, 3) for f in frames)
        assert all(f.image.dtype == np.uint8 for f in frames)
        assert opened.num_frames in (11, None)
        if opened.repeatable:
            assert levels(opened) == list(range(11))


def test_channels_are_bgr(tmp_path):
    red = np.zeros((*SIZE, 3), np.uint8)
    red[..., 0] = 200  # RGB
    video = write_clip(tmp_path / "red.mkv", [red], codec="ffv1", pix_fmt="bgr0")
    cv2.imwrite(str(tmp_path / "red.png"), red[..., ::-1])
    for source in (video, tmp_path / "red.png", red[None, ..., ::-1]):
        (frame,) = open_source(source)
        assert frame.image[0, 0].tolist() == [0, 0, 200]


def test_names_and_rates(video, folder):
    opened = open_source(video)
    assert (opened.name, opened.fps, opened.num_frames) == ("clip", 10.0, 20)
    assert open_source(folder).name == "clip"
    assert open_source(folder, "mine").name == "mine"
    assert [f.name for f in open_source(folder)][10] == "f10.png"


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_rotated_video_is_upright(tmp_path, rotation):
    """As phones write it: the picture lies on its side, the metadata say so."""
    upright = np.zeros((48, 32, 3), np.uint8)
    upright[:16] = 255  # the sky is on top
    stored = np.rot90(upright, -rotation // 90)
    path = write_clip(tmp_path / "phone.mp4", [stored] * 3, rotation=rotation)
    frames = [frame.image for frame in open_source(path)]
    assert len(frames) == 3
    for image in frames:
        assert image.shape == (48, 32, 3)
        assert image[:12].mean() > 230 and image[20:].mean() < 25


def test_odd_grey_deep_and_single_frame_videos(tmp_path):
    odd = [np.full((33, 21, 3), 120, np.uint8)] * 2
    cases = {
        "odd.mkv": dict(codec="ffv1", pix_fmt="bgr0", frames=odd),
        "grey.mkv": dict(codec="ffv1", pix_fmt="gray", frames=odd),
        "deep.mkv": dict(codec="ffv1", pix_fmt="yuv420p10le", frames=odd),
        "one.mp4": dict(frames=[np.full((32, 32, 3), 120, np.uint8)]),
    }
    for name, options in cases.items():
        frames = options.pop("frames")
        decoded = list(open_source(write_clip(tmp_path / name, frames, **options)))
        assert len(decoded) == len(frames), name
        assert decoded[0].image.shape == frames[0].shape
        assert abs(decoded[0].image.mean() - 120) < 3


def test_times_of_a_variable_rate(tmp_path):
    pts = [0, 1, 2, 10, 11, 30]
    path = write_clip(tmp_path / "vfr.mkv", numbered_frames(6), fps=10, pts=pts)
    times = [frame.time for frame in open_source(path)]
    assert times == pytest.approx([p / 10 for p in pts], abs=0.002)
    at_rate = SampledSource(open_source(path), fps=1)
    assert levels(at_rate) == [0, 3, 5]


def test_parts_of_a_video(video):
    def part(**options):
        source = SampledSource(open_source(video), **options)
        found = levels(source)
        assert source.num_frames == len(found), options
        return found

    assert part() == list(range(20))
    assert part(start=0.5, end=1.0) == [5, 6, 7, 8, 9]
    assert part(stride=7) == [0, 7, 14]
    assert part(fps=2) == [0, 5, 10, 15]
    assert part(fps=100) == list(range(20))
    assert part(start=1.0, fps=5, stride=2) == [10, 14, 18]


def test_options_that_contradict(video):
    for options in ({"stride": 0}, {"fps": 0}, {"start": 2, "end": 1}):
        with pytest.raises(UsageError):
            SampledSource(open_source(video), **options)


def test_video_that_ends_early(video):
    """Matroska is readable without its end."""
    options = {"codec": "mjpeg", "pix_fmt": "yuvj420p"}
    whole = write_clip(video.with_suffix(".mkv"), numbered_frames(20), **options)
    broken = video.with_name("broken.mkv")
    content = whole.read_bytes()
    broken.write_bytes(content[: len(content) * 2 // 3])
    found = levels(open_source(broken))
    assert 0 < len(found) < 20
    assert found == list(range(len(found)))


def test_announced_frames_that_are_missing_are_reported(tmp_path, logged):
    """An mp4 whose index comes first keeps announcing what was cut off."""
    noise = np.random.default_rng(0).integers(0, 255, (20, *SIZE, 3), np.uint8)
    from mmtaformer.visualization import write_video

    path = tmp_path / "early.mp4"
    write_video(path, noise, fps=10)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    count = len(list(open_source(path)))
    assert 0 < count < 20
    assert f"early.mp4 ends early, after {count} frames" in logged[0]


def test_sources_that_cannot_be_read(tmp_path, folder):
    garbage = tmp_path / "garbage.mp4"
    garbage.write_bytes(bytes(range(256)) * 20)
    empty = tmp_path / "empty"
    empty.mkdir()
    (folder / "f3.png").write_bytes(b"no image")
    cases = [
        (garbage, DataError, "garbage.mp4 is not a video"),
        (empty, DataError, "empty has no images"),
        (str(tmp_path / "*.jpg"), DataError, "no image matches"),
        (tmp_path / "none.mp4", FileNotFoundError, "none.mp4 does not exist"),
        ([], DataError, "no frames"),
        (folder, DataError, "f3.png is not an image"),
        ([tmp_path / "none.png"], FileNotFoundError, "none.png does not exist"),
        (np.zeros((2, 4, 4, 3)), DataError, "float64"),
        (object(), UsageError, "object is no source"),
        (True, UsageError, "no source"),
    ]
    for source, kind, words in cases:
        with pytest.raises(kind, match=words):
            list(open_source(source))


def test_sound_without_pictures(tmp_path):
    import av

    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), "fltp", "mono"
        )
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(DataError, match="has no video"):
        open_source(path)


def test_unknown_codec(tmp_path):
    """The four letters of the codec are overwritten: no decoder has this name."""
    path = write_clip(
        tmp_path / "odd.avi", numbered_frames(3), codec="mjpeg", pix_fmt="yuvj420p"
    )
    path.write_bytes(path.read_bytes().replace(b"MJPG", b"ZZ9Z"))
    with pytest.raises(DataError, match="codec of .*odd.avi is unknown"):
        list(open_source(path))


def test_what_is_a_batch(folder):
    frame = np.zeros((*SIZE, 3), np.uint8)
    assert not is_batch([frame, frame])
    assert not is_batch(["a.png", "b.jpg"])
    assert not is_batch("clip.mp4")
    assert is_batch(["a.mp4", "b.mp4"])
    assert is_batch([frame[None], frame[None]])
    assert is_batch([str(folder), "c.png"])
