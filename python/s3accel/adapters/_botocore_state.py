"""What the pieces of the botocore adapter share: the native signer, the settings, the counters."""

from __future__ import annotations

import os
import threading
from contextvars import ContextVar
from typing import Any

from .. import _core

__all__ = ["capture", "core", "count", "counts", "settings"]

#: Finds the key of a day by the secret's keyed hash; holds no secret (see cpp/include/s3accel/key_cache.h).
core = _core.BotocoreSigner(os.urandom(32))


class Settings:
    """How the process signs. Plain attributes, because every request reads them."""

    __slots__ = ("check", "generation", "on_difference", "signed_chunks")

    def __init__(self) -> None:
        self.check = 0.0
        self.signed_chunks = False
        self.generation = 0  # grows with every install and uninstall: what was cached before is void
        self.on_difference: Any = None  # called once when a check found a difference


settings = Settings()

#: Where a presigned request's parts are noted while a template is made (see `_botocore_presign`).
capture: ContextVar[list[Any] | None] = ContextVar("s3accel_presign_capture", default=None)

_lock = threading.Lock()
_counts: dict[str, int] = {}


def count(name: str) -> None:
    """Adds one to a counter of `stats`; for what happens seldom (the native half counts signatures)."""
    with _lock:
        _counts[name] = _counts.get(name, 0) + 1


def counts() -> dict[str, int]:
    with _lock:
        return dict(_counts)


def _after_fork() -> None:
    # The child must not share the random key under which the parent finds its signing keys, and a lock that
    # another thread of the parent held would stay held for ever.
    global _lock
    _lock = threading.Lock()
    core.clear(os.urandom(32))
    settings.generation += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
