from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend

from mmtaformer.utils.files import atomic_path


@register_backend("atomic")
class AtomicLocalBackend(LocalBackend):
    """mmengine's way to write files, through :func:`atomic_path`."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes; an error names the final file.

        Args:
            obj: What to write.
            filepath: The final name of the file.
        """
        try:
            with atomic_path(filepath) as partial:
                partial.write_bytes(obj)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(filepath)) from error

    def put_text(self, obj: str, filepath: str | Path, encoding: str = "utf-8") -> None:
        """Write a text; an error names the final file.

        Args:
            obj: What to write.
            filepath: The final name of the file.
            encoding: The encoding of the text.
        """
        self.put(obj.encode(encoding), filepath)
