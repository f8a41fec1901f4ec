"""One upload from source to stored, in the calling thread: over one route, or over the other if that is worth it."""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from s3accel.errors import ConfigError, UploadError
from s3accel.transfer.attempts import describe
from s3accel.transfer.endpoint import validate_key
from s3accel.transfer.headers import ObjectHeaders, object_headers
from s3accel.transfer.hooks import JobInfo, Observer
from s3accel.transfer.progress import ProgressCallback, ProgressTracker
from s3accel.transfer.ranges import FileSource
from s3accel.transfer.results import UploadResult
from s3accel.transfer.s3 import S3
from s3accel.transfer.small import SMALL
from s3accel.transfer.source import Source, open_source
from s3accel.transfer.task import Task
from s3accel.transfer.tries import Tries
from s3accel.transfer.upload import Uploader

__all__ = ["NO_HEADERS", "OPTIONS", "Begun", "Held", "Job", "Performer", "tell_finished"]

log = logging.getLogger("s3accel.transfer")

_NOTHING: Mapping[str, Any] = {}
NO_HEADERS = ObjectHeaders()
#: What ``upload`` and its relatives take beside source, bucket and key.
OPTIONS = frozenset(
    {"content_type", "headers", "job_id", "keep_parts", "metadata", "observer", "progress", "resume"}
)


class Job:
    """One upload as it was asked for."""

    __slots__ = ("bucket", "index", "key", "options", "source")

    def __init__(
        self, source: Any, bucket: str, key: str, options: Mapping[str, Any] = _NOTHING, index: int = 0
    ) -> None:
        self.source = source
        self.bucket = bucket
        self.key = key
        self.options = options
        self.index = index


class Held:
    """Memory that sources of a batch hold while they wait and are sent; small ones are not worth counting."""

    def __init__(self) -> None:
        self.bytes = 0
        self.sizes: dict[int, int] = {}

    def add(self, job: Job) -> None:
        if isinstance(job.source, (bytes, bytearray)) and len(job.source) > SMALL:
            self.sizes[job.index] = len(job.source)
            self.bytes += len(job.source)

    def remove(self, index: int) -> None:
        self.bytes -= self.sizes.pop(index, 0)


class Begun(NamedTuple):
    """An attempt that the lane has made: it counts as the first one.

    ``sent``: bytes that went over ``route`` for it; ``started``: when the upload began, in monotonic time.
    """

    error: Exception
    route: str
    reason: str
    sent: int
    started: float


