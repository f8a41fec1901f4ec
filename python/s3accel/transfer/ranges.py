"""Sources that can be read anywhere, any number of times: memory, files, whatever can seek.

A source that ends early, or whose size or modification time changes while it is read, is a SourceError that says
so: better no object than one that mixes two states of a file.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from s3accel.errors import ConfigError, SourceError

__all__ = ["FileSource", "MemorySource", "Part", "SeekableSource", "Source", "read_some"]


class Part(Protocol):
    """One reader over a fixed range of a source, used by one thread, once."""

    remaining: int

    def readinto_exact(self, slots: Sequence[memoryview]) -> None:
        """Fill all slots, in order, with the next bytes. Raises SourceError if there are not that many."""

    def view(self, count: int) -> memoryview | None:
        """The next ``count`` bytes without a copy, where the source is memory; None where it is not."""

    def blocks(self, size: int) -> Iterator[bytes | memoryview]:
        """All that remains, in blocks of at most ``size`` bytes."""


class Source:
    """What is to be sent.

    Attributes:
        name: for messages.
        size: bytes, or None for a stream.
        rewindable: True if any part can be opened again (so that an attempt can be repeated).
    """

    name: str = "data"
    size: int | None = None
    rewindable: bool = True

    def open_part(self, offset: int, length: int) -> Part:
        """A reader of ``length`` bytes from ``offset`` (counted from where the source stood). May be called again."""
        raise SourceError(f"{self.name} can only be read once, from front to back")

    def check_unchanged(self) -> None:
        """Raise SourceError if the source is known to have changed since it was opened."""

    def close(self, *, consumed: bool = False) -> None:
        """Release everything. ``consumed``: the whole was sent, so a file is left at its end, else where it stood."""


class _MemoryPart:
    def __init__(self, view: memoryview) -> None:
        self._view = view
        self.remaining = len(view)

    def readinto_exact(self, slots: Sequence[memoryview]) -> None:
        position = len(self._view) - self.remaining
        for slot in slots:
            end = position + len(slot)
            slot[:] = self._view[position:end]
            position = end
        self.remaining = len(self._view) - position

    def view(self, count: int) -> memoryview | None:
        position = len(self._view) - self.remaining
        self.remaining -= count
        return self._view[position : position + count]

    def blocks(self, size: int) -> Iterator[bytes | memoryview]:
        while self.remaining:
            position = len(self._view) - self.remaining
            block = self._view[position : position + size]
            self.remaining -= len(block)
            yield block


class MemorySource(Source):
    """bytes, bytearray, memoryview, mmap, array: whatever shows contiguous memory."""

    def __init__(self, data: Any, name: str = "") -> None:
        try:
            self._view = memoryview(data)
            self._bytes = self._view.cast("B") if self._view.nbytes else memoryview(b"")
        except (TypeError, ValueError) as exc:
            raise ConfigError(
                f"cannot send a {type(data).__name__}: its memory is not contiguous ({exc})"
            ) from exc
        self.name = name or f"{type(data).__name__} of {len(self._bytes)} bytes"
        self.size = len(self._bytes)

    def open_part(self, offset: int, length: int) -> Part:
        return _MemoryPart(self._bytes[offset : offset + length])

    def close(self, *, consumed: bool = False) -> None:
        # Parts that are still held somewhere keep their slices; then the caller's buffer stays exported a while.
        for view in (self._bytes, self._view):
            try:
                view.release()
            except BufferError:
                return


class _CopyingPart:
    """What all readers share that cannot show their bytes without a copy."""

    remaining: int

    def view(self, count: int) -> memoryview | None:
        return None


class _FilePart(_CopyingPart):
    """pread over a range: the descriptor's own position is neither used nor moved."""

    def __init__(self, source: FileSource, offset: int, length: int) -> None:
        self._source = source
        self._offset = offset
        self.remaining = length

    def readinto_exact(self, slots: Sequence[memoryview]) -> None:
        pending = [slot for slot in slots if len(slot)]
        while pending:
            try:
                count = os.preadv(self._source.fd, pending[:512], self._offset)
            except OSError as exc:
                raise self._source.unreadable(exc, self._offset) from exc
            if count == 0:
                raise self._source.ended_early(self._offset)
            self._offset += count
            self.remaining -= count
            while pending and count >= len(pending[0]):
                count -= len(pending.pop(0))
            if count:
                pending[0] = pending[0][count:]

    def blocks(self, size: int) -> Iterator[bytes | memoryview]:
        while self.remaining:
            try:
                block = os.pread(self._source.fd, min(size, self.remaining), self._offset)
            except OSError as exc:
                raise self._source.unreadable(exc, self._offset) from exc
            if not block:
                raise self._source.ended_early(self._offset)
            self._offset += len(block)
            self.remaining -= len(block)
            yield block


