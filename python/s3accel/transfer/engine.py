"""Many uploads at a time: jobs in, outcomes out as they come, exactly one for each.

Small bodies go to the lane (one thread, many in flight), everything else to threads, of which there are as many as
may be in flight and no more. Jobs are taken only as fast as they are worked on.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue
from typing import Any

from s3accel.errors import ConfigError
from s3accel.transfer.headers import ObjectHeaders
from s3accel.transfer.hooks import JobInfo, Observer
from s3accel.transfer.lane import Lane
from s3accel.transfer.limits import DEFAULT_MEMORY, Adaptive
from s3accel.transfer.perform import NO_HEADERS, OPTIONS, Begun, Held, Job, Performer, tell_finished
from s3accel.transfer.progress import ProgressCallback
from s3accel.transfer.results import JobOutcome, UploadResult, fast
from s3accel.transfer.routepolicy import fault_of
from s3accel.transfer.s3 import S3
from s3accel.transfer.small import SmallPut, SmallWay, small_data
from s3accel.transfer.upload import Uploader

__all__ = ["Batch", "Engine", "Job"]

log = logging.getLogger("s3accel.transfer")

#: Outcomes of the lane are handed on in groups, so that the thread that takes them is not woken for each.
GROUP = 16
#: No machine needs more threads that wait for the network.
MAX_THREADS = 256

#: Futures that may be unfinished; ``submit`` waits for one of them to end before it takes another job.
MAX_WAITING = 1024


class Batch:
    """Jobs that belong together.

    ``hand_over`` takes a list of outcomes, in whatever thread made them, and whether they took the lane.

    Attributes:
        limit: objects in flight on threads.
    """

    def __init__(self, limit: int, hand_over: Callable[[list[JobOutcome], bool], None]) -> None:
        self.limit = limit
        self.hand_over = hand_over
        self.collected: list[JobOutcome] = []
        self.pauses = 0
        self.cancelled = False
        self.lock = threading.Lock()
        self.running = 0
        self.waiting: deque[Callable[[], None]] = deque()


class Engine(Performer):
    """The long-lived part of a client: the lane, the threads, and the way from a job to its outcome.

    Args:
        lane: None if the transport has none (a fake, for example): then threads do everything.
        small: how many small objects are in flight.
        memory_limit: bytes that the sources of jobs in flight may hold, as far as they are in memory.
        deadline: seconds for one upload.
    """

    def __init__(
        self,
        s3: S3,
        uploader: Uploader,
        way: SmallWay,
        *,
        lane: Lane | None,
        limit: int,
        multipart_threshold: int,
        progress: ProgressCallback | None = None,
        observer: Observer | None = None,
        memory_limit: int = DEFAULT_MEMORY,
        small: Adaptive | None = None,
        deadline: float | None = None,
    ) -> None:
        super().__init__(s3, uploader, progress, observer, deadline)
        self._way = way
        self._lane = lane
        self._limit = limit
        self._small = small or Adaptive(limit, limit)
        self._memory_limit = memory_limit
        self._small_bytes = min(way.limit, max(0, multipart_threshold - 1))
        self._lock = threading.Lock()
        self._threads: ThreadPoolExecutor | None = None
        self._closed = False
        self._dirty: set[Batch] = set()
        self._fixed = 0  # small objects in flight, where the caller has said how many
        self._singles = Batch(limit, self._resolve)
        self._futures: dict[int, Future[UploadResult]] = {}
        self._numbers = itertools.count()
        self._room = threading.Semaphore(MAX_WAITING)
        if lane is not None:
            lane.pause = self._flush

    # -- many

    def threads(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._closed:
                raise ConfigError("the client is closed")
            if self._threads is None:
                self._threads = ThreadPoolExecutor(MAX_THREADS, "s3accel-job")
            return self._threads

    @property
    def limit(self) -> int:
        """Objects in flight on threads."""
        return self._limit

    def widen(self, limit: int | None) -> int:
        """Small objects in flight from now on."""
        if limit is not None:
            self._fixed = limit
        else:
            self._fixed = 0
        small = self._fixed or self._small.limit
        if self._lane is not None:
            self._lane.limit = small
        return small

    def start(self, job: Job, batch: Batch) -> bool:
        """Begin a job; its outcome goes to the batch, sooner or later. True if it took the lane."""
        try:
            put = self._small_put(job, batch)
            if put is not None and self._lane is not None:
                self._lane.submit(put)
                return True
        except Exception as error:  # noqa: BLE001 (that is the job's outcome)
            batch.hand_over([_failed(job, error)], False)
            return False
        self._on_thread(batch, job, lambda: self.perform(job), False)
        return False

    def _small_put(self, job: Job, batch: Batch) -> SmallPut | None:
        """The job as a put for the lane, or None if it is none."""
        options = job.options
        if self._lane is None or self._progress is not None or not isinstance(job.key, str):
            return None
        observer = self._observer
        headers = NO_HEADERS
        if options:
            if not options.keys() <= OPTIONS or options.get("progress") or options.get("resume"):
                return None
            observer = options.get("observer") or observer
            headers = self._headers(options)
        data = small_data(job.source, self._small_bytes)
        if data is None:
            return None
        self._s3.admit(job.bucket, "PutObject")
        put = _Put(self, self._way, job, batch, data, headers)
        if observer is not None:
            put.observer, put.info = observer, self._info(job, None, len(data))
            observer.accepted(put.info)
        return put

    def _on_thread(self, batch: Batch, job: Job, work: Callable[[], UploadResult], small: bool) -> None:
        """Run the long way on a thread, at most ``batch.limit`` of them at a time."""

        def run() -> None:
            # What the lane has begun ends as it would have; only what was never begun is cancelled.
            outcome = _outcome(job, work) if small or not batch.cancelled else None
            with batch.lock:
                following = batch.waiting.popleft() if batch.waiting else None
                batch.running -= following is None
            if following is not None:
                self._spawn(following)
            batch.hand_over([outcome or _failed(job, _cancelled())], small)

        with batch.lock:
            if batch.running >= batch.limit:
                batch.waiting.append(run)
                return
            batch.running += 1
        self._spawn(run)

    def _spawn(self, run: Callable[[], None]) -> None:
        try:
            self.threads().submit(run)
        except (ConfigError, RuntimeError):
            run()  # the client is being closed: what was accepted still gets its outcome, in this thread

    def run(self, jobs: Iterable[Job], limit: int | None = None) -> Iterator[JobOutcome]:
        """Outcomes as they come. An exception of ``jobs`` itself is raised after what was begun before it."""
        outbox: SimpleQueue[tuple[list[JobOutcome], bool]] = SimpleQueue()
        threads = limit or self._limit
        batch = Batch(threads, lambda outcomes, small: outbox.put((outcomes, small)))
        self.widen(limit)
        held = Held()
        source = iter(jobs)
        pending = {True: 0, False: 0}  # on the lane, on threads
        broken: Exception | None = None
        more = True
        try:
            while True:
                # As many again wait as are in flight, and no fewer than two groups of outcomes hold, so that the lane has
                # work while outcomes are looked at.
                small = self._fixed or self._small.limit
                while (
                    more
                    and pending[False] < 2 * threads
                    and pending[True] < small + max(small, 2 * GROUP)
                    and held.bytes < self._memory_limit // 2
                ):
                    try:
                        job = next(source)
                    except StopIteration:
                        more = False
                        break
                    except Exception as error:  # noqa: BLE001 (raised below, after the outcomes)
                        broken, more = error, False
                        break
                    held.add(job)
                    pending[self.start(job, batch)] += 1
                if not pending[True] and not pending[False]:
                    break
                outcomes, on_lane = outbox.get()
                pending[on_lane] -= len(outcomes)
                if held.sizes:
                    for outcome in outcomes:
                        held.remove(outcome.index)
                yield from outcomes
        finally:
            batch.cancelled = True
            while pending[True] or pending[False]:
                outcomes, on_lane = outbox.get()
                pending[on_lane] -= len(outcomes)
        if broken is not None:
            raise broken

    # -- the lane's side

    def collect(self, batch: Batch, outcome: JobOutcome) -> None:
        batch.collected.append(outcome)
        self._dirty.add(batch)

    def _flush(self, hungry: bool) -> bool:
        """Hand on what the lane has collected: when there is enough, when it waited once, when more is wanted."""
        held = False
        for batch in list(self._dirty):
            if hungry or len(batch.collected) >= GROUP or batch.pauses:
                collected, batch.collected, batch.pauses = batch.collected, [], 0
                self._dirty.discard(batch)
                batch.hand_over(collected, True)
            else:
                batch.pauses += 1
                held = True
        return held

    def choose(self, put: _Put) -> None:
        """Which route a small object takes."""
        if self._s3.router is not None:
            decision = self._s3.router.choose(put.bucket, len(put.data))
            put.route, put.reason, put.turn = decision.route, decision.reason, time.monotonic()

    def report(self, put: _Put, result: UploadResult) -> None:
        self._small.done(result.size)
        if self._lane is not None and not self._fixed:
            self._lane.limit = self._small.limit
        if self._s3.router is not None:
            reused, seconds = result.connection.reused, time.monotonic() - put.turn
            self._s3.router.report(put.bucket, put.route, result.size, seconds, reused=reused)

    def long_way(self, put: _Put, error: Exception) -> None:
        """What the lane could not finish goes on along the long way; its attempt is the first there."""
        job = Job(put.data, put.job.bucket, put.job.key, put.job.options, put.job.index)
        sent = 0 if fault_of(error) == "unreachable" else len(put.data)
        begun = Begun(error, put.route, put.reason, sent, put.started)
        work = partial(self.perform, job, begun=begun, info=put.info)
        self._on_thread(put.batch, job, work, True)

    def finish(self, put: _Put, result: UploadResult) -> None:
        """A stored object whose observer has to be told; that may take a while, so not in the lane's thread."""

        def work() -> UploadResult:
            if put.observer is not None and put.info is not None:
                tell_finished(put.observer, put.info, result, None)
            return result

        self._on_thread(put.batch, put.job, work, True)

    # -- one at a time, as futures

    def submit(self, job: Job) -> Future[UploadResult]:
        """Begin a job; waits while MAX_WAITING are unfinished. Raises ConfigError if the client is closed."""
        self._room.acquire()
        return self._begin(job)

    def try_submit(self, job: Job) -> Future[UploadResult] | None:
        """The same, but None where it would have to wait."""
        return self._begin(job) if self._room.acquire(blocking=False) else None

    def _begin(self, job: Job) -> Future[UploadResult]:
        future: Future[UploadResult] = Future()
        future.set_running_or_notify_cancel()  # what was accepted is not taken back
        try:
            self.threads()
            index = next(self._numbers)
            self._futures[index] = future
        except BaseException:
            self._room.release()
            raise
        self.start(Job(job.source, job.bucket, job.key, job.options, index), self._singles)
        return future

    def _resolve(self, outcomes: list[JobOutcome], _small: bool) -> None:
        for outcome in outcomes:
            future = self._futures.pop(outcome.index)
            self._room.release()
            if outcome.error is not None:
                future.set_exception(outcome.error)
            elif outcome.result is not None:
                future.set_result(outcome.result)

    def close(self) -> None:
        """Wait for everything that was begun. May be called again."""
        with self._lock:
            self._closed = True
            threads, self._threads = self._threads, None
        if self._lane is not None:
            self._lane.close()
        if threads is not None:
            threads.shutdown()


