"""What the journal keeps: a job, how it ended, and the multipart upload S3 may still hold for it. Opens no journal."""

from __future__ import annotations

import json
import os
import stat
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from s3accel.errors import ConfigError, SourceError
from s3accel.redact import SECRET_HEADERS, redact_text
from s3accel.transfer.s3xml import CompletedPart

__all__ = ["FAILED", "PENDING", "STORED", "Job", "JournalOutcome", "JournalUpload", "NewJob", "new_job"]

PENDING, STORED, FAILED = "pending", "stored", "failed"


@dataclass(frozen=True)
class NewJob:
    """A job to be accepted: what goes where, and the file as it is now.

    Attributes:
        path: absolute, as bytes (file names need not be text).
        size, mtime_ns, inode: how a changed file is noticed.
        options: content_type, metadata, headers; only those that were given.
    """

    bucket: str
    key: str
    path: bytes
    size: int
    mtime_ns: int
    inode: int
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def source(self) -> str:
        return os.fsdecode(self.path)

    @property
    def where(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    def check_unchanged(self) -> None:
        """Raises SourceError if the file is gone or is not the one that was accepted."""
        try:
            self._compare(os.stat(self.path))
        except OSError as error:
            raise self._unreadable(error) from error

    def read(self) -> bytes:
        """All of the file, as it was accepted. Raises SourceError as ``check_unchanged``."""
        try:
            with open(self.path, "rb", buffering=0) as file:
                self._compare(os.fstat(file.fileno()))
                data = file.readall()
                self._compare(os.fstat(file.fileno()))
        except OSError as error:
            raise self._unreadable(error) from error
        if len(data) != self.size:
            raise SourceError(f"{self.source} ended at byte {len(data)} of {self.size}")
        return data

    def _unreadable(self, error: OSError) -> SourceError:
        return SourceError(
            f"{self.source} cannot be read any more since the job was accepted: {error.strerror or error}"
        )

    def _compare(self, found: os.stat_result) -> None:
        names = ("size", "modification time", "inode")
        now = (found.st_size, found.st_mtime_ns, found.st_ino)
        then = (self.size, self.mtime_ns, self.inode)
        changed = [name for name, old, new in zip(names, then, now, strict=True) if old != new]
        if changed:
            raise SourceError(
                f"{self.source} changed since the job was accepted ({', '.join(changed)}); submit it again to upload"
                " what it is now"
            )

    def options_text(self) -> str:
        return json.dumps(self.options, sort_keys=True, ensure_ascii=True)

    def seal(self) -> int:
        """A sum over everything that says what the job is; finds damage that SQLite does not see."""
        items = [self.bucket, self.key, self.path.hex(), self.size, self.mtime_ns, self.inode]
        return zlib.crc32(json.dumps([*items, self.options_text()]).encode())


@dataclass(frozen=True)
class Job(NewJob):
    """An accepted job.

    Attributes:
        accepted, begun: epoch seconds; begun None: nothing was sent for it yet.
        runs: how often its upload was begun.
        trouble: why the last run left it unfinished.
        watch: until then (epoch seconds) a CreateMultipartUpload whose answer nobody has may still reach S3.
    """

    id: int = 0
    accepted: float = 0.0
    begun: float | None = None
    runs: int = 0
    trouble: str = ""
    state: str = PENDING
    finished: float | None = None
    outcome: Mapping[str, Any] = field(default_factory=dict)
    watch: float | None = None


@dataclass(frozen=True)
class JournalOutcome:
    """How a job ended, once and for all.

    Attributes:
        state: ``"stored"`` or ``"failed"``.
        etag, version_id, checksum, checksum_algorithm, parts: of the stored object, as far as known.
        found: True if a run after a crash found the object stored already, by HEAD, and did not send it again.
        error_type, error: class and text of why it failed.
    """

    state: str
    etag: str = ""
    version_id: str | None = None
    checksum: str | None = None
    checksum_algorithm: str | None = None
    parts: int = 0
    found: bool = False
    error_type: str = ""
    error: str = ""


@dataclass(frozen=True)
class JournalUpload:
    """A multipart upload of a job that S3 may still hold; ``parts`` are those whose storing was recorded."""

    job: int
    upload_id: str
    part_size: int
    checksum: str | None
    route: str
    parts: Mapping[int, CompletedPart]


def new_job(
    source: object,
    bucket: str,
    key: str,
    *,
    content_type: str | None = None,
    metadata: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> NewJob:
    """Look at the file and make its job.

    Raises ConfigError for a source that cannot be read again after a restart and for secrets among the options,
    SourceError for a file that is not there.
    """
    if not isinstance(source, (str, os.PathLike)):
        raise ConfigError(
            f"a {type(source).__name__} cannot be journaled: after a crash it could not be read again; give the path"
            " of a file, or upload it without a journal"
        )
    path = os.path.abspath(os.fsencode(source))
    try:
        found = os.stat(path)
    except OSError as error:
        raise SourceError(f"{os.fsdecode(path)} cannot be read: {error.strerror or error}") from error
    if not stat.S_ISREG(found.st_mode):
        raise ConfigError(
            f"{os.fsdecode(path)} is no regular file and cannot be journaled: after a crash it could not be read again"
        )
    _check_no_secrets(metadata, headers)
    given = {"content_type": content_type, "metadata": metadata, "headers": headers}
    options = {
        name: value if isinstance(value, str) else dict(value) for name, value in given.items() if value
    }
    return NewJob(bucket, key, path, found.st_size, found.st_mtime_ns, found.st_ino, options)


def _check_no_secrets(metadata: Mapping[str, str] | None, headers: Mapping[str, str] | None) -> None:
    for name, value in [*(metadata or {}).items(), *(headers or {}).items()]:
        lowered = name.lower()
        if lowered in SECRET_HEADERS or lowered.removeprefix("x-amz-meta-") in SECRET_HEADERS:
            raise ConfigError(
                f"{name} holds a secret, and a journal is kept on disk: nothing secret is written to it; upload this"
                " object without a journal"
            )
        if redact_text(str(value)) != str(value):
            raise ConfigError(
                f"the value of {name} holds a signature or a token, and a journal is kept on disk: nothing secret is"
                " written to it; upload this object without a journal"
            )
