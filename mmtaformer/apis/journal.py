"""What an interrupted run leaves behind, and goes on from."""

import base64
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from mmtaformer.utils.errors import UsageError

from .clip_instances import ClipInstances
from .online import PredictClip


class ClipJournal:
    """Writes down the instances of each clip, and does not ask the model twice.

    Linking is cheap and always starts anew, so a run that goes on from a journal has
    exactly the results of one that was never interrupted.

    Args:
        predict: Finds the instances of a clip.
        path: The file, one line a clip.
        run: What the results depend on: source, model, options.
        resume: Whether to go on from an existing file.

    Raises:
        UsageError: If the file belongs to another run.
    """

    def __init__(
        self,
        predict: PredictClip,
        path: str | os.PathLike[str],
        run: Mapping[str, Any],
        resume: bool = False,
    ) -> None:
        self.predict = predict
        self.path = Path(path)
        self.known: dict[int, ClipInstances] = {}
        header = json.dumps({"run": dict(run)}, sort_keys=True)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if resume and self.path.is_file():
            self._read(header)
            self._file: TextIO = self.path.open("a")
        else:
            self._file = self.path.open("w")
            self._write(header)

    def __call__(self, frames: Sequence[Any], first: int) -> ClipInstances:
        clip = self.known.get(first)
        if clip is None or clip.num_frames != len(frames):
            clip = self.predict(frames, first)
            self._write(json.dumps(_to_json(clip)))
        return clip

    def close(self) -> None:
        """Keep the file, for a run that goes on."""
        self._file.close()

    def remove(self) -> None:
        """Remove the file, after the results were written."""
        self.close()
        self.path.unlink(missing_ok=True)

    def _write(self, line: str) -> None:
        self._file.write(line + "\n")
        self._file.flush()

    def _read(self, header: str) -> None:
        content = self.path.read_bytes()
        whole = content.rfind(b"\n") + 1  # a killed run may leave half a line
        lines = content[:whole].decode().splitlines()
        if not lines or lines[0] != header:
            raise UsageError(
                f"{self.path} is of a run on another video, or with another model or "
                "other options; run without --resume to start anew."
            )
        for line in lines[1:]:
            clip = _from_json(json.loads(line))
            self.known[clip.first] = clip
        os.truncate(self.path, whole)


def _to_json(clip: ClipInstances) -> dict[str, Any]:
    return {
        "first": clip.first,
        "votes": [{str(k): v for k, v in votes.items()} for votes in clip.votes],
        "boxes": _encode(clip.boxes),
        "masks": [list(masks) for masks in clip.masks],
        "embeddings": None if clip.embeddings is None else _encode(clip.embeddings),
    }


def _from_json(content: Mapping[str, Any]) -> ClipInstances:
    embeddings = content["embeddings"]
    return ClipInstances(
        first=content["first"],
        votes=[{int(k): v for k, v in votes.items()} for votes in content["votes"]],
        boxes=_decode(content["boxes"]),
        masks=content["masks"],
        embeddings=None if embeddings is None else _decode(embeddings),
    )


def _encode(array: np.ndarray) -> dict[str, Any]:
    data = base64.b64encode(np.ascontiguousarray(array, np.float32).tobytes()).decode()
    return {"shape": array.shape, "float32": data}


def _decode(content: Mapping[str, Any]) -> np.ndarray:
    data = base64.b64decode(content["float32"])
    return np.frombuffer(data, np.float32).reshape(content["shape"])