class Performer:
    """Does single uploads. ``deadline``: seconds for one."""

    def __init__(
        self,
        s3: S3,
        uploader: Uploader,
        progress: ProgressCallback | None,
        observer: Observer | None,
        deadline: float | None,
    ) -> None:
        self._s3 = s3
        self._uploader = uploader
        self._progress = progress
        self._observer = observer
        self._deadline = deadline

    def perform(
        self,
        job: Job,
        *,
        begun: Begun | None = None,
        info: JobInfo | None = None,
        source: Source | None = None,
    ) -> UploadResult:
        """From source to stored. ``info``: it was accepted already.

        Raises what `Client.upload` raises.
        """
        options = job.options
        if "wrong" in options:
            raise options["wrong"]
        unknown = options.keys() - OPTIONS
        if unknown:
            raise ConfigError(f"{sorted(unknown)[0]!r} is no option of an upload")
        validate_key(job.key)
        observer: Observer | None = options.get("observer") or self._observer
        accepted = info is not None
        opened = source
        try:
            if opened is None:
                self._s3.admit(job.bucket, "PutObject")
                headers = self._headers(options)
                opened = open_source(job.source)
            else:
                headers = self._headers(options)
            if observer is not None and not accepted:
                info = self._info(job, opened)
                observer.accepted(info)
                accepted = True
            result = self._tries(job, opened, headers, observer, info, begun)
        except BaseException as error:
            if opened is not None:
                opened.close(consumed=False)
            if observer is not None and accepted and info is not None:
                tell_finished(observer, info, None, error)
            raise
        opened.close(consumed=True)
        if observer is not None and info is not None:
            tell_finished(observer, info, result, None)
        return result

    def _headers(self, options: Mapping[str, Any]) -> ObjectHeaders:
        if not options:
            return NO_HEADERS
        return object_headers(options.get("content_type"), options.get("metadata"), options.get("headers"))

    def _info(self, job: Job, source: Source | None, size: int | None = None) -> JobInfo:
        path = None
        stamp = None
        if isinstance(job.source, (str, os.PathLike)):
            path = os.path.abspath(os.fspath(job.source))
            if isinstance(source, FileSource):
                stamp = source.stamp
        keep = ("content_type", "headers", "metadata")
        return JobInfo(
            id=job.options.get("job_id") or uuid.uuid4().hex,
            bucket=job.bucket,
            key=job.key,
            source=path or (source.name if source is not None else type(job.source).__name__),
            path=path,
            size=source.size if source is not None else size,
            stamp=stamp,
            options={name: job.options[name] for name in keep if job.options.get(name) is not None},
        )

    def _tries(
        self,
        job: Job,
        source: Source,
        headers: ObjectHeaders,
        observer: Observer | None,
        info: JobInfo | None,
        begun: Begun | None,
    ) -> UploadResult:
        """The whole upload over one route, and once more over the other if that is worth it."""
        options = job.options
        tracker = ProgressTracker(options.get("progress") or self._progress, job.bucket, job.key, source.size)
        resume = options.get("resume")
        route, reason = "", ""
        if begun is not None:
            route, reason = begun.route, begun.reason
        elif resume is not None and self._s3.router is not None:
            route = resume.route
        # What comes as a stream may come more slowly than it could be sent, and what the lane began has waited.
        measure = source.rewindable and begun is None
        tries = Tries(self._s3.router, job.bucket, source.size, route=route, reason=reason, measure=measure)
        task = Task(
            source,
            job.bucket,
            job.key,
            headers,
            tracker,
            route=tries.route,
            reason=tries.reason,
            movable=self._s3.router is not None,
            observer=observer,
            info=info,
            resume=resume,
            deadline=None if self._deadline is None else time.monotonic() + self._deadline,
            keep_parts=bool(options.get("keep_parts")),
        )
        if begun is not None:
            task.first, tracker.sent = begun.error, begun.sent
            task.started = tries.started = begun.started
        try:
            result = self._over(task, tries)
        except Exception as error:
            self._tell_failure(tracker, error)
            raise
        tracker.finished()
        return result

    def _over(self, task: Task, tries: Tries) -> UploadResult:
        tracker, before = task.tracker, 0
        try:
            while True:
                try:
                    result = self._uploader.upload(task)
                except UploadError as error:
                    cause = error.__cause__ or error
                    lost = tries.failed(cause, tracker.sent - before, again=task.again)
                    if not lost:
                        raise
                else:
                    tries.done(tracker.sent - before, route=result.route, reused=result.connection.reused)
                    return replace(result, account=tuple(tries.used))
                before = tracker.sent
                self._take_back(tracker)
                task = task.over(tries.route, tries.reason, lost)
        finally:
            if task.parts is not None:
                task.parts.close()

    @staticmethod
    def _take_back(tracker: ProgressTracker) -> None:
        meter = tracker.meter(tracker.done)
        meter.bytes = tracker.done
        tracker.failed_attempt(meter, part=None, attempt=1, reason="the other route is tried")

    @staticmethod
    def _tell_failure(tracker: ProgressTracker, error: Exception) -> None:
        try:
            tracker.failed(describe(error))
        except Exception as second:  # noqa: BLE001
            # The callback fails again, most likely with the exception that ended the upload: that one is reported.
            second.__context__ = error


def tell_finished(
    observer: Observer, info: JobInfo, result: UploadResult | None, error: BaseException | None
) -> None:
    """The upload has ended, whatever the observer says to it."""
    try:
        observer.finished(info, result, error)
    except Exception:
        log.exception("an observer failed to take the outcome of s3://%s/%s", info.bucket, info.key)
