"""One run over a journal's pending jobs: in what order they go, how each ends, and that it is written down.

Jobs for one key go one after the other, so that the newest decides what the object is.
"""

from __future__ import annotations

import contextlib
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
    CredentialsError,
    JournalError,
    S3AccelError,
    S3Error,
    UploadError,
)
from s3accel.transfer.attempts import describe
from s3accel.transfer.client import Client
from s3accel.transfer.hooks import Resume
from s3accel.transfer.journal import FAILED, PENDING, STORED, Job, Journal, JournalOutcome
from s3accel.transfer.progress import ProgressCallback, ProgressEvent
from s3accel.transfer.recorder import (
    CREDENTIALS,
    Recorder,
    cause_of,
    is_gone,
    lost_its_route,
    stays_pending,
    text_of,
)
from s3accel.transfer.recovery import WATCH, Recovery
from s3accel.transfer.results import UploadResult
from s3accel.transfer.small import SMALL

__all__ = ["JobReport", "Run", "Stopped"]

log = logging.getLogger("s3accel.transfer")

#: Jobs that are marked as begun in one commit; each of them costs one HEAD after a crash at most.
AHEAD = 128
#: Small objects under way.
SMALL_WINDOW = 128


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
                    if looked or not (is_gone(error) or lost_its_route(error)):
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
        cause = cause_of(error)
        if isinstance(error, UploadError) and error.aborted and error.upload_id:
            self._journal.drop_upload(job.id, error.upload_id)
        if stays_pending(error) or self._client.closed:
            refused = isinstance(cause, S3Error) and cause.code in CREDENTIALS
            if refused or isinstance(cause, CredentialsError) or self._client.closed:
                self._hopeless = True  # the next job would be refused alike
            self._journal.leave(job.id, text_of(error))
            return JobReport(job, error=error)
        outcome = JournalOutcome(FAILED, error_type=type(cause).__name__, error=text_of(error))
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


def _outcome(result: UploadResult) -> JournalOutcome:
    return JournalOutcome(
        STORED,
        etag=result.etag,
        version_id=result.version_id,
        checksum=result.checksum,
        checksum_algorithm=result.checksum_algorithm,
        parts=result.parts,
    )
