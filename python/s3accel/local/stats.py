"""Counters of one endpoint, safe to read while it runs."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True)
class StatsSnapshot:
    """The counters at one moment."""

    requests: int = 0
    signatures_verified: int = 0
    chunks_verified: int = 0
    bytes_received: int = 0
    operations: dict[str, int] = field(default_factory=dict)
    refusals: dict[str, int] = field(default_factory=dict)


class Stats:
    """Counts requests, verified signatures and chunks, body bytes, operations and refusals by S3 error
    code."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests = 0
        self._signatures = 0
        self._chunks = 0
        self._bytes = 0
        self._operations: Counter[str] = Counter()
        self._refusals: Counter[str] = Counter()

    def add_request(self) -> None:
        with self._lock:
            self._requests += 1

    def add_signature(self) -> None:
        with self._lock:
            self._signatures += 1

    def add_bytes(self, count: int) -> None:
        with self._lock:
            self._bytes += count

    def add_chunks(self, count: int) -> None:
        with self._lock:
            self._chunks += count

    def add_operation(self, name: str) -> None:
        with self._lock:
            self._operations[name] += 1

    def add_refusal(self, code: str) -> None:
        with self._lock:
            self._refusals[code] += 1

    def snapshot(self) -> StatsSnapshot:
        """All counters of one moment, as an immutable value."""
        with self._lock:
            return StatsSnapshot(
                self._requests,
                self._signatures,
                self._chunks,
                self._bytes,
                dict(self._operations),
                dict(self._refusals),
            )

    @property
    def requests(self) -> int:
        """Requests received, refused ones included."""
        return self.snapshot().requests

    @property
    def signatures_verified(self) -> int:
        """Request signatures (header or query) that were right."""
        return self.snapshot().signatures_verified

    @property
    def chunks_verified(self) -> int:
        """aws-chunked data chunks of bodies that passed every check."""
        return self.snapshot().chunks_verified

    @property
    def bytes_received(self) -> int:
        """Body bytes as they came over the wire, framing included."""
        return self.snapshot().bytes_received

    @property
    def operations(self) -> dict[str, int]:
        """Verified requests by operation name."""
        return self.snapshot().operations

    @property
    def refusals(self) -> dict[str, int]:
        """Error answers by S3 error code."""
        return self.snapshot().refusals

    def __repr__(self) -> str:
        return f"<Stats {self.snapshot()}>"
