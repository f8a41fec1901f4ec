"""Cuts a stream of unknown length into parts that can be sent again, with bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from s3accel.transfer.limits import DEFAULT_MEMORY, SEND_COST, MemoryBudget
from s3accel.transfer.plan import DEFAULT_STREAM_PART_SIZE, stream_part_size
from s3accel.transfer.source import SPOOL_ABOVE, Source, StreamSource

__all__ = ["StreamParts"]

#: The share of the memory that the buffered parts of one stream may hold together.
STREAM_SHARE = 0.75
#: Parts in temporary files (very long streams, see SPOOL_ABOVE) cost disk instead.
SPOOLED_IN_FLIGHT = 2


class StreamParts:
    """The parts of a stream, each buffered once, in memory that is used again.

    Buffers are taken from ``budget`` one by one, and given back by ``close``. Only the first is waited for: a stream
    that holds one can always go on, more slowly, so streams do not wait for each other in a circle.

    Attributes:
        window: how many parts may be in flight now; smaller as parts grow.
    """

    def __init__(
        self,
        stream: StreamSource,
        part_size: int | None,
        max_concurrency: int,
        budget: MemoryBudget | None = None,
    ) -> None:
        self._stream = stream
        self._base = part_size or DEFAULT_STREAM_PART_SIZE
        self._concurrency = max_concurrency
        self._budget = budget = budget or MemoryBudget(DEFAULT_MEMORY)
        #: Parts above this go through temporary files.
        self._spool = min(SPOOL_ABOVE, budget.limit // 4)
        self._free: list[bytearray] = []
        self._taken: dict[int, int] = {}
        self._reserved = 0
        self._first: tuple[Source, bytearray] | None = None
        self._size = self._base
        self.window = self._window_for(self._base)

    def _window_for(self, size: int) -> int:
        if size > self._spool:
            return max(1, min(self._concurrency, SPOOLED_IN_FLIGHT))
        return max(1, min(self._concurrency, int(self._budget.limit * STREAM_SHARE) // (size + SEND_COST)))

    def ready(self, number: int) -> bool:
        """True if part ``number`` can be buffered without waiting for one in flight."""
        size = stream_part_size(number, self._base)
        if size > self._spool or self._reserved or any(len(buffer) >= size for buffer in self._free):
            return True
        self._reserved = self._budget.try_take(size + SEND_COST)
        return self._reserved > 0

    def close(self) -> None:
        """Give all memory back."""
        self._budget.give(sum(self._taken.values()) + self._reserved)
        self._taken.clear()
        self._free.clear()
        self._reserved = 0

    @property
    def untouched(self) -> bool:
        """True while all that was read of the stream is held."""
        return self._first is not None

    def first(self) -> Source | None:
        """The whole stream, if it fits into one part; None if it is longer. May be asked again until ``parts`` is."""
        if self._first is None:
            buffer = self._buffer(self._base)
            self._first = (self._next(self._base, buffer) or self._stream.empty(), buffer)
        source = self._first[0]
        return source if (source.size or 0) < self._base else None

    def _buffer(self, size: int) -> bytearray:
        if size > self._spool:
            return bytearray()
        while self._free:
            buffer = self._free.pop()
            if len(buffer) >= size:
                return buffer
            self._budget.give(self._taken.pop(id(buffer)))
        taken = self._reserved or self._budget.take(size + SEND_COST)
        self._reserved = 0
        buffer = bytearray(size)
        self._taken[id(buffer)] = taken
        return buffer

    def _next(self, size: int, buffer: bytearray) -> Source | None:
        return self._stream.next_part(size, buffer, spool=size > self._spool)

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
                found = self._next(size, buffer)
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
