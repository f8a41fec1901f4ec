"""What is going on, told to whoever wants to know, often enough and not too often.

Bytes are object bytes (no framing), counted when the transport has taken them. A failed attempt gives its bytes
back: that is said by a ``retry`` event with ``bytes_lost``, the only kind after which ``bytes_done`` may be smaller.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["AttemptMeter", "ProgressCallback", "ProgressEvent", "ProgressTracker"]

#: Seconds between two ``progress`` events of one object: ten a second is as much as an eye follows.
INTERVAL = 0.1


@dataclass(frozen=True)
class ProgressEvent:
    """One thing that happened.

    Attributes:
        kind: ``"started"``, ``"progress"``, ``"part"`` (a part is stored), ``"retry"``, ``"done"`` or ``"failed"``.
        bytes_done: object bytes taken by the transport so far, never above ``bytes_total``.
        bytes_total: None while the length of a stream is not known.
        part: part number for ``part`` and ``retry`` of a multipart upload.
        parts: how many parts there are, if known.
        attempt: the attempt that failed, for ``retry``.
        bytes_lost: bytes of that attempt, no longer counted in ``bytes_done``.
        reason: why an attempt is repeated, or why the upload failed.
    """

    kind: str
    bucket: str
    key: str
    bytes_done: int
    bytes_total: int | None
    part: int | None = None
    parts: int | None = None
    attempt: int = 1
    bytes_lost: int = 0
    reason: str = ""


ProgressCallback = Callable[[ProgressEvent], None]


class AttemptMeter:
    """Counts the bytes of one attempt at one part; gives them back if it fails."""

    __slots__ = ("_tracker", "bytes", "limit")

    def __init__(self, tracker: ProgressTracker, limit: int) -> None:
        self._tracker = tracker
        self.limit = limit
        self.bytes = 0

    def add(self, count: int) -> None:
        count = min(count, self.limit - self.bytes)
        self.bytes += count
        self._tracker.moved(count)

    def complete(self) -> None:
        """The whole part is stored: whatever the transport did not report is counted now."""
        self.add(self.limit - self.bytes)


class ProgressTracker:
    """The state of one upload. Thread-safe; the callback is called under a lock, so events are in order.

    An exception from the callback ends the upload: that is how a caller cancels.
    """

    def __init__(
        self,
        callback: ProgressCallback | None,
        bucket: str,
        key: str,
        total: int | None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        interval: float = INTERVAL,
    ) -> None:
        self._callback = callback
        self._bucket = bucket
        self._key = key
        self._monotonic = monotonic
        self._interval = interval
        self._lock = threading.RLock()
        self._last = float("-inf")
        self.total = total
        self.parts: int | None = None
        self.done = 0
        #: What went over the wire, failed attempts included; only grows.
        self.sent = 0

    def meter(self, length: int) -> AttemptMeter:
        return AttemptMeter(self, length)

    def _tell(
        self, kind: str, *, part: int | None = None, attempt: int = 1, bytes_lost: int = 0, reason: str = ""
    ) -> None:
        if self._callback is not None:
            self._last = self._monotonic()
            self._callback(
                ProgressEvent(
                    kind,
                    self._bucket,
                    self._key,
                    self.done,
                    self.total,
                    part=part,
                    parts=self.parts,
                    attempt=attempt,
                    bytes_lost=bytes_lost,
                    reason=reason,
                )
            )

    def started(self) -> None:
        with self._lock:
            self._tell("started")

    def moved(self, count: int, *, before: bool = False) -> None:
        """``before``: by an earlier process or call."""
        if not count:
            return
        with self._lock:
            self.done += count
            self.sent += 0 if before else count
            if self._callback is not None and self._monotonic() - self._last >= self._interval:
                self._tell("progress")

    def failed_attempt(self, meter: AttemptMeter, *, part: int | None, attempt: int, reason: str) -> None:
        with self._lock:
            lost, meter.bytes = meter.bytes, 0
            self.done -= lost
            self._tell("retry", part=part, attempt=attempt, bytes_lost=lost, reason=reason)

    def part_done(self, part: int) -> None:
        with self._lock:
            self._tell("part", part=part)

    def finished(self) -> None:
        with self._lock:
            self.total = self.done
            self._tell("done")

    def failed(self, reason: str) -> None:
        with self._lock:
            self._tell("failed", reason=reason)
