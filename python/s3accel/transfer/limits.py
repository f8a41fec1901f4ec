"""How much at a time: bytes in memory, bytes a second, objects or parts in flight. No I/O; clocks come in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from s3accel.errors import ConfigError

__all__ = ["DEFAULT_MEMORY", "MIN_MEMORY", "SEND_COST", "Adaptive", "MemoryBudget", "Throttle"]

MIB = 1024 * 1024

DEFAULT_MEMORY = 256 * MIB
MIN_MEMORY = 32 * MIB
#: What a body under way holds beside its source: two groups of sealed frames and libcurl's read buffer of 2 MiB.
SEND_COST = 5 * MIB


class MemoryBudget:
    """Bytes that may be held at a time. Who takes more than there is waits; who takes more than all takes all."""

    def __init__(self, limit: int) -> None:
        if limit < MIN_MEMORY:
            raise ConfigError(f"memory_limit is {limit} bytes; at least {MIN_MEMORY} (32 MiB) are needed")
        self.limit = limit
        self.held = 0
        self.most = 0
        self._room = threading.Condition()

    def _fits(self, size: int) -> bool:
        return not self.held or self.held + size <= self.limit

    def take(self, size: int) -> int:
        """Wait until there is room, and return what to give back."""
        size = min(size, self.limit)
        with self._room:
            self._room.wait_for(lambda: self._fits(size))
            return self._add(size)

    def try_take(self, size: int) -> int:
        """The same without waiting: 0 if there is no room."""
        size = min(size, self.limit)
        with self._room:
            return self._add(size) if self._fits(size) else 0

    def _add(self, size: int) -> int:
        self.held += size
        self.most = max(self.most, self.held)
        return size

    def give(self, size: int) -> None:
        with self._room:
            self.held -= size
            self._room.notify_all()


class Throttle:
    """A token bucket for bytes. ``rate`` (bytes a second, or None) may be changed at any time.

    Bytes are taken first and waited for afterwards, so any size passes and the mean is kept.
    """

    #: Seconds whose bytes may be sent at once after a pause.
    BURST = 0.1

    def __init__(self, rate: float | None = None, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._debt = 0.0
        self._seen = monotonic()
        self._rate: float | None = None
        self.rate = rate

    @property
    def rate(self) -> float | None:
        return self._rate

    @rate.setter
    def rate(self, rate: float | None) -> None:
        if rate is not None and rate < 1024:
            raise ConfigError(f"bandwidth_limit is {rate} bytes a second; give at least 1024, or None")
        with self._lock:
            self._settle()
            self._rate = rate

    def _settle(self) -> None:
        """Pay what time has brought since the last look. The lock is held."""
        now = self._monotonic()
        rate = self._rate
        if rate is not None:
            self._debt = max(-self.BURST * rate, self._debt - (now - self._seen) * rate)
        else:
            self._debt = 0.0
        self._seen = now

    def take(self, size: int) -> float:
        """Count ``size`` bytes and return the seconds to wait before the next ones."""
        with self._lock:
            if self._rate is None:
                return 0.0
            self._settle()
            self._debt += size
            return max(0.0, self._debt / self._rate)

    def wait(self) -> float:
        """Seconds until the next bytes may go."""
        with self._lock:
            if self._rate is None:
                return 0.0
            self._settle()
            return max(0.0, self._debt / self._rate)

    def portion(self, size: int) -> int:
        """How much of ``size`` to hand out at a time, so that the flow is even: a twentieth of a second's worth."""
        rate = self._rate
        return size if rate is None else max(16_384, min(size, int(rate / 20)))


class Adaptive:
    """How many in flight: grows while that makes things faster, halves when S3 or the path is overloaded.

    One step is made each time that a full window has been measured: long enough to see a difference, and at least
    two rounds of what is in flight. A step that brought less than 5 % is taken back, and nothing is tried for a
    while; paths change, so it is tried again then.

    Args:
        start, ceiling: in flight at first, and at most.
    """

    WINDOW = 0.5
    GAIN = 1.05
    #: Windows without a try after a step that brought nothing.
    REST = 8
    #: Seconds between two halvings (what was in flight when it was halved fails too), and without growth after one.
    CALM = 1.0
    QUIET = 5.0

    def __init__(self, start: int, ceiling: int, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self.ceiling = ceiling
        self.limit = min(start, ceiling)
        self._since = monotonic()
        self._bytes = 0
        self._count = 0
        self._rate = 0.0
        self._before = 0  # the limit before the last step up, while that is on trial
        self._rest = 0
        self._halved = float("-inf")

    def done(self, size: int) -> None:
        """One object or part of ``size`` bytes is stored."""
        self._count += 1
        # What an object costs beside its bytes counts too, or the smallest would never be worth a step.
        self._bytes += size + 4096
        if self._count < 2 * self.limit:
            return
        now = self._monotonic()
        if now - self._since < self.WINDOW:
            return
        with self._lock:
            self._step(now)

    def _step(self, now: float) -> None:
        seconds = now - self._since
        if seconds < self.WINDOW:
            return  # another thread has just made it
        rate = self._bytes / seconds
        self._since, self._bytes, self._count = now, 0, 0
        if seconds > 20 * self.WINDOW:
            self._rate, self._before = rate, 0  # there was a pause: this says nothing about the limit
            return
        if self._before and rate < self._rate * self.GAIN:
            self.limit, self._before, self._rest = self._before, 0, self.REST
            return
        self._rate = rate
        self._before = 0
        if self._rest:
            self._rest -= 1
        elif self.limit < self.ceiling and now - self._halved >= self.QUIET:
            self._before = self.limit
            self.limit = min(self.ceiling, self.limit + max(1, self.limit // 2))

    def overloaded(self) -> None:
        """SlowDown, 503, or a timeout."""
        with self._lock:
            now = self._monotonic()
            if now - self._halved < self.CALM:
                return
            self._halved = now
            self.limit = max(1, self.limit // 2)
            self._since, self._bytes, self._count, self._before, self._rest = now, 0, 0, 0, 0
