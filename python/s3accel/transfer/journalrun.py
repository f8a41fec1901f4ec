"""One run over a journal's pending jobs: in what order they go, how each ends, and that it is written down.

Jobs for one key go one after the other, so that the newest decides what the object is.
"""

from __future__ import annotations

import errno
import logging
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from s3accel.errors import (
    AccelerationUnavailable,
    ConfigError,
    CredentialsError,
    JournalError,
    S3AccelError,
    S3Error,
    SourceError,
    UploadError,
)
from s3accel.transfer.attempts import describe
from s3accel.transfer.client import Client
from s3accel.transfer.hooks import JobInfo, Resume
from s3accel.transfer.journal import FAILED, PENDING, STORED, Job, Journal, JournalOutcome
from s3accel.transfer.progress import ProgressCallback, ProgressEvent
from s3accel.transfer.recovery import Recovery
from s3accel.transfer.results import UploadResult
from s3accel.transfer.retry import classify
from s3accel.transfer.s3xml import CompletedPart

__all__ = ["JobReport", "Recorder", "Run", "Stopped", "stays_pending"]

log = logging.getLogger("s3accel.transfer")

#: Jobs that are marked as begun in one commit; each of them costs one HEAD after a crash at most.
AHEAD = 64
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
_CREDENTIALS = frozenset({"ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch"})
#: This machine was short of something, or its disk or file server was in trouble: not the file's fault.
_NOT_OF_THE_FILE = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EIO, getattr(errno, "ESTALE", -1)}
)


class Stopped(S3AccelError):
    """The upload was ended because the run was stopped; its job stays pending."""


@dataclass(frozen=True)
class JobReport:
    """What one run did for one job.

    Attributes:
        outcome: as recorded; None if the job stays pending.
        result: of the upload, if this run made one.
        error: why it failed or stays pending, else None.
    """

    job: Job
    outcome: JournalOutcome | None = None
    result: UploadResult | None = None
    error: BaseException | None = None

    @property
    def state(self) -> str:
        """``"stored"``, ``"failed"`` or ``"pending"``."""
        return PENDING if self.outcome is None else self.outcome.state


