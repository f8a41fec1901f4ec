"""One run over a journal's pending jobs: in what order they go, how each ends, and that it is written down.

Jobs for one key go one after the other, so that the newest decides what the object is.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

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
from s3accel.transfer.recovery import WATCH, Recovery
from s3accel.transfer.results import UploadResult
from s3accel.transfer.retry import classify
from s3accel.transfer.s3xml import CompletedPart
from s3accel.transfer.small import SMALL

__all__ = ["JobReport", "Recorder", "Run", "Stopped", "stays_pending"]

log = logging.getLogger("s3accel.transfer")

#: Jobs that are marked as begun in one commit; each of them costs one HEAD after a crash at most.
AHEAD = 128
#: Small objects under way.
SMALL_WINDOW = 128
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
    """One run over the pending jobs.

    Attributes:
        unsure: a CreateMultipartUpload of one of its jobs may have been carried out without anybody knowing its id.
    """

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
        self._stored = 0
        #: Under way: on a thread of ours, and in the client's hands; what has ended of both.
        self._long: dict[Future[JobReport], Job] = {}
        self._small: dict[Future[UploadResult], Job] = {}
        self._outbox: SimpleQueue[Future[Any]] = SimpleQueue()
        self._ready: deque[Job] = deque()
        #: Jobs by (bucket, key) that wait until an older job for the same key has ended.
        self._behind: dict[tuple[str, str], deque[Job]] = {}
        self._blocked: set[tuple[str, str]] = set()
        self.unsure = False

    def reports(self) -> Iterator[JobReport]:
        with ThreadPoolExecutor(self._concurrency, "s3accel-journal") as threads:
            try:
                while self._fill(threads):
                    yield from self._arrived()
            finally:
                self._end()

    def _fill(self, threads: ThreadPoolExecutor) -> bool:
        """Begin what there is room for; False if nothing is under way."""
        # At first only a few: where all are refused, few are asked in vain.
        window = min(SMALL_WINDOW, 2 * self._concurrency + self._stored)
        while len(self._long) < 2 * self._concurrency and len(self._small) < window:
            job = self._next()
            if job is None:
                break
            if (
                job.begun is None
                and job.size <= SMALL
                and job.size < self._client.settings.multipart_threshold
            ):
                self._begin_small(job)
            else:
                future = threads.submit(self._work, job)
                self._long[future] = job
                future.add_done_callback(self._outbox.put)
        return bool(self._long or self._small)

    def _begin_small(self, job: Job) -> None:
        """One put of bytes that are in memory: the client does many of these at a time, without a thread for each."""
        future: Future[UploadResult]
        try:
            future = self._client.submit(job.read(), job.bucket, job.key, **dict(job.options))
        except Exception as error:  # noqa: BLE001 (an end like any other)
            future = Future()
            future.set_exception(error)
        self._small[future] = job
        future.add_done_callback(self._outbox.put)

    def _arrived(self) -> list[JobReport]:
        """Wait for something to end; everything that has, recorded. Outcomes of small objects share a commit."""
        ended = [self._outbox.get()]
        with contextlib.suppress(Empty):
            while True:
                ended.append(self._outbox.get_nowait())
        small = [(self._small.pop(future), future) for future in ended if future in self._small]
        found = self._record(small)
        for future in ended:
            if (job := self._long.pop(future, None)) is not None:
                found.append((job, future.result()))
        for job, report in found:
            self._release(job, report)
        return [report for _, report in found]

    def _record(self, small: list[tuple[Job, Future[UploadResult]]]) -> list[tuple[Job, JobReport]]:
        stored = [(job, future.result()) for job, future in small if future.exception() is None]
        reports = [JobReport(job, _outcome(result), result) for job, result in stored]
        self._journal.finish_all((report.job.id, report.outcome) for report in reports if report.outcome)
        self._stored += len(stored)
        if self._progress is not None:
            for job, _ in stored:
                self._progress(ProgressEvent("done", job.bucket, job.key, job.size, job.size))
        for job, future in small:
            if (error := future.exception()) is not None:
                reports.append(self._ended(job, error))
        return [(report.job, report) for report in reports]

    def _end(self) -> None:
        """The run is left, or nothing is under way. What cannot be called back ends, and its outcome is recorded."""
        if self._long or self._small:
            self._stop.set()
        for future in self._long:
            future.cancel()
        wait(self._small)
        small = [(job, future) for future, job in self._small.items()]
        self._small.clear()
        if small:
            try:
                self._record(small)
            except JournalError as error:
                log.warning("outcomes that are not in the journal will be looked for: %s", describe(error))

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
            until = time.time() + WATCH
            watch = {job.id: until for job in found if self._recovery.may_leave_uploads(job)}
            self._journal.begin([job.id for job in found], watch)
            self.unsure = self.unsure or bool(watch)
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
                    # Completed by a request of the process that died, or aborted by somebody, or by us: look again.
                    if looked or not (_is_gone(error) or _lost_its_route(error)):
                        raise
                    looked = again = True
                    job = self._journal.job(job.id)
        except BaseException as error:  # noqa: BLE001 (every end of a job is recorded)
            return self._ended(job, error)

    def _plan(self, job: Job, again: bool) -> JournalOutcome | Resume | None:
        if not again:
            job.check_unchanged()
            return None
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
        repeated = isinstance(error, UploadError) and bool(error.history)
        self._journal.finish(job.id, outcome, watch=self._watch(job, repeated))
        return JobReport(job, outcome, error=error)

    def _upload(self, job: Job, resume: Resume | None) -> JobReport:
        upload_id = "" if resume is None else resume.upload_id
        recorder = Recorder(self._journal, job, upload_id, self._client.s3.router is not None)
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
        outcome = _outcome(result)
        repeated = resume is None and bool(result.parts and result.retries)
        self._journal.finish(job.id, outcome, recorder.upload_id, self._watch(job, repeated))
        return JobReport(job, outcome, result)

    def _watch(self, job: Job, repeated: bool) -> float | None:
        """Of attempts that were repeated one may have been a Create, and S3 may have carried out both."""
        if not repeated or job.size < self._recovery.multipart_from:
            return None
        self.unsure = True
        return time.time() + WATCH

    def _tell(self, event: ProgressEvent) -> None:
        self._check_stop()
        if self._progress is not None:
            self._progress(event)

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise Stopped("the run was stopped")


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
        if self._routes and isinstance(_cause(error), AccelerationUnavailable):
            return False
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


def _outcome(result: UploadResult) -> JournalOutcome:
    return JournalOutcome(
        STORED,
        etag=result.etag,
        version_id=result.version_id,
        checksum=result.checksum,
        checksum_algorithm=result.checksum_algorithm,
        parts=result.parts,
    )


def _cause(error: BaseException) -> BaseException:
    while isinstance(error, UploadError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _is_gone(error: BaseException) -> bool:
    cause = _cause(error)
    return isinstance(cause, S3Error) and cause.code == "NoSuchUpload"


def _lost_its_route(error: BaseException) -> bool:
    """True if its parts were aborted because S3 refuses the accelerated host now: the whole goes over the other one."""
    return (
        isinstance(error, UploadError)
        and bool(error.aborted)
        and isinstance(_cause(error), AccelerationUnavailable)
    )


def _text(error: BaseException) -> str:
    return str(error) if isinstance(error, S3AccelError) and str(error) else describe(error)
