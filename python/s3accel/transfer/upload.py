"""One object, from source to stored: a put, or parts in parallel; and what is said and left when it fails.

On a failure no new parts are begun, those in flight are ended, and only then is the upload aborted: an abort that
races living parts leaves parts behind, stored and billed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, field

from s3accel import checksums
from s3accel.errors import (
    ChecksumMismatch,
    ConfigError,
    CredentialsError,
    S3Error,
    TransportError,
    UploadError,
)
from s3accel.signer import DEFAULT_CHUNK_SIZE
from s3accel.transfer.attempts import History, describe
from s3accel.transfer.body import Payload, choose_mode
from s3accel.transfer.headers import ObjectHeaders
from s3accel.transfer.messages import ConnectionInfo
from s3accel.transfer.plan import DEFAULT_MULTIPART_THRESHOLD, MAX_PARTS, Plan, make_plan
from s3accel.transfer.progress import ProgressTracker
from s3accel.transfer.s3 import S3, Call, Stored
from s3accel.transfer.s3xml import CompletedPart
from s3accel.transfer.source import Source, StreamSource
from s3accel.transfer.streams import StreamParts

__all__ = ["UploadResult", "UploadSettings", "Uploader"]


@dataclass(frozen=True)
class UploadSettings:
    """How objects are sent; see `Client` for the meaning of each."""

    payload: str = "auto"
    checksum: str | None = "crc64nvme"
    chunk_size: int = DEFAULT_CHUNK_SIZE
    part_size: int | None = None
    multipart_threshold: int = DEFAULT_MULTIPART_THRESHOLD
    max_concurrency: int = 8


@dataclass(frozen=True)
class UploadResult:
    """A stored object, and how it got there.

    Attributes:
        size: object bytes.
        checksum, checksum_algorithm: base64 value computed while sending (COMPOSITE ones end in ``-N``), or None.
        parts: 0 for a single put.
        payload_mode: the mode that was used, never ``"auto"``.
        host, kind: where it went (`Endpoint.kind`).
        connection: of the request that made the object.
        attempts: how often bodies were sent: 1 or the number of parts if nothing failed.
        retries: why attempts were repeated.
        seconds: from the call to the last answer.
    """

    bucket: str
    key: str
    etag: str
    version_id: str | None
    size: int
    checksum: str | None
    checksum_algorithm: str | None
    parts: int
    payload_mode: str
    host: str
    kind: str
    connection: ConnectionInfo
    attempts: int
    seconds: float
    retries: tuple[str, ...] = ()


@dataclass
class _Job:
    """One upload under way."""

    source: Source
    bucket: str
    key: str
    headers: ObjectHeaders
    tracker: ProgressTracker
    started: float
    stop: threading.Event = field(default_factory=threading.Event)
    upload_id: str | None = None
    histories: list[History] = field(default_factory=list)
    mode: str = ""

    @property
    def where(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    def history(self) -> History:
        history = History()
        self.histories.append(history)
        return history

    def sleep(self, seconds: float) -> None:
        if self.stop.wait(seconds):
            raise TransportError("the upload was stopped", phase="send", retryable=False)


@dataclass(frozen=True)
class _Stage:
    """What was being done when it failed, for the error's text."""

    what: str
    history: History
    part: int | None = None


@dataclass
class _Running:
    """A part in flight."""

    number: int
    history: History
    release: Callable[[], None]


