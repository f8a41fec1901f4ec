"""One object, from source to stored: a put, or parts in parallel; and what is said and left when it fails.

On a failure no new parts are begun, those in flight are ended, and only then is the upload aborted: an abort that
races living parts leaves parts behind, stored and billed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass

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
from s3accel.transfer.limits import SEND_COST, Adaptive, MemoryBudget
from s3accel.transfer.plan import DEFAULT_MULTIPART_THRESHOLD, MAX_PARTS, Plan, make_plan
from s3accel.transfer.results import UploadResult
from s3accel.transfer.route import fault_of
from s3accel.transfer.routepolicy import other_route
from s3accel.transfer.s3 import S3, Call, Stored
from s3accel.transfer.s3xml import CompletedPart
from s3accel.transfer.source import Source, StreamSource
from s3accel.transfer.streams import StreamParts
from s3accel.transfer.task import PartFailed, Running, Stage, Task, check_resume, upload_error

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


class Uploader:
    """Uploads over one S3. ``executor`` gives the threads that send parts."""

    def __init__(
        self,
        s3: S3,
        settings: UploadSettings,
        executor: Callable[[], Executor],
        budget: MemoryBudget,
        parts: Adaptive,
    ) -> None:
        self._s3 = s3
        self._settings = settings
        self._executor = executor
        self._budget = budget
        self._parts = parts

    def upload(self, task: Task) -> UploadResult:
        """Send it all.

        Raises ConfigError (EndpointError) before anything is sent, UploadError after that, and what the progress
        callback raises inside of that.
        """
        try:
            plan = None if task.source.size is None else self._plan(task, task.source.size)
            if task.announce:
                task.tracker.started()
            return self._send(task, plan)
        except (ConfigError, CredentialsError, UploadError):
            raise
        except Exception as error:
            raise upload_error(task, Stage(f"upload of {task.where}", History(1)), error, None) from error

    def _plan(self, task: Task, size: int) -> Plan:
        settings = self._settings
        if task.resume is not None:
            plan = make_plan(size, part_size=task.resume.part_size, multipart_threshold=0)
            check_resume(task, plan)
        else:
            plan = make_plan(
                size, part_size=settings.part_size, multipart_threshold=settings.multipart_threshold
            )
        if plan.multipart:
            self._refuse_content_md5(task)
        return plan

    def _refuse_content_md5(self, task: Task) -> None:
        if any(name.lower() == "content-md5" for name, _ in task.headers.put):
            raise ConfigError(
                f"Content-MD5 covers a whole body, but {task.where} goes in parts: leave it out (checksum= covers the"
                " whole object) or raise multipart_threshold"
            )

    def _send(self, task: Task, plan: Plan | None) -> UploadResult:
        if plan is None:
            if not isinstance(task.source, StreamSource):
                raise ConfigError(f"{task.source.name} has no size and is no stream")
            if task.resume is not None:
                raise ConfigError(f"{task.where}: a stream cannot be resumed, its first parts are gone")
            if task.parts is None:
                task.parts = StreamParts(
                    task.source, self._settings.part_size, self._settings.max_concurrency, self._budget
                )
            first = task.parts.first()
            if first is not None:
                return self._put(task, first, first.size or 0, charged=True)
            self._refuse_content_md5(task)
            return self._multipart(task, task.parts, None)
        if not plan.multipart:
            return self._put(task, task.source, plan.size)
        return self._multipart(task, None, plan)

    def _payload(self, task: Task, source: Source, offset: int, length: int) -> Payload:
        settings = self._settings
        mode = choose_mode(settings.payload, length, settings.chunk_size)
        task.mode = task.mode or mode
        return Payload(source, offset, length, mode, settings.checksum, settings.chunk_size, task.stop.is_set)

    # -- one put

    def _put(self, task: Task, source: Source, size: int, *, charged: bool = False) -> UploadResult:
        meter = task.tracker.meter(size)
        call = Call(
            history=task.history(),
            meter=meter,
            on_retry=lambda number, why: task.tracker.failed_attempt(
                meter, part=None, attempt=number, reason=why
            ),
            route=task.route,
            movable=task.again,
            deadline=task.deadline,
            first=task.first,
        )
        payload = self._payload(task, source, 0, size)
        taken = 0 if charged or size <= self._settings.chunk_size else self._budget.take(SEND_COST)
        try:
            stored = self._s3.put_object(task.bucket, task.key, payload, task.headers.put, call)
        except (ConfigError, CredentialsError):
            raise
        except Exception as error:
            raise upload_error(task, Stage(f"put of {task.where}", call.history), error, None) from error
        finally:
            self._budget.give(taken)
        meter.complete()
        return self._result(task, stored, size, 0)

    # -- parts

    def _multipart(self, task: Task, stream: StreamParts | None, plan: Plan | None) -> UploadResult:
        upload_id = task.upload_id = self._create(task) if task.resume is None else task.resume.upload_id
        task.tracker.parts = None if plan is None else plan.count
        running: dict[Future[CompletedPart], Running] = {}
        stage = Stage(f"upload of {task.where}", History(1))
        try:
            if task.resume is None:
                self._tell_created(task, 0 if plan is None else plan.part_size)
            parts = self._send_parts(task, stream, plan, running)
            task.source.check_unchanged()
            task.tracker.parts = len(parts)
            call = Call(history=task.history(), route=task.route, deadline=task.deadline)
            stage = Stage(f"completing {task.where} ({len(parts)} parts)", call.history)
            stored = self._s3.complete_multipart(
                task.bucket,
                task.key,
                upload_id,
                parts,
                self._settings.checksum,
                task.headers.complete,
                call,
            )
            return self._result(task, stored, sum(part.size for part in parts), len(parts))
        except ChecksumMismatch as error:
            # The object is there already, so there is nothing to abort.
            raise upload_error(task, stage, error, None) from error
        except BaseException as error:  # noqa: BLE001
            # An interrupt, too, must not leave parts behind.
            cause = error
            if isinstance(error, PartFailed):
                total = "" if plan is None else f" of {plan.count}"
                stage = Stage(f"part {error.number}{total} of {task.where}", error.history, error.number)
                cause = error.cause
            self._settle(task, running)
            kept = task.kept = self._keep(task, cause)
            aborted, why = (None, "") if kept else self._abort(task)
            if not isinstance(cause, Exception):
                raise cause from cause.__cause__
            raise upload_error(task, stage, cause, aborted, why, kept) from cause

    def _create(self, task: Task) -> str:
        call = Call(history=task.history(), route=task.route, movable=task.again, deadline=task.deadline)
        try:
            return self._s3.create_multipart(
                task.bucket, task.key, self._settings.checksum, task.headers.create, call
            )
        except (ConfigError, CredentialsError):
            raise
        except Exception as error:
            stage = Stage(f"starting the multipart upload of {task.where}", call.history)
            raise upload_error(task, stage, error, None) from error

    def _tell_created(self, task: Task, part_size: int) -> None:
        upload_id, checksum, route = task.upload_id or "", self._settings.checksum, task.route
        task.tell(lambda who, info: who.multipart_created(info, upload_id, part_size, checksum, route))

    def _keep(self, task: Task, error: BaseException) -> bool:
        if task.keep_parts:
            return True
        return bool(task.tell(lambda who, info: who.keep(info, error)))

    def _send_parts(
        self,
        task: Task,
        stream: StreamParts | None,
        plan: Plan | None,
        running: dict[Future[CompletedPart], Running],
    ) -> list[CompletedPart]:
        """Keep ``window`` parts in flight until all are stored. Raises PartFailed for the first that is not."""
        executor = self._executor()
        done: list[CompletedPart] = []
        known = task.resume.parts if task.resume is not None else {}
        items = _items(task, stream, plan)
        number = 0
        while True:
            # A stream that finds no room for another buffer waits for one of its own parts to end.
            while running and stream is not None and not stream.ready(number + 1):
                self._collect(task, running, done)
            item = next(items, None)
            if item is None:
                break
            number, source, offset, length, release = item
            if number in known:
                done.append(known[number])
                task.tracker.moved(length, before=True)
                task.resumed += 1
                continue
            if number > MAX_PARTS:
                release()
                raise ConfigError(
                    f"{task.where}: the stream is longer than {MAX_PARTS} parts; give a larger part_size, or a source"
                    " of known size"
                )
            history = task.history()
            charge = 0 if stream is not None else SEND_COST
            future = executor.submit(self._part, task, number, source, offset, length, history, charge)
            running[future] = Running(number, history, release)
            while len(running) >= self._window(stream):
                self._collect(task, running, done)
        while running:
            self._collect(task, running, done)
        return sorted(done, key=lambda part: part.number)

    def _window(self, stream: StreamParts | None) -> int:
        return self._parts.limit if stream is None else min(self._parts.limit, stream.window)

    def _part(
        self,
        task: Task,
        number: int,
        source: Source,
        offset: int,
        length: int,
        history: History,
        charge: int,
    ) -> CompletedPart:
        meter = task.tracker.meter(length)
        call = Call(
            history=history,
            meter=meter,
            on_retry=lambda attempt, why: task.tracker.failed_attempt(
                meter, part=number, attempt=attempt, reason=why
            ),
            stopped=task.stop.is_set,
            sleep=task.sleep,
            route=task.route,
            deadline=task.deadline,
        )
        payload = self._payload(task, source, offset, length)
        upload_id = task.upload_id or ""
        taken = self._budget.take(charge)
        try:
            part, _ = self._s3.upload_part(
                task.bucket, task.key, upload_id, number, payload, task.headers.part, call
            )
        finally:
            self._budget.give(taken)
        self._parts.done(length)
        task.tell(lambda who, info: who.part_stored(info, part))
        meter.complete()
        task.tracker.part_done(number)
        return part

    def _collect(
        self, task: Task, running: dict[Future[CompletedPart], Running], done: list[CompletedPart]
    ) -> None:
        finished, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in finished:
            part = running.pop(future)
            part.release()
            error = future.exception()
            if error is not None:
                raise PartFailed(part.number, part.history, error)
            done.append(future.result())

    def _settle(self, task: Task, running: dict[Future[CompletedPart], Running]) -> None:
        """No part begins any more; those in flight end (at the next frame, or with their answer)."""
        task.stop.set()
        for future in running:
            future.cancel()
        wait(running)
        for part in running.values():
            part.release()
        running.clear()

    def _abort(self, task: Task) -> tuple[bool, str]:
        """Abort, over the other route if that of the upload is lost. False and why, if parts may be left."""
        try:
            return self._abort_over(task, task.route)
        except Exception as error:  # noqa: BLE001 (reported with the error that led here)
            why = describe(error)
            if self._s3.router is None or not fault_of(error):
                return False, why
        try:
            return self._abort_over(task, other_route(task.route))
        except Exception as error:  # noqa: BLE001
            return False, f"{why}; over the other route: {describe(error)}"

    def _abort_over(self, task: Task, route: str) -> tuple[bool, str]:
        """Abort, and look whether parts are left (a part that ended during an abort may be: then once more)."""
        where = (task.bucket, task.key, task.upload_id or "", task.headers.part)
        for _ in range(3):
            self._s3.abort_multipart(*where, Call(route=route, movable=route == task.route))
            try:
                left = self._s3.list_parts(*where, Call(route=route))
            except (S3Error, TransportError):
                # NoSuchUpload is what should come; no right to list is no reason to doubt.
                return True, ""
            if not left:
                return True, ""
        return False, f"{len(left)} parts are still listed"

    # -- results

    def _result(self, task: Task, stored: Stored, size: int, parts: int) -> UploadResult:
        name = self._settings.checksum
        return UploadResult(
            bucket=task.bucket,
            key=task.key,
            etag=stored.etag,
            version_id=stored.version_id,
            size=size,
            checksum=stored.checksum or None,
            checksum_algorithm=checksums.lookup(name).name if name and stored.checksum else None,
            parts=parts,
            payload_mode=task.mode,
            host=stored.endpoint.host,
            kind=stored.endpoint.kind,
            connection=stored.response.connection,
            seconds=time.monotonic() - task.started,
            retries=tuple(reason for history in task.histories for reason in history.reasons),
            route_reason=task.reason,
            request_id=stored.response.headers.get("x-amz-request-id"),
            resumed=task.resumed,
        )


def _nothing() -> None:
    return None


def _items(
    task: Task, stream: StreamParts | None, plan: Plan | None
) -> Iterator[tuple[int, Source, int, int, Callable[[], None]]]:
    """Number, source, offset, length and what to call when the part is done, for every part in order."""
    if stream is not None:
        for number, source, release in stream.parts():
            yield number, source, 0, source.size or 0, release
    elif plan is not None:
        for part in plan.parts():
            yield part.number, task.source, part.offset, part.length, _nothing
