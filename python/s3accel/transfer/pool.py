"""libcurl handles, each with the connections it keeps alive: taken for one request, given back after it.

A forked child must not touch its parent's connections (closing one would end the parent's TLS session), so after a
fork the pool starts empty and the inherited handles are left alone for good.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from s3accel.errors import ConfigError
from s3accel.transfer.exchange import Exchange
from s3accel.transfer.messages import ConnectionInfo

__all__ = ["Handle", "HandlePool"]

Origin = tuple[str, str]


@dataclass
class Handle:
    """A libcurl handle and what is known about it.

    Attributes:
        connections: what was observed of the connection to each origin it has talked to, where it was observed.
        since: monotonic time of its last use.
        buffer, timeout, connect_to: the options set last, so that they are set only when they change.
    """

    curl: Any
    exchange: Exchange
    connections: dict[Origin, ConnectionInfo] = field(default_factory=dict)
    since: float = 0.0
    buffer: int = 0
    timeout: int = 0
    connect_to: str | None = None
    share: Any = None


_pools: weakref.WeakSet[HandlePool] = weakref.WeakSet()
_inherited: list[Any] = []


class HandlePool:
    """At most ``limit`` handles; the most recently used one for the same origin goes out first."""

    def __init__(self, limit: int, new_share: Callable[[], Any], new_handle: Callable[[Any], Handle]) -> None:
        if limit < 1:
            raise ConfigError(f"max_connections is {limit}; at least 1 is needed")
        self._limit = limit
        self._new_share = new_share
        self._new_handle = new_handle
        self._closed = False
        self._start()
        _pools.add(self)

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._free = threading.BoundedSemaphore(self._limit)
        self._idle: list[tuple[Origin, Handle]] = []
        self._count = 0
        self._share: Any = None

    def after_fork(self) -> None:
        _inherited.append((self._idle, self._share))
        self._start()

    def take(self, origin: Origin, watched: bool = True) -> Handle:
        """A handle, with a live connection to ``origin`` if one is idle. Waits while ``limit`` are in use.

        ``watched``: only a connection will do of which it is known how it was made.
        """
        self._free.acquire()
        old = None
        try:
            with self._lock:
                if self._closed:
                    raise ConfigError("the transport is closed")
                for index in range(len(self._idle) - 1, -1, -1):
                    found, handle = self._idle[index]
                    if found == origin and (not watched or origin in handle.connections):
                        return self._idle.pop(index)[1]
                if self._count >= self._limit and self._idle:
                    found, handle = self._idle.pop(0)
                    if found != origin:
                        return handle
                    old = handle
                    self._count -= 1
                self._count += 1
                if self._share is None:
                    self._share = self._new_share()
                share = self._share
            try:
                if old is not None:
                    old.curl.close()
                handle = self._new_handle(share)
            except BaseException:
                with self._lock:
                    self._count -= 1
                raise
            handle.share = share
            return handle
        except BaseException:
            self._free.release()
            raise

    def give(self, handle: Handle, origin: Origin, *, keep: bool) -> None:
        """Back into the pool, or closed if its connection is not to be used again."""
        handle.since = time.monotonic()
        with self._lock:
            keep = keep and not self._closed and handle.share is self._share
            if keep:
                self._idle.append((origin, handle))
            elif handle.share is self._share:
                self._count -= 1
        if not keep:
            handle.curl.close()
        self._free.release()

    def drop_idle(self, origin: Origin) -> None:
        """Close the idle handles of an origin."""
        with self._lock:
            dropped = [handle for other, handle in self._idle if other == origin]
            self._idle = [(other, handle) for other, handle in self._idle if other != origin]
            self._count -= len(dropped)
        for handle in dropped:
            handle.curl.close()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            handles = [handle for _, handle in self._idle]
            self._count -= len(handles)
            self._idle = []
        for handle in handles:
            handle.curl.close()


def _reset_all() -> None:
    for pool in list(_pools):
        pool.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_all)