class Run:
    """One run over the pending jobs."""

    def __init__(
        self,
        client: Client,
        journal: Journal,
        recovery: Recovery,
        concurrency: int,
        progress: ProgressCallback | None,
        stop: threading.Event,
    ) -> None:
        self._client = client
        self._journal = journal
        self._recovery = recovery
        self._concurrency = concurrency
        self._progress = progress
        self._stop = stop
        self._hopeless = False
        self._last = 0
        self._ready: deque[Job] = deque()
        #: Jobs by (bucket, key) that wait until an older job for the same key has ended.
        self._behind: dict[tuple[str, str], deque[Job]] = {}
        self._blocked: set[tuple[str, str]] = set()
        self._swept: list[Job] = []

    def reports(self) -> Iterator[JobReport]:
        running: dict[Future[JobReport], Job] = {}
        with ThreadPoolExecutor(self._concurrency, "s3accel-journal") as threads:
            try:
                while True:
                    while len(running) < 2 * self._concurrency and (job := self._next()) is not None:
                        running[threads.submit(self._work, job)] = job
                    if not running:
                        break
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        job = running.pop(future)
                        report = future.result()
                        self._release(job, report)
                        yield report
            finally:
                if running:
                    self._stop.set()
                for future in running:
                    future.cancel()
        for job in self._swept:
            # A Create that was still on its way when the first sweep looked. All jobs are reported by now, so what
            # happens here is no longer theirs.
            try:
                self._recovery.sweep(job)
            except S3AccelError as error:
                log.warning(
                    "unfinished uploads of %s could not be looked for: %s", job.where, describe(error)
                )

    # -- order

    def _next(self) -> Job | None:
        if self._stop.is_set() or self._hopeless:
            return None
        if not self._ready:
            self._take()
        return self._ready.popleft() if self._ready else None

    def _take(self) -> None:
        while not self._ready and (found := self._journal.following(self._last, AHEAD)):
            self._last = found[-1].id
            found = [job for job in found if (job.bucket, job.key) not in self._blocked]
            self._journal.begin([job.id for job in found])
            for job in found:
                behind = self._behind.get((job.bucket, job.key))
                if behind is not None:
                    behind.append(job)
                else:
                    self._behind[job.bucket, job.key] = deque()
                    self._ready.append(job)

    def _release(self, job: Job, report: JobReport) -> None:
        place = (job.bucket, job.key)
        behind = self._behind[place]
        if report.outcome is None:
            # What is behind is newer: it must not be overwritten by this one later.
            self._blocked.add(place)
            del self._behind[place]
        elif behind:
            self._ready.appendleft(behind.popleft())
        else:
            del self._behind[place]

    # -- one job

    def _work(self, job: Job) -> JobReport:
        again, looked = job.begun is not None, False
        try:
            while True:
                try:
                    self._check_stop()
                    plan = self._plan(job, again)
                    if isinstance(plan, JournalOutcome):
                        self._journal.finish(job.id, plan)
                        return JobReport(job, plan)
                    return self._upload(job, plan)
                except (UploadError, S3Error) as error:
                    # Completed by a request of the process that died, or aborted by somebody: look again.
                    if looked or not _is_gone(error):
                        raise
                    looked = again = True
                    job = self._journal.job(job.id)
        except BaseException as error:  # noqa: BLE001 (every end of a job is recorded)
            return self._ended(job, error)

    def _plan(self, job: Job, again: bool) -> JournalOutcome | Resume | None:
        if not again:
            job.check_unchanged()
            return None
        if self._recovery.may_leave_uploads(job):
            self._swept.append(job)
        return self._recovery.prepare(job)

    def _ended(self, job: Job, error: BaseException) -> JobReport:
        cause = _cause(error)
        if isinstance(error, UploadError) and error.aborted and error.upload_id:
            self._journal.drop_upload(job.id, error.upload_id)
        if stays_pending(error):
            if isinstance(cause, CredentialsError) or (
                isinstance(cause, S3Error) and cause.code in _CREDENTIALS
            ):
                self._hopeless = True  # the next job would be refused alike
            self._journal.leave(job.id, _text(error))
            return JobReport(job, error=error)
        outcome = JournalOutcome(FAILED, error_type=type(cause).__name__, error=_text(error))
        self._journal.finish(job.id, outcome)
        return JobReport(job, outcome, error=error)

    def _upload(self, job: Job, resume: Resume | None) -> JobReport:
        recorder = Recorder(self._journal, job, "" if resume is None else resume.upload_id)
        result = self._client.upload(
            job.source,
            job.bucket,
            job.key,
            **dict(job.options),
            progress=self._tell,
            observer=recorder,
            job_id=str(job.id),
            resume=resume,
        )
        outcome = JournalOutcome(
            STORED,
            etag=result.etag,
            version_id=result.version_id,
            checksum=result.checksum,
            checksum_algorithm=result.checksum_algorithm,
            parts=result.parts,
        )
        self._journal.finish(job.id, outcome, recorder.upload_id)
        return JobReport(job, outcome, result)

    def _tell(self, event: ProgressEvent) -> None:
        self._check_stop()
        if self._progress is not None:
            self._progress(event)

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise Stopped("the run was stopped")


class Recorder:
    """Writes down what happens to one job; an `Observer`."""

    def __init__(self, journal: Journal, job: Job, upload_id: str = "") -> None:
        self._journal = journal
        self._job = job
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
        return bool(self.upload_id) and stays_pending(error)

    def finished(self, job: JobInfo, result: UploadResult | None, error: BaseException | None) -> None:
        """The run records the outcome, since only it knows whether there is another try."""


def stays_pending(error: BaseException) -> bool:
    """True if another time may be better; False if the job itself is at fault (file, key, headers, rights).

    What is not known to be the job's fault is not held against it: a job is rather tried again than lost.
    """
    error = _cause(error)
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


def _cause(error: BaseException) -> BaseException:
    while isinstance(error, UploadError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _is_gone(error: BaseException) -> bool:
    cause = _cause(error)
    return isinstance(cause, S3Error) and cause.code == "NoSuchUpload"


def _text(error: BaseException) -> str:
    return str(error) if isinstance(error, S3AccelError) and str(error) else describe(error)
