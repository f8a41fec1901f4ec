"""What may look on while objects are sent, and what a later process needs to go on with one of them.

The journal implements `Observer`; anything else may. Nothing here does anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from s3accel.transfer.results import UploadResult
from s3accel.transfer.s3xml import CompletedPart

__all__ = ["JobInfo", "Observer", "Resume"]


@dataclass(frozen=True)
class JobInfo:
    """One upload, as it was accepted.

    Attributes:
        id: the caller's, or 32 hex digits.
        source: the source's name, for people.
        path: absolute path, if the source was given as one.
        size: bytes, None for a stream.
        stamp: size and modification time (ns) of a file when it was opened.
        options: ``content_type``, ``metadata`` and ``headers`` as they were given.
    """

    id: str
    bucket: str
    key: str
    source: str
    path: str | None = None
    size: int | None = None
    stamp: tuple[int, int] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Resume:
    """A multipart upload that was begun earlier. ``parts``: those S3 holds, by number; they are not sent again.

    ``route``: "accelerate" or "regional", to stay on the host it was begun on; "" for the client's own.
    """

    upload_id: str
    part_size: int
    parts: Mapping[int, CompletedPart] = field(default_factory=dict)
    route: str = ""


class Observer(Protocol):
    """Told about every step of an upload, from whatever thread makes it.

    A call that raises fails the upload; ``finished`` cannot. For one job the calls come in this order, parts side
    by side.
    """

    def accepted(self, job: JobInfo) -> None:
        """Before anything is sent."""

    def multipart_created(
        self, job: JobInfo, upload_id: str, part_size: int, algorithm: str | None, route: str
    ) -> None:
        """Before the first part. ``part_size`` is 0 for a stream, whose parts grow."""

    def part_stored(self, job: JobInfo, part: CompletedPart) -> None:
        """S3 has the part; it counts as done when this returns."""

    def keep(self, job: JobInfo, error: BaseException) -> bool:
        """The upload failed: True leaves its parts where they are, to go on later; False aborts it."""

    def finished(self, job: JobInfo, result: UploadResult | None, error: BaseException | None) -> None:
        """Exactly once for each accepted job, and last: one of ``result`` and ``error`` is set."""
