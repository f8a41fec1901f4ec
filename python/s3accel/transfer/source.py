"""The bytes to send, from wherever they are, read exactly.

path, regular file      pread from one descriptor, several parts at a time, no buffers
bytes-like, mmap        the caller's memory itself, no copies
other seekable file     from where it stands, one reader at a time
pipe, iterator          a stream: one part at a time is buffered (large parts in a temporary file)
"""

from __future__ import annotations

import io
import os
import stat
import tempfile
from collections.abc import Iterable
from typing import Any, BinaryIO, Union

from s3accel.errors import ConfigError, SourceError
from s3accel.transfer.ranges import FileSource, MemorySource, Part, SeekableSource, Source, read_some

__all__ = ["SPOOL_ABOVE", "Part", "Source", "SourceInput", "StreamSource", "open_source"]

SourceInput = Union[str, "os.PathLike[str]", bytes, bytearray, memoryview, BinaryIO, Iterable[bytes], Any]

#: Parts of a stream larger than this are buffered in a temporary file, not in memory.
SPOOL_ABOVE = 64 * 1024 * 1024


class StreamSource(Source):
    """Bytes of unknown number that come once: a pipe, a socket file, an iterator. Used by one thread."""

    rewindable = False

    def __init__(self, reader: Any, name: str, *, owned: bool = False) -> None:
        self.name = name
        self._reader = reader
        self._owned = owned
        self.position = 0

    def next_part(
        self, length: int, buffer: bytearray | None = None, *, spool: bool | None = None
    ) -> Source | None:
        """The next ``length`` bytes (fewer at the end, None after it), buffered so that they can be sent again.

        ``buffer`` is used again if it is large enough. The source returned is a MemorySource over it, or a
        FileSource over an unnamed temporary file if ``spool`` says so (None: if ``length`` is above SPOOL_ABOVE).
        """
        first = self.position
        if length > SPOOL_ABOVE if spool is None else spool:
            return self._spool(length, first)
        data = buffer if buffer is not None and len(buffer) >= length else bytearray(length)
        view = memoryview(data)[:length]
        done = self._fill(view)
        if not done:
            return None
        return MemorySource(view[:done], f"{self.name}, bytes {first} to {first + done}")

    def empty(self) -> Source:
        """What a stream without a single byte is."""
        return MemorySource(b"", self.name)

    def _fill(self, view: memoryview) -> int:
        try:
            done = read_some(self._reader, view)
        except (OSError, ValueError) as exc:
            raise SourceError(f"{self.name} could not be read after byte {self.position}: {exc}") from exc
        self.position += done
        return done

    def _spool(self, length: int, first: int) -> Source | None:
        block = memoryview(bytearray(1024 * 1024))
        with tempfile.TemporaryFile(prefix="s3accel-") as spool:
            total = 0
            while total < length:
                done = self._fill(block[: min(len(block), length - total)])
                if not done:
                    break
                try:
                    spool.write(block[:done])
                except OSError as exc:
                    raise SourceError(
                        f"no room to buffer a part of {length} bytes of {self.name}: {exc}; give a smaller part_size"
                    ) from exc
                total += done
            spool.flush()
            fd = os.dup(spool.fileno())
        if not total:
            os.close(fd)
            return None
        return FileSource(fd, f"{self.name}, bytes {first} to {first + total}")

    def close(self, *, consumed: bool = False) -> None:
        close = getattr(self._reader, "close", None)
        if self._owned and close is not None:
            close()


class _IteratorReader:
    """Makes exact reads of an iterator of byte chunks of any size."""

    def __init__(self, chunks: Iterable[Any]) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")

    def readinto(self, slot: memoryview) -> int:
        while not self._rest:
            try:
                chunk = next(self._chunks)
            except StopIteration:
                return 0
            try:
                view = memoryview(chunk)
                self._rest = view.cast("B") if view.nbytes else memoryview(b"")
            except TypeError as exc:
                raise SourceError(f"the iterator gave {type(chunk).__name__}, not bytes") from exc
        count = min(len(slot), len(self._rest))
        slot[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def _open_path(path: str | os.PathLike[str]) -> Source:
    name = os.fspath(path)
    try:
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except OSError as exc:
        raise SourceError(f"{name} cannot be opened: {exc.strerror or exc}") from exc
    mode = os.fstat(fd).st_mode
    if stat.S_ISREG(mode):
        return FileSource(fd, name)
    if stat.S_ISDIR(mode):
        os.close(fd)
        raise SourceError(f"{name} is a directory; upload its files one by one")
    return StreamSource(open(fd, "rb", buffering=0), name, owned=True)


def _open_file(file: Any) -> Source:
    name = getattr(file, "name", None)
    name = name if isinstance(name, str) else f"<{type(file).__name__}>"
    try:
        seekable = bool(file.seekable()) if hasattr(file, "seekable") else hasattr(file, "seek")
    except ValueError as exc:
        raise SourceError(f"{name} cannot be read: {exc}") from exc
    if not seekable:
        return StreamSource(file, name)
    raw = getattr(file, "raw", file)
    # Only a real FileIO is read by descriptor: a GzipFile has a fileno() too, that of the compressed file.
    if isinstance(file, (io.BufferedReader, io.BufferedRandom, io.FileIO)) and isinstance(raw, io.FileIO):
        if isinstance(file, io.BufferedRandom):
            file.flush()
        if stat.S_ISREG(os.fstat(raw.fileno()).st_mode):
            return FileSource(raw.fileno(), name, start=file.tell(), file=file)
    return SeekableSource(file, name)


def open_source(source: SourceInput) -> Source:
    """The Source of whatever the caller gave. Opens paths; reads nothing yet.

    Raises ConfigError for what cannot be a source, SourceError for what cannot be opened.
    """
    if isinstance(source, Source):
        return source
    if isinstance(source, (str, os.PathLike)):
        return _open_path(source)
    if isinstance(source, io.TextIOBase):
        raise ConfigError("the file is open in text mode; open it in binary mode ('rb')")
    if _has_buffer(source):  # before "read": an mmap has both
        return MemorySource(source)
    if hasattr(source, "read"):
        return _open_file(source)
    if hasattr(source, "__aiter__"):
        raise ConfigError("asynchronous iterators cannot be read here; give a plain iterator of bytes")
    if isinstance(source, Iterable) and not isinstance(source, dict):
        return StreamSource(_IteratorReader(source), f"<{type(source).__name__}>")
    raise ConfigError(
        f"cannot send a {type(source).__name__}; give a path, bytes, a memoryview, a binary file or an iterator of bytes"
    )


def _has_buffer(source: object) -> bool:
    try:
        memoryview(source).release()  # type: ignore[arg-type]
    except TypeError:
        return False
    except (BufferError, ValueError):
        return True
    return True
