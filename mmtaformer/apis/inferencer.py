"""One call from a video to its tracks."""

import hashlib
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config, ConfigDict
from mmengine.dataset import pseudo_collate
from mmengine.infer import BaseInferencer
from mmengine.logging import print_log
from mmengine.registry import init_default_scope
from torch import nn

from mmtaformer.utils.allocator import keep_freed_memory
from mmtaformer.utils.errors import UsageError
from mmtaformer.visualization import Track, TrackVisualizer, confident, write_video

from .frame_pipeline import FramePipeline, build_pipeline
from .fusing import fuse_for_inference
from .inference import init_model
from .journal import ClipJournal
from .online import FrameTrack, PredictClip
from .sources import SampledSource, Source, is_batch, open_source
from .tracking import TrackCollector, TrackingOptions, TrackStream, open_stream
from .video_tracks import VideoTracks
from .zoo import find_model


class VISInferencer(BaseInferencer):
    """Find the instances of videos of any length.

    ::

        inferencer = VISInferencer("taformer_tiny_cells")
        result = inferencer("my.mp4")
        result.save_video("out.mp4")

    Names that :class:`mmdet.apis.DetInferencer` has too mean the same.

    Args:
        model: Path of a config, its content, or a name (:func:`list_models`). A config
            is Python that runs; the one inside a checkpoint is never used.
        weights: Path of the checkpoint; None for the published one of a name.
        device: None for a GPU if there is one, else the processor.
        scope: Scope of the registries.
        show_progress: Whether calls show a progress bar.
        linker: Config of what links the clips of online mode, :class:`ClipLinker` by
            default.
    """

    def __init__(
        self,
        model: str | Path | Config | dict | None = None,
        weights: str | Path | None = None,
        device: str | None = None,
        scope: str | None = "mmdet",
        show_progress: bool = True,
        linker: dict[str, Any] | None = None,
    ) -> None:
        init_default_scope(scope or "mmdet")
        model = str(model) if isinstance(model, Path) else model
        weights = None if weights is None else str(weights)
        super().__init__(model, weights, device, scope, show_progress)
        self.linker = linker
        self.classes: Sequence[str] = self.model.dataset_meta["classes"]
        self._identity = f"{self.cfg.get('filename')} {weights}"
        place = next(self.model.parameters()).device
        if place.type == "cpu":
            keep_freed_memory()
        print_log(f"The model runs on {place}.", "current")

    def __call__(
        self,
        inputs: Any,
        *,
        mode: str = "auto",
        start: float = 0.0,
        end: float | None = None,
        stride: int = 1,
        fps: float | None = None,
        clip_length: int = 10,
        overlap: int = 3,
        detect_cuts: bool = True,
        amp: bool = False,
        one_class_per_query: bool = True,
        nms_thr: float | None = 0.7,
        pred_score_thr: float = 0.3,
        out_dir: str | Path | None = None,
        no_save_vis: bool = False,
        no_save_pred: bool = False,
        trail: int = 0,
        resume: bool = False,
        print_result: bool = False,
        show_progress: bool | None = None,
    ) -> VideoTracks | list[VideoTracks]:
        """Find and track the instances of one video, or of several.

        Args:
            inputs: A video file, a folder of images, a pattern, a list of image paths,
                an array (T, H, W, 3) (BGR, uint8), an iterator of frames, the number
                of a camera, or a list of any of these.
            mode: ``auto``, ``whole`` or ``online``; see :class:`TrackingOptions`.
            start: First second that is used.
            end: Second before which the video ends; None for all of it.
            stride: Every how many frames one is used.
            fps: How many frames a second are used; None for all.
            clip_length: Frames of a clip of online mode.
            overlap: Frames that two neighbouring clips share.
            detect_cuts: Whether tracks end where the video is cut.
            amp: Whether the model runs in half precision.
            one_class_per_query: Whether an instance is listed under its best class
                alone.
            nms_thr: Instances that overlap a better one by a higher IoU are left out.
            pred_score_thr: Lowest score that is drawn.
            out_dir: Folder of ``vis/NAME.mp4`` and ``preds/NAME.json`` (results in the
                official format); None writes nothing.
            no_save_vis: Write no videos.
            no_save_pred: Write no results.
            trail: Over how many frames the trail of an instance reaches back.
            resume: Go on where an interrupted run with the same ``out_dir`` stopped.
            print_result: Print a summary of each video.
            show_progress: Whether to show a progress bar; None for the constructor's
                choice.

        Returns:
            The tracks of the video; a list for a list of videos.

        Raises:
            FileNotFoundError: If a file does not exist.
            DataError: If the frames cannot be read.
            UsageError: If options contradict each other.
        """
        options = TrackingOptions(
            mode=mode,
            clip_length=clip_length,
            overlap=overlap,
            detect_cuts=detect_cuts,
            amp=amp,
            one_class_per_query=one_class_per_query,
            nms_thr=nms_thr,
        )
        if resume and out_dir is None:
            raise UsageError("resume needs the out_dir of the interrupted run.")
        visible = self.show_progress if show_progress is None else show_progress
        folder = None if out_dir is None else Path(out_dir)
        batch = is_batch(inputs)
        results = []
        for source in self._sources(inputs if batch else [inputs]):
            part = SampledSource(source, start, end, stride, fps)
            result = self._track(
                part,
                options,
                out_dir=folder,
                score_thr=pred_score_thr,
                trail=trail,
                no_save_vis=no_save_vis,
                resume=resume,
                show_progress=visible,
            )
            self._save(
                result,
                folder,
                trail=trail,
                no_save_vis=no_save_vis,
                no_save_pred=no_save_pred,
            )
            if print_result:
                print(result)
            results.append(result)
        return results if batch else results[0]

    def stream(
        self, source: Any, options: TrackingOptions | None = None
    ) -> TrackStream:
        """Track a source of any length; each frame's tracks come when they are final.

        ::

            for frame, tracks in inferencer.stream(0):   # a camera
                ...

        Args:
            source: See :meth:`__call__`; one source.
            options: How it is tracked; online mode by default.

        Returns:
            An iterable of frames with their tracks. Class and score of a track are
            what was seen so far; ``stream.tracks`` has them as of now.
        """
        options = options or TrackingOptions(mode="online")
        return open_stream(
            self.model, self.pipeline, open_source(source), options, self.linker
        )

    def visualize(self, inputs: Any, preds: VideoTracks, **kwargs: Any) -> Any:
        """The frames of a result with its tracks drawn on them, one by one."""
        return preds.draw(**kwargs)

    def postprocess(self, preds: VideoTracks, *args: Any, **kwargs: Any) -> dict:
        """What mmdet's inferencers return: ``predictions`` in the official format."""
        return {"predictions": preds.to_json(), "visualization": None}

    def _track(
        self,
        source: Source,
        options: TrackingOptions,
        *,
        out_dir: Path | None,
        score_thr: float,
        trail: int,
        no_save_vis: bool,
        resume: bool,
        show_progress: bool,
    ) -> VideoTracks:
        journal: ClipJournal | None = None

        def written(predict: PredictClip) -> PredictClip:
            nonlocal journal
            if out_dir is None or not source.repeatable:
                return predict
            path = out_dir / f"{source.name}.clips.jsonl"
            journal = ClipJournal(predict, path, self._run(source, options), resume)
            return journal

        live = not source.repeatable
        stream = open_stream(
            self.model, self.pipeline, source, options, self.linker, live, written
        )
        collector = TrackCollector()
        try:
            frames = _with_progress(stream, source, show_progress)
            with _stop_on_interrupt(stream):
                if live and out_dir is not None and not no_save_vis:
                    drawn = self._draw_live(frames, collector, score_thr, trail)
                    path = out_dir / "vis" / f"{source.name}.mp4"
                    write_video(path, drawn, source.fps or 6)
                else:
                    for frame, tracks in frames:
                        collector.add(frame, tracks)
        finally:
            if journal is not None:
                journal.close()
        if journal is not None and not stream.stopped:
            journal.remove()
        return collector.result(stream, source, self.classes, score_thr)

    def _draw_live(
        self,
        frames: Iterator[tuple[Any, list[FrameTrack]]],
        collector: TrackCollector,
        score_thr: float,
        trail: int,
    ) -> Iterator[np.ndarray]:
        """Draw frames that come once, with what is known when they are final."""
        visualizer = TrackVisualizer(trail=trail)
        for frame, tracks in frames:
            collector.add(frame, tracks)
            shown = [
                Track(
                    track_id=track.track_id,
                    name=self.classes[track.label],
                    masks=[track.mask],
                    boxes=[track.box],
                    score=track.score,
                )
                for track in tracks
            ]
            image = frame.image[..., ::-1]
            yield visualizer.draw_frame(image, confident(shown, score_thr), 0)

    def _save(
        self,
        result: VideoTracks,
        out_dir: Path | None,
        *,
        trail: int,
        no_save_vis: bool,
        no_save_pred: bool,
    ) -> None:
        if out_dir is None:
            return
        name = result.info.name
        assert result.source is not None
        if not no_save_pred:
            result.to_json(out_dir / "preds" / f"{name}.json")
        if not no_save_vis and result.source.repeatable:
            result.save_video(out_dir / "vis" / f"{name}.mp4", trail=trail)

    def _sources(self, inputs: Sequence[Any]) -> Iterator[Source]:
        """The sources, with names of their own."""
        taken: set[str] = set()
        for item in inputs:
            source = open_source(item)
            name, number = source.name, 1
            while name in taken:
                name, number = f"{source.name}_{number}", number + 1
            taken.add(name)
            yield open_source(item, name)

    def _run(self, source: Source, options: TrackingOptions) -> dict[str, Any]:
        """What the instances of a clip depend on."""
        weights = hashlib.sha256()
        for value in self.model.state_dict().values():
            weights.update(value.float().sum().cpu().numpy().tobytes())
        sampled = source if isinstance(source, SampledSource) else None
        part = sampled and [sampled.start, sampled.end, sampled.stride, sampled.rate]
        return {
            "source": source.name,
            "frames": source.num_frames,
            "part": part,
            "options": repr(options),
            "weights": weights.hexdigest(),
        }

    def _load_model_from_metafile(self, model: str) -> tuple[Config, str | None]:
        path, weights = find_model(model)
        return Config.fromfile(path), weights

    def _init_model(
        self, cfg: Config, weights: str | None, device: str = "cpu"
    ) -> nn.Module:
        if not cfg:  # mmengine would run the text that is in the weights
            raise UsageError("give the config, or the name of a model.")
        cfg.model.setdefault("test_cfg", {})
        cfg.model.test_cfg.encode_masks = True
        if cfg.model.get("bbox_head", {}).get("loss_contrastive"):
            cfg.model.test_cfg.return_embeddings = True
        return fuse_for_inference(init_model(cfg, weights, device))

    def _init_pipeline(self, cfg: Config | ConfigDict) -> FramePipeline:
        return build_pipeline(cfg)

    def _init_collate(self, cfg: Config | ConfigDict) -> Any:
        return pseudo_collate  # FramePipeline does it

    def _init_visualizer(self, cfg: Config | ConfigDict) -> TrackVisualizer:
        return TrackVisualizer(trail=0)


def _with_progress(
    stream: TrackStream, source: Source, visible: bool
) -> Iterator[tuple[Any, list[FrameTrack]]]:
    """The frames of a stream, counted on the screen with the time that is left."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, disable=not visible, transient=True) as progress:
        task = progress.add_task(f"{source.name}: frames", total=source.num_frames)
        stream.frames = progress.track(stream.frames, task_id=task)
        yield from stream


@contextmanager
def _stop_on_interrupt(stream: TrackStream) -> Iterator[None]:
    """Let the first Ctrl-C end a stream in good order, and the second one at once."""
    in_main = threading.current_thread() is threading.main_thread()
    if stream.mode != "online" or not in_main:
        yield
        return

    def stop(*_: Any) -> None:
        print_log(
            "Stopping: what was found so far is written; Ctrl-C again stops at once.",
            "current",
        )
        stream.stop()
        signal.signal(signal.SIGINT, previous)

    previous = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
