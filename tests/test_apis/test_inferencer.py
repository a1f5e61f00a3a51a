import errno
import json
import signal

import av
import cv2
import numpy as np
import pytest
import torch

from mmtaformer.apis import TrackingOptions, VISInferencer, tracking
from mmtaformer.utils.errors import DataError, UsageError

from ..helpers.inference import write_model
from ..helpers.videos import write_clip

ONLINE = {"mode": "online", "clip_length": 5, "overlap": 2, "detect_cuts": False}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model"), ("cell",))


@pytest.fixture(scope="module")
def inferencer(files):
    return VISInferencer(*files, device="cpu", show_progress=False)


def frames(count=9, seed=0, size=(64, 96)):
    """A blurred picture that moves to the right."""
    coarse = np.random.default_rng(seed).integers(0, 255, (8, 24, 3), np.uint8)
    wide = cv2.resize(coarse, (size[1] + 3 * count, size[0]))
    return np.stack([wide[:, 3 * t : 3 * t + size[1]] for t in range(count)])


@pytest.fixture
def video(tmp_path):
    return write_clip(tmp_path / "clip.mp4", frames()[..., ::-1], fps=10)


def same(first, second):
    """Whether two results have the same tracks with the same masks."""
    assert [(t.track_id, t.label, t.score) for t in first] == [
        (t.track_id, t.label, t.score) for t in second
    ]
    assert [list(t.masks) for t in first] == [list(t.masks) for t in second]
    return True


def test_whole_mode_is_what_the_model_predicts(inferencer):
    from mmtaformer.apis import inference_video

    result = inferencer(frames(), one_class_per_query=False, nms_thr=None)
    assert result.mode == "whole" and len(result) > 0
    sample = inference_video(inferencer.model, frames())
    predicted = [frame.pred_track_instances for frame in sample.video_data_samples]
    scores = predicted[0].scores.tolist()
    for track in result:
        index = scores.index(track.score)
        for t, rle in enumerate(track.masks):
            counts = predicted[t].masks[index]["counts"].decode()
            assert rle is None or rle["counts"] == counts


def test_online_mode_finds_the_same_in_a_video_of_one_clip(inferencer):
    whole = inferencer(frames(5), detect_cuts=False)
    online = inferencer(frames(5), **{**ONLINE, "clip_length": 5})
    assert same(whole, online) and online.mode == "online"


def test_results_do_not_depend_on_how_the_stream_is_cut(inferencer):
    video = frames(13)
    whole = inferencer(video, **ONLINE)
    for step in (1, 4, 13):
        reads = (video[i : i + step] for i in range(0, 13, step))
        assert same(whole, inferencer(reads, **ONLINE))


def test_stream_gives_every_frame_in_time(inferencer):
    video = frames(13)
    read = []

    def live():
        for index, frame in enumerate(video):
            read.append(index)
            yield frame

    options = TrackingOptions(**ONLINE)
    stream = inferencer.stream(live(), options)
    times = []
    for index, (frame, tracks) in enumerate(stream):
        assert np.array_equal(frame.image, video[index])
        assert read[-1] - index < options.clip_length
        assert all(track.mask["size"] == [64, 96] for track in tracks)
        assert {track.track_id for track in tracks} <= set(stream.tracks)
        times.append(frame.time)
    assert len(times) == 13 and times == sorted(times)


def test_file_with_outputs(inferencer, video, tmp_path, capsys):
    out = tmp_path / "out"
    result = inferencer(video, out_dir=out, print_result=True, **ONLINE)
    written = sorted(p.relative_to(out).as_posix() for p in out.rglob("*.*"))
    assert written == ["preds/clip.json", "vis/clip.mp4"]
    assert json.loads((out / "preds" / "clip.json").read_text()) == result.to_json()
    with av.open(str(out / "vis" / "clip.mp4")) as container:
        assert len(list(container.decode(video=0))) == 9
    assert str(result) in capsys.readouterr().out
    assert result.info.fps == pytest.approx(10)


def test_parts_and_rates(inferencer, video):
    result = inferencer(video, start=0.2, end=0.7, stride=2, **ONLINE)
    assert result.info.times == pytest.approx([0.2, 0.4, 0.6])
    assert inferencer(video, fps=5, **ONLINE).info.num_frames == 5
    assert len(list(result.frames())) == 3


def test_several_videos_have_names_of_their_own(inferencer, video, tmp_path):
    out = tmp_path / "out"
    results = inferencer([video, frames(3), video], out_dir=out, **ONLINE)
    assert [r.info.name for r in results] == ["clip", "array", "clip_1"]
    assert len(list((out / "vis").iterdir())) == 3


def test_live_stream_is_drawn_while_it_runs(inferencer, tmp_path):
    inferencer(iter(frames()), out_dir=tmp_path / "out", **ONLINE)
    with av.open(str(tmp_path / "out" / "vis" / "stream.mp4")) as container:
        assert len(list(container.decode(video=0))) == 9


def test_video_that_does_not_fit_changes_to_online_mode(
    inferencer, monkeypatch, logged
):
    monkeypatch.setattr(tracking, "free_bytes", lambda device: 1000)
    assert inferencer(frames(3)).mode == "online"
    assert "0.0 GB are free. The mode is online." in logged[-1]
    assert inferencer(frames(3), mode="whole").mode == "whole"


def test_cut_ends_tracks(inferencer):
    pictures = [frames(6, seed) for seed in (1, 2)]
    pictures[1] = 255 - pictures[1] // 4
    result = inferencer(
        np.concatenate(pictures), mode="online", clip_length=4, overlap=1
    )
    assert len(result) > 0
    for track in result:
        assert max(track.frames) < 6 or min(track.frames) >= 6