class Uploader:
    """Uploads over one S3. ``executor`` gives the threads that send parts."""

    def __init__(self, s3: S3, settings: UploadSettings, executor: Callable[[], Executor]) -> None:
        self._s3 = s3
        self._settings = settings
        self._executor = executor

    def upload(
        self, source: Source, bucket: str, key: str, headers: ObjectHeaders, tracker: ProgressTracker
    ) -> UploadResult:
        """Send it all. The source is closed whatever happens.

        Raises ConfigError (EndpointError) before anything is sent, UploadError after that.
        """
        job = _Job(source, bucket, key, headers, tracker, time.monotonic())
        consumed = False
        try:
            try:
                plan = None if source.size is None else self._plan(job, source.size)
                tracker.started()
                result = self._send(job, plan)
                consumed = True
            except (ConfigError, CredentialsError, UploadError) as error:
                self._tell_failure(job, error)
                raise
            except Exception as error:
                self._tell_failure(job, error)
                raise self._error(job, _Stage(f"upload of {job.where}", History(1)), error, None) from error
            tracker.finished()
            return result
        finally:
            source.close(consumed=consumed)

    def _tell_failure(self, job: _Job, error: Exception) -> None:
        try:
            job.tracker.failed(describe(error))
        except Exception as second:  # noqa: BLE001
            # The callback fails again, most likely with the exception that ended the upload: that one is reported.
            second.__context__ = error

    def _plan(self, job: _Job, size: int) -> Plan:
        settings = self._settings
        plan = make_plan(size, part_size=settings.part_size, multipart_threshold=settings.multipart_threshold)
        if plan.multipart:
            self._refuse_content_md5(job)
        return plan

    def _refuse_content_md5(self, job: _Job) -> None:
        if any(name.lower() == "content-md5" for name, _ in job.headers.put):
            raise ConfigError(
                f"Content-MD5 covers a whole body, but {job.where} goes in parts: leave it out (checksum= covers the"
                " whole object) or raise multipart_threshold"
            )

    def _send(self, job: _Job, plan: Plan | None) -> UploadResult:
        if plan is None:
            if not isinstance(job.source, StreamSource):
                raise ConfigError(f"{job.source.name} has no size and is no stream")
            parts = StreamParts(job.source, self._settings.part_size, self._settings.max_concurrency)
            first = parts.first()
            if first is not None:
                return self._put(job, first, first.size or 0)
            self._refuse_content_md5(job)
            return self._multipart(job, parts, None)
        if not plan.multipart:
            return self._put(job, job.source, plan.size)
        return self._multipart(job, None, plan)

    def _payload(self, job: _Job, source: Source, offset: int, length: int) -> Payload:
        settings = self._settings
        mode = choose_mode(settings.payload, length, settings.chunk_size)
        job.mode = job.mode or mode
        return Payload(source, offset, length, mode, settings.checksum, settings.chunk_size, job.stop.is_set)

    # -- one put

    def _put(self, job: _Job, source: Source, size: int) -> UploadResult:
        meter = job.tracker.meter(size)
        call = Call(
            history=job.history(),
            meter=meter,
            on_retry=lambda number, why: job.tracker.failed_attempt(
                meter, part=None, attempt=number, reason=why
            ),
        )
        payload = self._payload(job, source, 0, size)
        try:
            stored = self._s3.put_object(job.bucket, job.key, payload, job.headers.put, call)
        except (ConfigError, CredentialsError):
            raise
        except Exception as error:
            raise self._error(job, _Stage(f"put of {job.where}", call.history), error, None) from error
        meter.complete()
        return self._result(job, stored, size, 0)

    # -- parts

    def _multipart(self, job: _Job, stream: StreamParts | None, plan: Plan | None) -> UploadResult:
        call = Call(history=History())
        try:
            job.upload_id = self._s3.create_multipart(
                job.bucket, job.key, self._settings.checksum, job.headers.create, call
            )
        except (ConfigError, CredentialsError):
            raise
        except Exception as error:
            stage = _Stage(f"starting the multipart upload of {job.where}", call.history)
            raise self._error(job, stage, error, None) from error
        job.tracker.parts = None if plan is None else plan.count
        running: dict[Future[CompletedPart], _Running] = {}
        stage = _Stage(f"upload of {job.where}", History(1))
        try:
            parts = self._send_parts(job, stream, plan, running)
            job.source.check_unchanged()
            job.tracker.parts = len(parts)
            call = Call(history=History())
            stage = _Stage(f"completing {job.where} ({len(parts)} parts)", call.history)
            stored = self._s3.complete_multipart(
                job.bucket, job.key, job.upload_id, parts, self._settings.checksum, job.headers.complete, call
            )
            return self._result(job, stored, sum(part.size for part in parts), len(parts))
        except ChecksumMismatch as error:
            # The object is there already, so there is nothing to abort.
            raise self._error(job, stage, error, None) from error
        except BaseException as error:  # noqa: BLE001
            # An interrupt, too, must not leave parts behind.
            cause = error
            if isinstance(error, _PartFailed):
                total = "" if plan is None else f" of {plan.count}"
                stage = _Stage(f"part {error.number}{total} of {job.where}", error.history, error.number)
                cause = error.cause
            self._settle(job, running)
            aborted, why = self._abort(job)
            if not isinstance(cause, Exception):
                raise cause from cause.__cause__
            raise self._error(job, stage, cause, aborted, why) from cause

    def _send_parts(
        self,
        job: _Job,
        stream: StreamParts | None,
        plan: Plan | None,
        running: dict[Future[CompletedPart], _Running],
    ) -> list[CompletedPart]:
        """Keep ``window`` parts in flight until all are stored. Raises _PartFailed for the first that is not."""
        executor = self._executor()
        done: list[CompletedPart] = []
        for number, source, offset, length, release in _items(job, stream, plan):
            if number > MAX_PARTS:
                release()
                raise ConfigError(
                    f"{job.where}: the stream is longer than {MAX_PARTS} parts; give a larger part_size, or a source"
                    " of known size"
                )
            history = job.history()
            future = executor.submit(self._part, job, number, source, offset, length, history)
            running[future] = _Running(number, history, release)
            while len(running) >= (self._settings.max_concurrency if stream is None else stream.window):
                self._collect(job, running, done)
        while running:
            self._collect(job, running, done)
        return sorted(done, key=lambda part: part.number)

    def _part(
        self, job: _Job, number: int, source: Source, offset: int, length: int, history: History
    ) -> CompletedPart:
        meter = job.tracker.meter(length)
        call = Call(
            history=history,
            meter=meter,
            on_retry=lambda attempt, why: job.tracker.failed_attempt(
                meter, part=number, attempt=attempt, reason=why
            ),
            stopped=job.stop.is_set,
            sleep=job.sleep,
        )
        payload = self._payload(job, source, offset, length)
        upload_id = job.upload_id or ""
        part, _ = self._s3.upload_part(
            job.bucket, job.key, upload_id, number, payload, job.headers.part, call
        )
        meter.complete()
        job.tracker.part_done(number)
        return part

    def _collect(
        self, job: _Job, running: dict[Future[CompletedPart], _Running], done: list[CompletedPart]
    ) -> None:
        finished, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in finished:
            part = running.pop(future)
            part.release()
            error = future.exception()
            if error is not None:
                raise _PartFailed(part.number, part.history, error)
            done.append(future.result())

    def _settle(self, job: _Job, running: dict[Future[CompletedPart], _Running]) -> None:
        """No part begins any more; those in flight end (at the next frame, or with their answer)."""
        job.stop.set()
        for future in running:
            future.cancel()
        wait(running)
        for part in running.values():
            part.release()
        running.clear()

    def _abort(self, job: _Job) -> tuple[bool, str]:
        """Abort, and look whether parts are left (a part that ended during an abort may be: then once more)."""
        upload_id = job.upload_id or ""
        try:
            for _ in range(3):
                self._s3.abort_multipart(job.bucket, job.key, upload_id, job.headers.part)
                try:
                    left = self._s3.list_parts(job.bucket, job.key, upload_id, job.headers.part)
                except (S3Error, TransportError):
                    return (
                        True,
                        "",
                    )  # NoSuchUpload is what should come; no right to list is no reason to doubt
                if not left:
                    return True, ""
        except Exception as error:  # noqa: BLE001 (reported with the error that led here)
            return False, describe(error)
        return False, f"{len(left)} parts are still listed"

    # -- results

    def _result(self, job: _Job, stored: Stored, size: int, parts: int) -> UploadResult:
        name = self._settings.checksum
        return UploadResult(
            bucket=job.bucket,
            key=job.key,
            etag=stored.etag,
            version_id=stored.version_id,
            size=size,
            checksum=stored.checksum or None,
            checksum_algorithm=checksums.lookup(name).name if name and stored.checksum else None,
            parts=parts,
            payload_mode=job.mode,
            host=stored.endpoint.host,
            kind=stored.endpoint.kind,
            connection=stored.response.connection,
            attempts=sum(history.attempts for history in job.histories),
            seconds=time.monotonic() - job.started,
            retries=tuple(reason for history in job.histories for reason in history.reasons),
        )

    def _error(
        self, job: _Job, stage: _Stage, cause: Exception, aborted: bool | None, why: str = ""
    ) -> UploadError:
        tries = max(1, stage.history.attempts)
        text = f"{stage.what} failed after {tries} {'try' if tries == 1 else 'tries'}: {describe(cause)}"
        if stage.history.reasons:
            text += f"; before that: {stage.history.summary()}"
        if aborted:
            text += "; upload aborted, no parts left behind"
        elif aborted is False:
            text += f"; the abort failed too ({why}): parts may be stored and billed under upload id {job.upload_id}"
        elif isinstance(cause, TransportError) and cause.phase == "receive":
            text += "; the answer was lost, so the object may have been stored"
        elif not isinstance(cause, ChecksumMismatch):
            text += "; nothing was stored"
        return UploadError(
            text,
            bucket=job.bucket,
            key=job.key,
            part=stage.part,
            attempts=tries,
            upload_id=job.upload_id,
            aborted=aborted,
        )


class _PartFailed(Exception):
    def __init__(self, number: int, history: History, cause: BaseException) -> None:
        super().__init__(number)
        self.number = number
        self.history = history
        self.cause = cause


def _nothing() -> None:
    return None


def _items(
    job: _Job, stream: StreamParts | None, plan: Plan | None
) -> Iterator[tuple[int, Source, int, int, Callable[[], None]]]:
    """Number, source, offset, length and what to call when the part is done, for every part in order."""
    if stream is not None:
        for number, source, release in stream.parts():
            yield number, source, 0, source.size or 0, release
    elif plan is not None:
        for part in plan.parts():
            yield part.number, job.source, part.offset, part.length, _nothing
