"""Pictures and files of tracks."""

import base64
import html as html_text
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mmtaformer.utils.errors import UsageError
from mmtaformer.utils.files import atomic_path
from mmtaformer.visualization import (
    Track,
    draw_side_by_side,
    draw_track_frame,
    write_video,
)
from mmtaformer.ytvis.rle import decode

from .video_info import VideoInfo

PathType = str | os.PathLike[str]

HTML_SHORT_SIDE = 240  # pixels of the clip in a notebook
_HTML_FRAMES = 300


def save_frames(
    frames: Iterable[np.ndarray], file_names: Sequence[str], image_dir: PathType
) -> None:
    """Write the frames of a video under the given names, into ``image_dir``."""
    with _complete_folder(Path(image_dir)) as folder:
        for name, frame in zip(file_names, frames, strict=False):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            _write_image(folder / name, frame)


def save_masks(tracks: Sequence[Track], info: VideoInfo, out_dir: PathType) -> None:
    """One indexed PNG per frame; see :meth:`VideoTracks.save_masks`."""
    from PIL import Image

    if len(tracks) > 255:
        raise UsageError(
            f"{len(tracks)} tracks do not fit into indexed PNGs, which hold 255; raise "
            "the score threshold."
        )
    palette = [0, 0, 0, *(value for track in tracks for value in track.color)]
    with _complete_folder(Path(out_dir) / info.name) as folder:
        for t in range(info.num_frames):
            index = np.zeros((info.height, info.width), np.uint8)
            for number in range(len(tracks), 0, -1):
                rle = tracks[number - 1].masks[t]
                if rle:
                    index[decode(rle) > 0] = number
            image = Image.fromarray(index, mode="P")
            image.putpalette(palette)
            image.save(folder / f"{t:05d}.png")


def save_crops(
    frames: Iterable[np.ndarray], tracks: Sequence[Track], out_dir: Path
) -> None:
    """The box of each track in each frame; see :meth:`VideoTracks.save_crops`."""
    with _complete_folder(out_dir) as folder:
        for t, frame in enumerate(frames):
            for track in tracks:
                if not track.masks[t]:
                    continue
                x1, y1, x2, y2 = np.array(track.box(t)).round().astype(int)
                crop = frame[max(y1, 0) : max(y2, y1 + 1), max(x1, 0) : max(x2, x1 + 1)]
                target = folder / f"{track.name}_{track.track_id}"
                target.mkdir(exist_ok=True)
                if crop.size:
                    _write_image(target / f"{t:05d}.png", crop)


def plot(
    frames: Iterable[np.ndarray],
    tracks: Sequence[Track],
    wanted: Sequence[int],
    path: PathType | None,
) -> Any:
    """The wanted frames beside each other; see :meth:`VideoTracks.plot`."""
    from PIL import Image

    pictures = [
        draw_track_frame(frame, tracks, t)
        for t, frame in enumerate(frames)
        if t in wanted
    ]
    image = Image.fromarray(draw_side_by_side(pictures))
    if path is not None:
        with atomic_path(path) as partial:
            image.save(partial)
    return image


def side_by_side(
    first: Iterable[np.ndarray], second: Iterable[np.ndarray]
) -> Iterator[np.ndarray]:
    """Put the frames of two drawn videos beside each other."""
    for pair in zip(first, second, strict=True):
        yield draw_side_by_side(pair)


def html(
    title: str,
    tracks: Sequence[Track],
    drawn: Iterable[np.ndarray] | None = None,
    fps: float = 6.0,
) -> str:
    """A title, a clip that is embedded, and a table of the tracks.

    Args:
        title: What is written above.
        tracks: The rows of the table.
        drawn: The frames of the clip, of which the first ones are taken; None leaves
            it out.
        fps: Frames per second of the clip.
    """
    rows = "".join(
        f"<tr><td>{track.track_id}</td><td>{html_text.escape(track.name)}</td>"
        f"<td>{track.score:.2f}</td><td>{len(track.frames)}</td></tr>"
        for track in tracks
    )
    table = (
        "<table><tr><th>track</th><th>class</th><th>score</th><th>frames</th></tr>"
        f"{rows}</table>"
    )
    text = f"<p>{html_text.escape(title)}</p>"
    if drawn is None:
        return text + table
    pictures = (picture for picture, _ in zip(drawn, range(_HTML_FRAMES)))
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        write_video(clip, pictures, fps)
        encoded = base64.b64encode(clip.read_bytes()).decode()
    video = (
        '<video controls loop muted src="data:video/mp4;base64,'
        + encoded
        + '"></video>'
    )
    return text + video + table


@contextmanager
def _complete_folder(path: Path) -> Iterator[Path]:
    """A folder that gets its name when the block succeeds.

    A folder of that name is replaced if it holds nothing but what was written here
    before: images, and folders of images.
    """
    if path.exists() and any(
        p.suffix not in ("", ".png", ".jpg") for p in path.rglob("*")
    ):
        raise UsageError(f"{path} exists and holds other files; choose another folder.")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield partial
        if path.exists():
            shutil.rmtree(path)
        os.replace(partial, path)
        path.chmod(0o755)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_image(path: Path, frame: np.ndarray) -> None:
    """Write an RGB image; OpenCV reports a full disk by False alone."""
    if not cv2.imwrite(str(path), frame[..., ::-1]):
        raise OSError(f"{path} could not be written; is there space left?")
