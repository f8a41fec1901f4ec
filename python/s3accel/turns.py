"""Objects that go step by step: a second thread's step is refused, not mixed in."""

from __future__ import annotations

import threading

__all__ = ["Turn"]


class Turn:
    """Of one object. ``with turn:`` is a step; RuntimeError if another thread is in one."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            raise RuntimeError("this object is in use by another thread")

    def __exit__(self, *_: object) -> None:
        self._lock.release()