class _Put(SmallPut):
    """A small object of a batch. ``turn``: when it came, where routes are measured."""

    __slots__ = ("batch", "engine", "info", "job", "observer", "turn")

    def __init__(
        self, engine: Engine, way: SmallWay, job: Job, batch: Batch, data: bytes, headers: ObjectHeaders
    ):
        super().__init__(way, job.bucket, job.key, data, headers)
        self.engine = engine
        self.job = job
        self.batch = batch
        self.turn = 0.0
        self.observer: Observer | None = None
        self.info: JobInfo | None = None

    @property
    def started(self) -> float:
        return self._started

    def prepare(self, waiting: Sequence[Any] = ()) -> tuple[tuple[str, str], str, list[str], bytes]:
        if self.batch.cancelled:
            raise _cancelled()
        self.engine.choose(self)
        return super().prepare(waiting)

    def stored(self, result: UploadResult) -> None:
        self.engine.report(self, result)
        if self.info is not None:
            self.engine.finish(self, result)
            return
        fields = {
            "index": self.job.index,
            "bucket": self.job.bucket,
            "key": self.job.key,
            "result": result,
            "error": None,
        }
        self.engine.collect(self.batch, fast(JobOutcome, fields))

    def failed(self, error: Exception) -> None:
        self.engine.long_way(self, error)


def _cancelled() -> ConfigError:
    return ConfigError("cancelled before it was begun")


def _failed(job: Job, error: Exception) -> JobOutcome:
    return JobOutcome(job.index, job.bucket, job.key, error=error)


def _outcome(job: Job, work: Callable[[], UploadResult]) -> JobOutcome:
    try:
        return JobOutcome(job.index, job.bucket, job.key, result=work())
    except Exception as error:  # noqa: BLE001 (that is the job's outcome)
        return _failed(job, error)
