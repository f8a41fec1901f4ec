"""One upload from source to stored, in the calling thread: over one route, or over the other if that is worth it."""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from s3accel.errors import ConfigError, EndpointError, S3AccelError, UploadError
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
from s3accel.transfer.upload import Uploader

__all__ = ["NO_HEADERS", "OPTIONS", "Held", "Job", "Performer", "tell_finished"]

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


class Performer:
    """Does single uploads. ``deadline``: seconds for one; ``router``: chooses the route of each, or None."""

    def __init__(
        self,
        s3: S3,
        uploader: Uploader,
        progress: ProgressCallback | None,
        observer: Observer | None,
        router: Any,
        deadline: float | None,
    ) -> None:
        self._s3 = s3
        self._uploader = uploader
        self._progress = progress
        self._observer = observer
        self._router = router
        self._deadline = deadline

    def perform(
        self,
        job: Job,
        *,
        first: Exception | None = None,
        info: JobInfo | None = None,
        route: str = "",
        source: Source | None = None,
    ) -> UploadResult:
        """From source to stored. ``first``: an attempt that the lane has made; ``info``: it was accepted already.

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
                self._endpoint(job.bucket)
                headers = self._headers(options)
                opened = open_source(job.source)
            else:
                headers = self._headers(options)
            if observer is not None and not accepted:
                info = self._info(job, opened)
                observer.accepted(info)
                accepted = True
            result = self._tries(job, opened, headers, observer, info, first, route)
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

    def _endpoint(self, bucket: str) -> None:
        """Refuse before any I/O. With a router only names that no route takes are refused."""
        if self._router is None:
            self._s3.endpoint(bucket, "PutObject")
            return
        try:
            self._s3.endpoint(bucket, "PutObject", "accelerate")
        except EndpointError as error:
            self._s3.endpoint(bucket, "PutObject", "regional")
            self._router.rule_out(bucket, error.reason)

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
        first: Exception | None,
        route: str,
    ) -> UploadResult:
        """The whole upload over one route, and once more over the other if that is worth it."""
        options = job.options
        tracker = ProgressTracker(options.get("progress") or self._progress, job.bucket, job.key, source.size)
        resume = options.get("resume")
        reason = ""
        if self._router is not None and not route:
            route = resume.route if resume is not None else ""
            if not route:
                decision = self._router.choose(job.bucket, source.size)
                route, reason = decision.route, decision.reason
        task = Task(
            source,
            job.bucket,
            job.key,
            headers,
            tracker,
            route=route,
            reason=reason,
            first=first,
            observer=observer,
            info=info,
            resume=resume,
            deadline=None if self._deadline is None else time.monotonic() + self._deadline,
            keep_parts=bool(options.get("keep_parts")),
        )
        try:
            try:
                result = self._try(task)
            except UploadError as error:
                result = self._try_other(task, error)
        except Exception as error:
            self._tell_failure(tracker, error)
            raise
        tracker.finished()
        return result

    def _try(self, task: Task) -> UploadResult:
        started = time.monotonic()
        try:
            result = self._uploader.upload(task)
        except UploadError as error:
            if self._router is not None:
                cause, seconds = error.__cause__ or error, time.monotonic() - started
                self._router.report(task.bucket, task.route, task.tracker.done, seconds, cause)
            raise
        if self._router is not None:
            seconds, reused = time.monotonic() - started, result.connection.reused
            self._router.report(task.bucket, task.route, result.size, seconds, None, reused=reused)
        return result

    def _try_other(self, task: Task, error: UploadError) -> UploadResult:
        """The whole upload again, over the other route, if the router thinks that it would help; else the error."""
        cause = error.__cause__
        other = None
        whole = task.source.rewindable and task.resume is None and not task.keep_parts
        if self._router is not None and whole and isinstance(cause, S3AccelError):
            other = self._router.fallback(task.bucket, task.route, cause)
        if other is None:
            raise error
        self._take_back(task.tracker)
        again = replace(
            task,
            route=other.route,
            reason=other.reason,
            announce=False,
            first=None,
            stop=threading.Event(),
            upload_id=None,
            histories=[],
            mode="",
        )
        result = self._try(again)
        reasons = (
            *error.history,
            f"over the {task.route} route: {describe(cause or error)}",
            *result.retries,
        )
        attempts = sum(history.attempts for history in task.histories) + result.attempts
        return replace(result, retries=reasons, attempts=attempts)

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
