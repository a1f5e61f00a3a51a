"""Reading of JSON files, and of zips of one, that may be damaged or hostile."""

import contextlib
import json
import lzma
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

from mmtaformer.utils.errors import DataError

from .lean_json import parse_lean
from .rle import compress_runs

PathType = str | os.PathLike[str]

# A zip may unpack to this many bytes, or to this many times its own size. Results of
# models shrink to a tenth, files that are meant to fill the memory to a thousandth.
_FREE_SIZE = 2**28
_MAX_RATIO = 100
_BROKEN_ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,  # an unknown method of compression
    OSError,
    RuntimeError,  # a password is needed
)


def read_json(path: PathType, kind: str, compress_masks: bool = False) -> Any:
    """Read a JSON file.

    Args:
        path: Path of the file.
        kind: How to call it in a message, such as "annotation file".
        compress_masks: Whether to compress masks while they are read, see
            :func:`compress_runs`.

    Returns:
        Its content.

    Raises:
        FileNotFoundError: If there is no such file.
        DataError: If it is empty, is not JSON, or is nested too deeply.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"The {kind} {path} does not exist; check the path (ann_file and data_root "
            "of a config)."
        )
    return _parse(path.read_bytes(), path, kind, compress_masks)


def read_json_or_zip(path: PathType, kind: str, compress_masks: bool = False) -> Any:
    """Read a JSON file, or the only JSON file of a zip.

    Args:
        path: Path of the file.
        kind: How to call it in a message.
        compress_masks: See :func:`read_json`.

    Returns:
        Its content.

    Raises:
        FileNotFoundError: If there is no such file.
        DataError: If it is empty, is not JSON, or is a zip that is broken, has not one
            JSON file, or unpacks to absurdly many bytes.
    """
    path = Path(path)
    if not path.is_file() or not zipfile.is_zipfile(path):
        return read_json(path, kind, compress_masks)
    try:
        with zipfile.ZipFile(path) as archive:
            text = _unpack(archive, path)
    except _BROKEN_ZIP as error:
        raise DataError(
            f"The {kind} {path} is a broken zip ({error}); copy or write it again."
        ) from error
    return _parse(text, path, kind, compress_masks)


def _unpack(archive: zipfile.ZipFile, path: Path) -> bytes:
    names = [name for name in archive.namelist() if name.endswith(".json")]
    if len(names) != 1:
        raise DataError(
            f"{path} holds {len(names)} JSON files; a submission zip holds one, "
            "results.json."
        )
    limit = max(_FREE_SIZE, _MAX_RATIO * path.stat().st_size)
    with archive.open(names[0]) as file:
        text = file.read(limit + 1)
    if len(text) > limit:
        raise DataError(
            f"{path} unpacks to more than {limit >> 20} MiB, which is no results file; "
            "unpack it yourself if you trust it, and give the JSON file."
        )
    return text


def _parse(text: bytes, path: Path, kind: str, compress_masks: bool) -> Any:
    if not text.strip():
        raise DataError(f"The {kind} {path} is empty; download or write it again.")
    if compress_masks:
        with contextlib.suppress(ValueError, RecursionError):
            return parse_lean(text)
    try:
        return json.loads(text, object_hook=compress_runs if compress_masks else None)
    except RecursionError as error:
        raise DataError(
            f"The {kind} {path} is nested too deeply for any file of this format; "
            "download or write it again."
        ) from error
    except ValueError as error:
        raise DataError(
            f"The {kind} {path} is not valid JSON ({error}); it may be truncated: "
            "download or write it again."
        ) from error
