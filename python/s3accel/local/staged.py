"""A file that is being received."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from types import TracebackType


class Staged:
    """A file that is being received: written once, then kept under a final name or discarded."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self.size = 0

    def write(self, data: bytes) -> None:
        if self._file is None:
            raise ValueError("the staged file is closed")
        view = memoryview(data)
        while view:
            written = os.write(self._file, view)
            self.size += written
            view = view[written:]

    def keep(self, target: Path, durable: bool) -> None:
        """Give the file its final name; with ``durable`` its bytes are on the disk before."""
        if durable and self._file is not None:
            os.fsync(self._file)
        self._close()
        os.replace(self._path, target)

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __enter__(self) -> Staged:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Discard what was not kept."""
        self._close()
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
