"""One job under way, written down: what S3 has of it, and whether an error is its end or another time may be better."""

from __future__ import annotations

import errno
import logging

from s3accel.errors import (
    AccelerationUnavailable,
    ConfigError,
    JournalError,
    S3AccelError,
    S3Error,
    SourceError,
    UploadError,
)
from s3accel.transfer.attempts import describe
from s3accel.transfer.hooks import JobInfo
from s3accel.transfer.journal import Job, Journal
from s3accel.transfer.results import UploadResult
from s3accel.transfer.retry import classify
from s3accel.transfer.s3xml import CompletedPart

__all__ = ["CREDENTIALS", "Recorder", "cause_of", "is_gone", "lost_its_route", "stays_pending", "text_of"]

log = logging.getLogger("s3accel.transfer")

#: Refusals that say nothing about the job: with other credentials, or a right clock, it may go through.
_NOT_OF_THE_JOB = frozenset(
    {
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidToken",
        "NoSuchUpload",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
    }
)
CREDENTIALS = frozenset({"ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch"})
#: This machine was short of something, or its disk or file server was in trouble: not the file's fault.
_NOT_OF_THE_FILE = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EIO, getattr(errno, "ESTALE", -1)}
)


class Recorder:
    """Writes down what happens to one job; an `Observer`.

    ``routes``: there is more than one, so parts sent over one that S3 refuses now are not waited for.
    """

    def __init__(self, journal: Journal, job: Job, upload_id: str = "", routes: bool = False) -> None:
        self._journal = journal
        self._job = job
        self._routes = routes
        #: The multipart upload that is in the journal; "" if there is none.
        self.upload_id = upload_id

    def accepted(self, job: JobInfo) -> None:
        """What was opened must be what was accepted: between the last look and the opening it may have changed."""
        if job.stamp is not None and job.stamp != (self._job.size, self._job.mtime_ns):
            self._job.check_unchanged()
            raise SourceError(f"{self._job.source} changed since the job was accepted; submit it again")

    def multipart_created(
        self, job: JobInfo, upload_id: str, part_size: int, algorithm: str | None, route: str
    ) -> None:
        # If this cannot be written the upload ends, and is aborted: a part of an unknown upload could not be found.
        self.upload_id = ""
        self._journal.add_upload(self._job.id, upload_id, part_size, algorithm, route)
        self.upload_id = upload_id

    def part_stored(self, job: JobInfo, part: CompletedPart) -> None:
        try:
            self._journal.add_part(self._job.id, self.upload_id, part)
        except JournalError as error:
            # S3 has the part, and recovery adopts what S3 has: a full disk need not stop the upload.
            log.warning(
                "part %d of %s is stored, but not in the journal: %s", part.number, self._job.where, error
            )

    def keep(self, job: JobInfo, error: BaseException) -> bool:
        if self._routes and isinstance(cause_of(error), AccelerationUnavailable):
            return False
        return bool(self.upload_id) and stays_pending(error)

    def finished(self, job: JobInfo, result: UploadResult | None, error: BaseException | None) -> None:
        """The run records the outcome, since only it knows whether there is another try."""


def stays_pending(error: BaseException) -> bool:
    """True if another time may be better; False if the job itself is at fault (file, key, headers, rights).

    What is not known to be the job's fault is not held against it: a job is rather tried again than lost.
    """
    error = cause_of(error)
    if isinstance(error, S3Error):
        return (
            error.status >= 500
            or error.code in _NOT_OF_THE_JOB
            or isinstance(error, AccelerationUnavailable)
            or classify(error).retry
        )
    if isinstance(error, SourceError):
        return isinstance(error.__cause__, OSError) and error.__cause__.errno in _NOT_OF_THE_FILE
    return not isinstance(error, ConfigError)


def cause_of(error: BaseException) -> BaseException:
    while isinstance(error, UploadError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def is_gone(error: BaseException) -> bool:
    cause = cause_of(error)
    return isinstance(cause, S3Error) and cause.code == "NoSuchUpload"


def lost_its_route(error: BaseException) -> bool:
    """True if its parts were aborted because S3 refuses the accelerated host now: the whole goes over the other one."""
    return (
        isinstance(error, UploadError)
        and bool(error.aborted)
        and isinstance(cause_of(error), AccelerationUnavailable)
    )


def text_of(error: BaseException) -> str:
    return str(error) if isinstance(error, S3AccelError) and str(error) else describe(error)