def test_interrupted_run_goes_on(inferencer, video, tmp_path, monkeypatch):
    """Killed in the third clip; the first two are not computed again."""
    out = tmp_path / "out"
    expected = inferencer(video, **ONLINE)
    calls = []
    real = inferencer.model.test_step

    def step(batch):
        calls.append(len(batch["inputs"][0]))
        if len(calls) == 2:
            raise MemoryError
        return real(batch)

    monkeypatch.setattr(inferencer.model, "test_step", step)
    with pytest.raises(MemoryError):
        inferencer(video, out_dir=out, **ONLINE)
    assert [p.name for p in out.iterdir()] == ["clip.clips.jsonl"]
    monkeypatch.setattr(inferencer.model, "test_step", real)
    calls.clear()
    with pytest.raises(UsageError, match="without --resume"):
        other = {**ONLINE, "clip_length": 6}
        inferencer(video, out_dir=out, resume=True, **other)
    result = inferencer(video, out_dir=out, resume=True, **ONLINE)
    assert same(result, expected)
    assert not (out / "clip.clips.jsonl").exists()


def test_interrupt_leaves_complete_outputs(inferencer, video, tmp_path, monkeypatch):
    """Ctrl-C in the second clip: results up to there, whole files, and a journal."""
    out = tmp_path / "out"
    real, calls = inferencer.model.test_step, []

    def step(batch):
        calls.append(1)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGINT)
        return real(batch)

    monkeypatch.setattr(inferencer.model, "test_step", step)
    handler = signal.getsignal(signal.SIGINT)
    result = inferencer(video, out_dir=out, **ONLINE)
    assert signal.getsignal(signal.SIGINT) is handler
    assert result.info.num_frames == 8
    with av.open(str(out / "vis" / "clip.mp4")) as container:
        assert len(list(container.decode(video=0))) == 8
    assert len(json.loads((out / "preds" / "clip.json").read_text())) == len(result)
    monkeypatch.setattr(inferencer.model, "test_step", real)
    resumed = inferencer(video, out_dir=out, resume=True, **ONLINE)
    assert resumed.info.num_frames == 9
    assert same(resumed, inferencer(video, **ONLINE))


def test_full_disk_is_an_error_and_leaves_no_half_file(
    inferencer, video, tmp_path, monkeypatch
):
    """The disk fills up while the video is written."""
    out = tmp_path / "out"
    count = []

    def full(self, packets):
        count.append(1)
        if len(count) > 3:
            raise OSError(errno.ENOSPC, "No space left on device", str(out))
        return real(self, packets)

    real = av.container.OutputContainer.mux

    class Full:
        """A container that cannot be patched, wrapped."""

        def __init__(self, container):
            self.container = container

        def __enter__(self):
            self.container.__enter__()
            return self

        def __exit__(self, *args):
            return self.container.__exit__(*args)

        def __getattr__(self, name):
            return getattr(self.container, name)

        def mux(self, packets):
            return full(self.container, packets)

    opened = av.open

    def open_full(path, mode="r", **options):
        container = opened(path, mode, **options)
        return Full(container) if mode == "w" else container

    monkeypatch.setattr(av, "open", open_full)
    with pytest.raises(OSError, match="No space left"):
        inferencer(video, out_dir=out, **ONLINE)
    assert not list(out.rglob("*.mp4"))


def test_frames_of_two_sizes(inferencer):
    mixed = [frames()[0], frames()[1], frames(size=(48, 96))[2]]
    with pytest.raises(DataError, match="frames have heights and widths"):
        inferencer(mixed, **ONLINE)


def test_one_frame_and_grey_frames(inferencer):
    assert inferencer(frames(1)).info.num_frames == 1
    assert inferencer(frames(3)[..., 0], **ONLINE).info.num_frames == 3


def test_half_precision(inferencer):
    result = inferencer(frames(3), amp=True)
    full = inferencer(frames(3))
    assert result[0].score == pytest.approx(full[0].score, abs=0.02)
    assert next(inferencer.model.parameters()).dtype == torch.float32


def test_the_config_inside_a_checkpoint_does_not_run(files, tmp_path):
    """As an attacker writes it; mmengine's inferencers take it for a config."""
    content = torch.load(files[1], weights_only=True)
    trap = tmp_path / "trap"
    content["meta"]["cfg"] = f"import pathlib\npathlib.Path({str(trap)!r}).touch()\n"
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(UsageError, match="give the config"):
        VISInferencer(weights=tmp_path / "weights.pth", device="cpu")
    VISInferencer(files[0], tmp_path / "weights.pth", device="cpu")
    assert not trap.exists()


def test_options_that_contradict(inferencer):
    for options in (
        {"mode": "offline"},
        {"clip_length": 3, "overlap": 3},
        {"resume": True},
        {"stride": 0},
    ):
        with pytest.raises(UsageError):
            inferencer(frames(2), **options)
    with pytest.raises(UsageError, match="neither a file nor a model"):
        VISInferencer("no_such_model")


def test_a_linker_of_ones_own(files):
    from mmdet.registry import TASK_UTILS

    from mmtaformer.apis import ClipLinker

    @TASK_UTILS.register_module(force=True)
    class NeverLinks(ClipLinker):
        def affinities(self, clip):
            return np.full((len(self.active), len(clip)), -1e3)

    linker = {"type": "NeverLinks"}
    inferencer = VISInferencer(*files, device="cpu", show_progress=False, linker=linker)
    clips = inferencer(frames(8), **ONLINE)
    assert max(len(track.frames) for track in clips) <= 5
