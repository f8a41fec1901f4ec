"""The time that signatures carry, with an offset learned from the server that judges it.

S3 refuses a request whose time is more than 15 minutes from its own (`RequestTimeTooSkewed`). The offset
learned from one answer serves every signer of the process that uses the system clock.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from . import _core

__all__ = ["Clock", "parse_http_date", "system_clock"]


def _warn(message: str, *args: Any) -> None:
    # Imported here: logging alone would cost a third of what `import s3accel` may take, and it is needed once.
    import logging

    logging.getLogger(__name__).warning(message, *args)


#: An offset below this is not worth correcting: S3 allows 900 s, and a `Date` header is only to the second.
LEARN_ABOVE = 60.0
#: A server that is off by more than this is believed to be wrong itself: a day.
MAX_OFFSET = 86_400.0


class Clock:
    """Epoch seconds, corrected by what a server said.

    Args:
        source: gives epoch seconds; the system's clock by default.
    """

    def __init__(self, source: object = None) -> None:
        if source is not None and not callable(source):
            raise TypeError("a clock's source must be callable and give epoch seconds")
        self._source = source
        self._offset = 0.0
        self._lock = threading.Lock()

    def now(self) -> float:
        """Epoch seconds, offset applied."""
        return (time.time() if self._source is None else float(self._source())) + self._offset

    __call__ = now

    @property
    def offset(self) -> float:
        """Seconds added to the source: positive if the server is ahead."""
        return self._offset

    def learn(self, server_epoch: float) -> bool:
        """Takes over a server's time. Returns True if the offset changed.

        Offsets under 60 s are not corrected, offsets over a day are not believed; both leave the clock as
        it was. Every change is logged once, at WARNING.
        """
        with self._lock:
            raw = time.time() if self._source is None else float(self._source())
            offset = server_epoch - raw
            if not abs(offset) <= MAX_OFFSET:  # NaN is neither above nor below
                _warn("a server's clock is %.0f s from ours: not believed", offset)
                return False
            if abs(offset - self._offset) < LEARN_ABOVE:
                return False
            self._set(0.0 if abs(offset) < LEARN_ABOVE else offset)
            _warn("clock offset set to %+.0f s after a server's answer", self._offset)
            return True

    def reset(self) -> None:
        """Forgets the offset."""
        with self._lock:
            self._set(0.0)

    def _set(self, offset: float) -> None:
        self._offset = offset

    def __repr__(self) -> str:
        return f"<Clock offset={self._offset:+.0f}s>"


class _SystemClock(Clock):
    """The process's clock. Its offset also reaches the native fast path, which asks no Python object."""

    def _set(self, offset: float) -> None:
        super()._set(offset)
        _core.set_clock_offset(offset)


system_clock = _SystemClock()


def http_date_of(text: str) -> float | None:
    """Epoch seconds of an HTTP ``Date`` header, or None if it is none, however odd.

    A date without a zone, or with ``-0000``, is UTC, as every HTTP date is (RFC 9110, 5.6.7).
    """
    from datetime import timezone
    from email.utils import parsedate_to_datetime  # here: it imports half of the email package

    try:
        date = parsedate_to_datetime(text)
        return (date if date.tzinfo is not None else date.replace(tzinfo=timezone.utc)).timestamp()
    except (TypeError, ValueError, IndexError, OverflowError):  # the last for zones and years beyond a C int
        return None


def parse_http_date(text: str) -> float | None:
    """Epoch seconds of an HTTP ``Date`` header or an ISO 8601 time, or None if it is neither."""
    text = text.strip()
    date = http_date_of(text)
    if date is not None:
        return date
    try:
        return float(_core.epoch_of(text.replace("-", "").replace(":", "").split(".")[0].rstrip("Z") + "Z"))
    except ValueError:
        return None