class FileSource(Source):
    """A regular file, by descriptor, from ``start`` to its end as it was when it was opened."""

    def __init__(self, fd: int, name: str, *, start: int = 0, file: Any = None) -> None:
        self.fd = fd
        self.name = name
        self._file = file
        self._start = start
        status = os.fstat(fd)
        self.stamp = (status.st_size, status.st_mtime_ns)
        self.size = max(0, status.st_size - start)

    def open_part(self, offset: int, length: int) -> Part:
        return _FilePart(self, self._start + offset, length)

    def check_unchanged(self) -> None:
        status = os.fstat(self.fd)
        if status.st_size != self.stamp[0]:
            raise SourceError(
                f"{self.name} changed while it was read: it had {self.stamp[0]} bytes, now it has {status.st_size}"
            )
        if status.st_mtime_ns != self.stamp[1]:
            raise SourceError(f"{self.name} changed while it was read: it was written to in the meantime")

    def ended_early(self, position: int) -> SourceError:
        return SourceError(
            f"{self.name} ended early: nothing to read at byte {position}, it had {self.stamp[0]} bytes when the"
            " upload began"
        )

    def unreadable(self, exc: OSError, position: int) -> SourceError:
        return SourceError(f"{self.name} could not be read at byte {position}: {exc.strerror or exc}")

    def close(self, *, consumed: bool = False) -> None:
        if self._file is None:
            os.close(self.fd)
        elif consumed:
            # pread left the file where it stood; reading it to the end is what the caller sees us do.
            self._file.seek(self._start + (self.size or 0))


class _SeekablePart(_CopyingPart):
    def __init__(self, source: SeekableSource, offset: int, length: int) -> None:
        self._source = source
        self._offset = offset
        self.remaining = length

    def readinto_exact(self, slots: Sequence[memoryview]) -> None:
        for slot in slots:
            self._source.read_at(self._offset, slot)
            self._offset += len(slot)
            self.remaining -= len(slot)

    def blocks(self, size: int) -> Iterator[bytes | memoryview]:
        while self.remaining:
            block = bytearray(min(size, self.remaining))
            self.readinto_exact([memoryview(block)])
            yield memoryview(block)


class SeekableSource(Source):
    """A seekable file object that is no plain file (gzip, zip member, wrapper): seek and read under a lock."""

    def __init__(self, file: Any, name: str) -> None:
        self.name = name
        self._file = file
        self._lock = threading.Lock()
        try:
            self._start = file.tell()
            self.size = max(0, file.seek(0, os.SEEK_END) - self._start)
            file.seek(self._start)
        except (OSError, ValueError) as exc:
            raise SourceError(f"{name} could not be measured: {exc}") from exc

    def open_part(self, offset: int, length: int) -> Part:
        return _SeekablePart(self, self._start + offset, length)

    def read_at(self, position: int, slot: memoryview) -> None:
        with self._lock:
            try:
                self._file.seek(position)
                done = read_some(self._file, slot)
            except (OSError, ValueError, EOFError) as exc:
                raise SourceError(f"{self.name} could not be read at byte {position}: {exc}") from exc
        if done < len(slot):
            end = self._start + (self.size or 0)
            raise SourceError(f"{self.name} ended early: at byte {position + done} of {end}")

    def close(self, *, consumed: bool = False) -> None:
        self._file.seek(self._start + (self.size or 0) if consumed else self._start)


def read_some(file: Any, slot: memoryview) -> int:
    """Fill ``slot`` as far as the file goes; short only at the end. Uses readinto where there is one."""
    done = 0
    readinto = getattr(file, "readinto", None)
    while done < len(slot):
        if readinto is not None:
            count = readinto(slot[done:])
            if count is None:
                raise SourceError("the file is in non-blocking mode and had nothing to read")
        else:
            data = file.read(len(slot) - done)
            if not isinstance(data, (bytes, bytearray, memoryview)):
                raise SourceError(
                    f"read() gave {type(data).__name__}, not bytes; open the file in binary mode"
                )
            count = len(data)
            slot[done : done + count] = data
        if not count:
            break
        done += count
    return done
