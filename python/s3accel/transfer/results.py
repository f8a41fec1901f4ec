"""How an upload ended, for the caller."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from s3accel.transfer.messages import ConnectionInfo

__all__ = ["JobOutcome", "UploadResult", "fast"]


@dataclass(frozen=True)
class UploadResult:
    """A stored object, and how it got there.

    Attributes:
        size: object bytes.
        checksum, checksum_algorithm: base64 value computed while sending (COMPOSITE ones end in ``-N``), or None.
        parts: 0 for a single put.
        payload_mode: the mode that was used, never ``"auto"``.
        host, kind: where it went (`Endpoint.kind`).
        connection: of the request that made the object.
        attempts: how often bodies were sent: 1 or the number of parts if nothing failed.
        retries: why attempts were repeated.
        seconds: from the call to the last answer.
        route_reason: why `accelerate="auto"` chose this route; "" if there was no choice.
        request_id: of the request that made the object: what AWS support asks for.
        resumed: parts that an earlier process had sent.
    """

    bucket: str
    key: str
    etag: str
    version_id: str | None
    size: int
    checksum: str | None
    checksum_algorithm: str | None
    parts: int
    payload_mode: str
    host: str
    kind: str
    connection: ConnectionInfo = field(repr=False)
    attempts: int
    seconds: float
    retries: tuple[str, ...] = ()
    route_reason: str = ""
    request_id: str = ""
    resumed: int = 0

    @property
    def route(self) -> str:
        """``"accelerate"``, ``"regional"`` or ``"custom"``."""
        if self.kind == "custom":
            return self.kind
        return "accelerate" if self.kind.startswith("accelerate") else "regional"

    @property
    def address(self) -> str:
        """Address and port that the bytes went to."""
        return self.connection.address

    @property
    def tls_version(self) -> str | None:
        return self.connection.tls_version

    @property
    def cipher(self) -> str | None:
        return self.connection.cipher


@dataclass(frozen=True)
class JobOutcome:
    """How one of many uploads ended: exactly one of ``result`` and ``error`` is set.

    ``index`` counts the jobs as they were given, from 0.
    """

    index: int
    bucket: str
    key: str
    result: UploadResult | None = None
    error: Exception | None = None


def fast(kind: type[Any], fields: dict[str, Any]) -> Any:
    """A frozen dataclass from all of its fields, without the price of its ``__init__``.

    That sets each field through ``object.__setattr__``: 3.4 us for an UploadResult, this 0.5 us (CPython 3.11), a
    difference that shows where an object costs 70 us in all.
    """
    made = object.__new__(kind)
    made.__dict__.update(fields)
    return made
