"""Runs the jobs of one `cp`: a few threads, one outcome a job, a clean end when it is interrupted."""

from __future__ import annotations

import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from s3accel.errors import S3AccelError

from .exits import Exit, concerns_every_object, overall
from .jobs import Job
from .outcome import FAILED, INTERRUPTED, NOT_STARTED, Outcome, Summary
from .report import Reporter

if TYPE_CHECKING:
    from s3accel.transfer import DownloadResult, ProgressEvent, UploadResult

__all__ = ["Interrupted", "Stop", "Terminated", "run_jobs", "sigterm_as_interrupt"]

#: Seconds that uploads get, after an interrupt, to abort their multipart uploads.
GRACE = 30.0

#: One upload: the job, the callback for its progress events, the switch that ends it.
Upload = Callable[[Job, "Callable[[ProgressEvent], None]", "Stop"], "UploadResult | DownloadResult"]


class Interrupted(S3AccelError):
    """Raised inside an upload to end it after Ctrl-C or SIGTERM."""


class Terminated(KeyboardInterrupt):
    """SIGTERM, raised in the main thread as Ctrl-C is."""


class Stop:
    """Tells running uploads to end."""

    def __init__(self) -> None:
        self.event = threading.Event()

    def check(self) -> None:
        if self.event.is_set():
            raise Interrupted("interrupted")


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """While the block runs, SIGTERM raises Terminated in the main thread."""

    def handler(_number: int, _frame: FrameType | None) -> None:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers; a test runner's worker goes without
        return
    before = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run_jobs(
    jobs: Sequence[Job], bucket: str, upload: Upload, reporter: Reporter, *, workers: int, summary: Summary
) -> Exit:
    """Uploads all jobs and reports each once.

    After Ctrl-C or SIGTERM nothing new is started, what is under way is ended (multipart uploads are aborted),
    and every job is still reported. A second Ctrl-C does not wait for that.

    Returns:
        the exit code of the run.
    """
    started = time.monotonic()
    runner = _Runner(jobs, bucket, upload, reporter, summary)
    runner.start(max(1, min(workers, len(jobs))))
    stopped: Exit | None = None
    try:
        with sigterm_as_interrupt():
            try:
                runner.drain(None)
            except KeyboardInterrupt as interrupt:
                stopped = Exit.TERMINATED if isinstance(interrupt, Terminated) else Exit.INTERRUPTED
                runner.stop.event.set()
                reporter.note(
                    f"interrupted: ending the {'downloads' if summary.downloads else 'uploads'} under way (once more to leave at once)"
                )
                runner.drain(GRACE)
    except KeyboardInterrupt:
        runner.stop.event.set()
        stopped = stopped or Exit.INTERRUPTED
    left = summary.abandoned = runner.close()
    if left and summary.downloads:
        reporter.note(f"{left} downloads under way did not end in time; what they left goes on another time")
    elif left:
        reporter.note(
            f"{left} uploads under way did not end in time: parts of multipart uploads may be left in s3://{bucket} (and "
            "billed); a lifecycle rule AbortIncompleteMultipartUpload removes them"
        )
    summary.seconds = time.monotonic() - started
    return stopped or overall(summary.failures, summary.done)


class _Runner:
    def __init__(
        self, jobs: Sequence[Job], bucket: str, upload: Upload, reporter: Reporter, summary: Summary
    ) -> None:
        self.stop = Stop()
        self._jobs = jobs
        self._bucket = bucket
        self._upload = upload
        self._reporter = reporter
        self._summary = summary
        self._lock = threading.Lock()
        self._next = 0
        self._reported = [False] * len(jobs)
        self._left = len(jobs)
        self._begun: set[int] = set()
        self._hopeless: BaseException | None = None
        self._results: queue.SimpleQueue[tuple[int, Outcome]] = queue.SimpleQueue()

    def start(self, workers: int) -> None:
        # Daemon threads: after a second Ctrl-C nobody waits for them, the interpreter's exit included.
        for number in range(workers):
            threading.Thread(target=self._work, name=f"s3accel-cp-{number}", daemon=True).start()

    def _take(self) -> int | None:
        with self._lock:
            if self._next >= len(self._jobs) or self._hopeless is not None or self.stop.event.is_set():
                return None
            index = self._next
            self._next += 1
            self._begun.add(index)
            return index

    def _work(self) -> None:
        while (index := self._take()) is not None:
            self._results.put((index, self._one(self._jobs[index])))
        self._results.put((-1, Outcome(Job("", "", None), "", NOT_STARTED)))  # wakes `drain`

    def _one(self, job: Job) -> Outcome:
        def progress(event: ProgressEvent) -> None:
            self.stop.check()
            self._reporter.progress(event)

        try:
            return Outcome(job, self._bucket, job.done, self._upload(job, progress, self.stop))
        except BaseException as error:  # noqa: BLE001  a worker must hand every end to the one who reports
            if self.stop.event.is_set() and _is_interrupt(error):
                return Outcome(job, self._bucket, INTERRUPTED, error=error)
            if concerns_every_object(error):
                with self._lock:
                    self._hopeless = self._hopeless or error
            return Outcome(job, self._bucket, FAILED, error=error)

    def drain(self, seconds: float | None) -> None:
        """Reports outcomes until none is to come, or `seconds` passed."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while self._left and not self._nothing_to_come():
            wait = None if deadline is None else deadline - time.monotonic()
            if wait is not None and wait <= 0:
                return
            try:
                index, outcome = self._results.get(timeout=wait)
            except queue.Empty:
                return
            if index >= 0:
                self._report(index, outcome)

    def _nothing_to_come(self) -> bool:
        with self._lock:
            over = self._hopeless is not None or self.stop.event.is_set()
            return over and not self._begun

    def _report(self, index: int, outcome: Outcome) -> None:
        with self._lock:
            self._begun.discard(index)
            if self._reported[index]:
                return
            self._reported[index] = True
            self._left -= 1
        self._summary.add(outcome)
        self._reporter.outcome(outcome)

    def close(self) -> int:
        """Reports all jobs that have no outcome yet. Returns how many of them were still under way."""
        with self._lock:
            under_way = set(self._begun)
        for index, job in enumerate(self._jobs):
            if not self._reported[index]:
                status = INTERRUPTED if index in under_way else NOT_STARTED
                error = None if status is INTERRUPTED else self._hopeless
                self._report(index, Outcome(job, self._bucket, status, error=error))
        return len(under_way)


def _is_interrupt(error: BaseException) -> bool:
    """True if the stop switch ended this upload, rather than something that happened at the same time."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, (Interrupted, KeyboardInterrupt)):
            return True
        seen = seen.__cause__ or seen.__context__
    return False
