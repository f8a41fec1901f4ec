"""What the lane works with: a job as it sees it, and one libcurl handle with what its callbacks collect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from s3accel.transfer.exchange import handshake_of
from s3accel.transfer.messages import ConnectionInfo

__all__ = ["LaneJob", "Origin", "Slot"]

#: Bytes of an answer's body that are kept; a put is answered with none, an error with a few hundred.
MAX_ANSWER = 1 << 20

Origin = tuple[str, str]


class LaneJob(Protocol):
    """One put. All methods are called in the lane's thread."""

    def prepare(self, waiting: Sequence[LaneJob]) -> tuple[Origin, str, list[str], bytes]:
        """Origin, URL, header lines and body, signed now.

        ``waiting``: the jobs that come next; what is cheaper done for many at once may be done for them, too. Other
        threads add to its end meanwhile, so it is to be indexed, not iterated.
        """

    def answered(self, status: int, head: bytes, body: bytes, connection: ConnectionInfo) -> None:
        """An answer came, of whatever status. ``head``: status line and headers as they came."""

    def failed(self, error: Exception) -> None:
        """There is no answer, or no request could be made."""


class Slot:
    """One easy handle and what its callbacks collect."""

    def __init__(self, curl: Any) -> None:
        self.curl = curl
        self.lines: list[bytes] = []
        self.body = bytearray()
        self.job: Any = None
        self.origin: Origin = ("", "")
        self.url = ""
        self.length = 0
        self.connect_to: str | None = None
        self.watched = False
        self.tls: tuple[str, str, str] | None = None
        self.resumed = False

    def write(self, data: bytes) -> int | None:
        if len(self.body) + len(data) > MAX_ANSWER:
            return 0
        self.body += data
        return None

    def debug(self, kind: int, data: bytes) -> None:
        if kind == 0:
            found, resumed = handshake_of(data)
            self.tls = found or self.tls
            self.resumed = self.resumed or resumed
