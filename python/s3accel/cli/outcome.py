"""How one job ended, and how a run ended: every job has exactly one outcome."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from .exits import Exit, cause_of, exit_of, remedy_of, text_of
from .jobs import Job

__all__ = ["Outcome", "Summary"]

UPLOADED, FAILED, INTERRUPTED, NOT_STARTED = "uploaded", "failed", "interrupted", "not started"
DOWNLOADED = "downloaded"
#: In a journal, to be gone on with another time.
PENDING = "pending"


@dataclass(frozen=True)
class Outcome:
    """How one job ended.

    Attributes:
        status: ``"uploaded"``, ``"downloaded"``, ``"failed"``, ``"interrupted"`` (it was under way), ``"not started"``, or
            ``"pending"`` (kept in a journal).
        result: an UploadResult or a DownloadResult, as the job was; None if there is none.
        error: why not, else None.
    """

    job: Job
    bucket: str
    status: str
    result: Any = None
    error: BaseException | None = None

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self.job.key}"

    @property
    def done(self) -> bool:
        return self.status in (UPLOADED, DOWNLOADED)

    @property
    def exit(self) -> Exit:
        return Exit.DONE if self.error is None else exit_of(self.error)

    def as_dict(self) -> dict[str, Any]:
        """What `--json` prints: names and values that are stable between versions, no secrets."""
        found: dict[str, Any] = {
            "event": "object",
            "status": self.status,
            "target" if self.job.done == DOWNLOADED else "source": self.job.source,
            "bucket": self.bucket,
            "key": self.job.key,
        }
        if self.result is not None:
            result = self.result
            found |= {
                "size": result.size,
                "etag": result.etag,
                "version_id": result.version_id,
                "checksum": result.checksum,
                "checksum_algorithm": result.checksum_algorithm,
                **how(result),
                "host": result.host,
                "endpoint": result.kind,
                "address": result.connection.address,
                "tls_version": result.connection.tls_version,
                "cipher": result.connection.cipher,
                "route": result.route,
                "route_reason": result.route_reason,
                "routes": [
                    {"route": used.route, "bytes": used.bytes, "seconds": round(used.seconds, 6)}
                    for used in result.routes
                ],
                "attempts": result.attempts,
                "retries": list(result.retries),
                "resumed": result.resumed,
                "seconds": round(result.seconds, 6),
            }
        if self.error is not None:
            found["error"] = error_dict(self.error)
        return found


def how(result: Any) -> dict[str, Any]:
    """What is said of one direction only."""
    if hasattr(result, "payload_mode"):
        return {"parts": result.parts, "payload": result.payload_mode}
    return {
        "verified": result.verified,
        "verification": result.verification,
        "ranges": result.ranges,
    }


def error_dict(error: BaseException) -> dict[str, Any]:
    """An error for machines: its class, its text, and what S3 said, as far as it said something."""
    cause = cause_of(error)
    found: dict[str, Any] = {
        "type": type(cause).__name__,
        "message": text_of(error),
        "remedy": remedy_of(error),
        "exit_code": int(exit_of(error)),
    }
    for name in ("code", "status", "request_id", "host", "phase"):
        value = getattr(cause, name, None)
        if value not in (None, ""):
            found[name] = value
    for name in ("part", "attempts", "upload_id", "aborted", "kept"):
        value = getattr(error, name, None)
        if value is not None:
            found[name] = value
    return found


@dataclass
class Summary:
    """Counts of a run while it runs, and what it came to.

    Attributes:
        uploaded_bytes: object bytes moved, in either direction.
        downloads: the run fetches objects.
        abandoned: uploads that were still under way when nobody waited any longer.
    """

    seconds: float = 0.0
    uploaded_bytes: int = 0
    downloads: bool = False
    skipped: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    failures: list[Exit] = field(default_factory=list)
    abandoned: int = 0
    connections: set[tuple[str, str]] = field(default_factory=set)

    def add(self, outcome: Outcome) -> None:
        self.statuses[outcome.status] += 1
        if outcome.result is not None:
            self.uploaded_bytes += outcome.result.size
            connection = outcome.result.connection
            if connection.tls_version:
                self.connections.add((connection.tls_version, connection.cipher or ""))
        elif outcome.status == FAILED:
            self.failures.append(outcome.exit)

    @property
    def uploaded(self) -> int:
        return self.statuses[UPLOADED]

    @property
    def done(self) -> int:
        """Objects that were uploaded or downloaded."""
        return self.statuses[UPLOADED] + self.statuses[DOWNLOADED]

    @property
    def unfinished(self) -> int:
        return self.statuses[INTERRUPTED] + self.statuses[NOT_STARTED]

    def as_dict(self, exit_code: int) -> dict[str, Any]:
        return {
            "event": "summary",
            DOWNLOADED if self.downloads else UPLOADED: self.done,
            "failed": self.statuses[FAILED],
            "interrupted": self.statuses[INTERRUPTED],
            "pending": self.statuses[PENDING],
            "not_started": self.statuses[NOT_STARTED],
            "skipped": self.skipped,
            "bytes": self.uploaded_bytes,
            "seconds": round(self.seconds, 6),
            "exit_code": int(exit_code),
        }
