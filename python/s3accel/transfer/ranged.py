"""Fetches the pieces of one object, several at a time: each with retries, all of the same state of the object."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from s3accel import checksums
from s3accel.errors import ChecksumMismatch, ObjectChanged, S3Error, TransportError
from s3accel.transfer.attempts import History
from s3accel.transfer.calls import Call, Operation, Stored
from s3accel.transfer.messages import ConnectionInfo, Headers, Response
from s3accel.transfer.objectinfo import ObjectInfo, object_info, range_value
from s3accel.transfer.partfile import PartFile
from s3accel.transfer.pieces import Got, Piece, expected_of, span_of
from s3accel.transfer.progress import AttemptMeter, ProgressTracker
from s3accel.transfer.s3 import S3

__all__ = ["Fetcher", "FileWriter", "MemoryWriter", "Writer", "in_any_order", "in_order"]

T = TypeVar("T")

#: Bytes gathered for one write: libcurl hands over 16 KiB at a time, and a call to the system for each would cost
#: more than the copy.
GATHER = 512 * 1024


class Writer(Protocol):
    """Takes the bytes of one attempt at one piece."""

    def take(self, data: bytes) -> object: ...

    def flush(self) -> None: ...


class FileWriter:
    """To a place in a file, by position."""

    def __init__(self, file: PartFile, offset: int) -> None:
        self._file = file
        self._offset = offset
        self._gathered: list[bytes] = []
        self._size = 0

    def take(self, data: bytes) -> None:
        self._gathered.append(data)
        self._size += len(data)
        if self._size >= GATHER:
            self.flush()

    def flush(self) -> None:
        self._file.write(self._offset, self._gathered)
        self._offset += self._size
        self._gathered, self._size = [], 0


class MemoryWriter:
    """Into memory. ``limit``: a piece that says to be longer is refused."""

    def __init__(self, length: int, limit: int) -> None:
        if length > limit:
            raise TransportError(
                f"a part of {length} bytes does not fit in the buffer of {limit}",
                phase="receive",
                retryable=False,
            )
        self.data = bytearray()
        self.take = self.data.extend

    def flush(self) -> None:
        """Nothing is held back."""


class Stopped(TransportError):
    """The download ended for another reason while this piece was under way."""

    def __init__(self) -> None:
        super().__init__("the download was stopped", phase="receive", retryable=False)


@dataclass
class Fetcher:
    """The requests of one download.

    Attributes:
        info: the object as it was first seen; every answer must be of that ETag.
        algorithm: what digests of pieces are made with; for a whole object in one piece, that of its own checksum.
        answer: what the answer with a whole object said of it.
        headers, query: sent with every request (customer keys, a version).
    """

    s3: S3
    info: ObjectInfo
    algorithm: str
    tracker: ProgressTracker
    headers: tuple[tuple[str, str], ...] = ()
    query: tuple[tuple[str, str], ...] = ()
    route: str = ""
    stop: threading.Event = field(default_factory=threading.Event)
    histories: list[History] = field(default_factory=list)
    connection: ConnectionInfo = field(default_factory=ConnectionInfo)
    answer: ObjectInfo | None = None
    _begun: bool = False
    _failures: list[tuple[Exception, Piece, History]] = field(default_factory=list, repr=False)

    def fetch(self, piece: Piece, writer: Callable[[int, int], Writer]) -> Got:
        """Fetch a piece, attempt by attempt.

        Args:
            writer: called with offset and length at the start of each attempt that is answered; gives what takes its
                bytes. When it is called again, what the earlier one took is void.

        Raises ObjectChanged, ChecksumMismatch, S3Error, TransportError, and what the writer raises.
        """
        history = History()
        self.histories.append(history)
        try:
            return self._fetch(piece, writer, history)
        except Exception as error:
            judged = self._judge(error)
            self._failures.append((judged, piece, history))
            if judged is not error:
                raise judged from error
            raise

    def failure(self, error: BaseException) -> tuple[Piece, History] | None:
        """The piece that ended with this error, and its attempts."""
        return next(((piece, history) for other, piece, history in self._failures if other is error), None)

    def _fetch(self, piece: Piece, writer: Callable[[int, int], Writer], history: History) -> Got:
        attempt: _Attempt | None = None
        whole = not piece.by_part and piece.length == self.info.size

        def sink(headers: Headers) -> Callable[[bytes], object]:
            nonlocal attempt
            self._check_etag(headers.get("etag"))
            offset, length = span_of(piece, headers, self.info.size)
            algorithm = self.algorithm
            if whole:
                self.answer = object_info(self.info.bucket, self.info.key, Response(200, headers))
                expected, _ = expected_of(self.answer)
                algorithm = algorithm if expected is None or expected.composite else expected.name
            attempt = _Attempt(self, writer(offset, length), offset, length, algorithm)
            attempt.stated = headers.get(checksums.lookup(algorithm).header) if piece.by_part else ""
            return attempt.take

        def retried(number: int, reason: str) -> None:
            meter = attempt.meter if attempt is not None else self.tracker.meter(0)
            self.tracker.failed_attempt(meter, part=piece.number, attempt=number, reason=reason)

        items = [("x-amz-checksum-mode", "ENABLED"), ("If-Match", self.info.etag), *self.headers]
        query = list(self.query)
        if piece.by_part:
            query.append(("partNumber", str(piece.number)))
        elif not whole:
            items.append(("Range", range_value(piece.offset, piece.offset + piece.length)))
        # One connection is reported, so the others' handshakes need not be watched.
        watched, self._begun = not self._begun, True
        operation = Operation(
            "GetObject", "GET", self.info.bucket, self.info.key, query, items, sink=sink, watched=watched
        )
        call = Call(
            history,
            on_retry=retried,
            stopped=self.stop.is_set,
            sleep=self._sleep,
            route=self.route,
            movable=whole,  # else other ranges are there already, or on their way
        )
        stored: Stored = self.s3.run(operation, call)
        if attempt is None:
            raise TransportError("the answer had no body to read", phase="receive", retryable=False)
        got = attempt.finish()
        if attempt.stated and attempt.stated != checksums.encode(got.digest):
            raise ChecksumMismatch(
                f"s3://{self.info.bucket}/{self.info.key}: part {piece.number} arrived with another {self.algorithm}"
                f" than S3 says ({attempt.stated}); nothing of it was kept"
            )
        if watched:
            self.connection = stored.response.connection
        self.tracker.part_done(piece.number)
        return got

    def _sleep(self, seconds: float) -> None:
        if self.stop.wait(seconds):
            raise Stopped

    def _check_etag(self, etag: str) -> None:
        if etag != self.info.etag:
            raise self._changed("ObjectChanged", 200, f"its ETag was {self.info.etag}, now it is {etag}")

    def _changed(self, code: str, status: int, why: str) -> ObjectChanged:
        info = self.info
        return ObjectChanged(
            code,
            status,
            f"the object changed while it was read ({why}); nothing of it was kept, read it again",
            operation="GetObject",
            bucket=info.bucket,
            key=info.key,
        )

    def _judge(self, error: Exception) -> Exception:
        """Refusals that mean: this is no longer the object that the download began with."""
        if isinstance(error, S3Error) and not isinstance(error, ObjectChanged):
            if error.status == 412:
                return self._changed(error.code, 412, f"it is no longer the one with ETag {self.info.etag}")
            if error.code in ("NoSuchKey", "NoSuchVersion") or error.status == 404:
                return self._changed(error.code, error.status, "it was deleted")
        return error


class _Attempt:
    """The bytes of one answer on their way to a writer."""

    def __init__(self, fetcher: Fetcher, writer: Writer, offset: int, length: int, algorithm: str) -> None:
        self.stated = ""
        self._stop = fetcher.stop
        self._writer = writer
        self._offset = offset
        self._length = length
        self._received = 0
        self._running = checksums.new(algorithm)
        self.meter: AttemptMeter = fetcher.tracker.meter(length)

    def take(self, data: bytes) -> None:
        if self._stop.is_set():
            raise Stopped
        self._received += len(data)
        if self._received > self._length:
            raise TransportError(
                f"more than the {self._length} bytes came that were announced",
                phase="receive",
                retryable=False,
            )
        self._running.update(data)
        self._writer.take(data)
        self.meter.add(len(data))

    def finish(self) -> Got:
        if self._received != self._length:
            raise TransportError(
                f"the answer ended after {self._received} of {self._length} bytes",
                phase="receive",
                retryable=False,
            )
        self._writer.flush()
        return Got(self._offset, self._length, self._running.digest())


# -- several at a time


def in_any_order(
    pieces: Iterable[Piece], work: Callable[[Piece], object], threads: int, stop: threading.Event
) -> None:
    """``work`` on every piece. The first failure (or Ctrl-C here) stops the others and is raised when they ended."""
    running: set[Future[object]] = set()
    with _crew(threads, stop) as crew:
        for piece in pieces:
            running.add(crew.submit(work, piece))
            if len(running) >= 2 * threads:
                _, running = _ended(running)
        while running:
            _, running = _ended(running)


def in_order(
    pieces: Iterable[Piece], work: Callable[[Piece], T], threads: int, stop: threading.Event
) -> Generator[T, None, None]:
    """What ``work`` made of the pieces, in their order; at most ``threads`` of them are held, fetched or waiting."""
    running: deque[Future[T]] = deque()
    with _crew(threads, stop) as crew:
        for piece in pieces:
            if len(running) >= threads:
                yield running.popleft().result()
            running.append(crew.submit(work, piece))
        while running:
            yield running.popleft().result()


@contextlib.contextmanager
def _crew(threads: int, stop: threading.Event) -> Iterator[ThreadPoolExecutor]:
    crew = ThreadPoolExecutor(threads, "s3accel-range")
    try:
        yield crew
    except BaseException:
        stop.set()
        raise
    finally:
        crew.shutdown(wait=True, cancel_futures=True)


def _ended(running: set[Future[object]]) -> tuple[set[Future[object]], set[Future[object]]]:
    done, left = wait(running, return_when=FIRST_COMPLETED)
    for future in done:
        future.result()
    return done, left
