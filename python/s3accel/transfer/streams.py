"""Cuts a stream of unknown length into parts that can be sent again, with bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from s3accel.transfer.plan import DEFAULT_STREAM_PART_SIZE, stream_part_size
from s3accel.transfer.source import SPOOL_ABOVE, Source, StreamSource

__all__ = ["StreamParts"]

#: Bytes that the buffered parts of one stream may hold together; never fewer than two parts are in flight, so that
#: one is read while the other is sent.
STREAM_MEMORY = 48 * 1024 * 1024
#: Parts in temporary files (very long streams, see SPOOL_ABOVE) cost disk instead.
SPOOLED_IN_FLIGHT = 2


class StreamParts:
    """The parts of a stream, each buffered once, in memory that is used again.

    Attributes:
        window: how many parts may be in flight now; smaller as parts grow.
    """

    def __init__(self, stream: StreamSource, part_size: int | None, max_concurrency: int) -> None:
        self._stream = stream
        self._base = part_size or DEFAULT_STREAM_PART_SIZE
        self._concurrency = max_concurrency
        self._free: list[bytearray] = []
        self._first: tuple[Source, bytearray] | None = None
        self.window = self._window_for(self._base)

    def _window_for(self, size: int) -> int:
        fitting = SPOOLED_IN_FLIGHT if size > SPOOL_ABOVE else max(2, STREAM_MEMORY // size)
        return max(1, min(self._concurrency, fitting))

    def first(self) -> Source | None:
        """The whole stream, if it fits into one part; None if it is longer (then its first part is kept)."""
        buffer = self._buffer(self._base)
        source = self._stream.next_part(self._base, buffer)
        if source is None:
            return self._stream.empty()
        if (source.size or 0) < self._base:
            return source
        self._first = (source, buffer)
        return None

    def _buffer(self, size: int) -> bytearray:
        if size > SPOOL_ABOVE:
            return bytearray()
        while self._free:
            buffer = self._free.pop()
            if len(buffer) >= size:
                return buffer
        return bytearray(size)

    def parts(self) -> Iterator[tuple[int, Source, Callable[[], None]]]:
        """Number, source, and what to call when the part has been sent. Reads ahead by one part only."""
        number = 0
        while True:
            number += 1
            size = stream_part_size(number, self._base)
            self.window = self._window_for(size)
            if number == 1 and self._first is not None:
                source, buffer = self._first
                self._first = None
            else:
                buffer = self._buffer(size)
                found = self._stream.next_part(size, buffer)
                if found is None:
                    return
                source = found
            yield number, source, self._release(source, buffer)

    def _release(self, source: Source, buffer: bytearray) -> Callable[[], None]:
        def release() -> None:
            source.close()
            if buffer:
                self._free.append(buffer)

        return release
