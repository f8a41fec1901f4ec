"""One object from S3 to a file or a stream: asked for in parallel ranges, checked as a whole, or not there at all."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from s3accel import checksums
from s3accel.errors import ChecksumMismatch, DownloadError, ObjectChanged, S3AccelError
from s3accel.transfer.attempts import History, describe
from s3accel.transfer.calls import Call, Operation
from s3accel.transfer.fetched import DownloadSettings, Verification, verify
from s3accel.transfer.objectinfo import ObjectInfo, object_info
from s3accel.transfer.partfile import Identity, PartFile, left_over
from s3accel.transfer.pieces import OWN_ALGORITHM, Expected, Got, Piece, Pieces, expected_of
from s3accel.transfer.progress import ProgressCallback, ProgressTracker
from s3accel.transfer.ranged import (
    Fetcher,
    FileWriter,
    MemoryWriter,
    in_any_order,
    in_order,
)
from s3accel.transfer.results import DownloadResult
from s3accel.transfer.s3 import S3
from s3accel.transfer.s3xml import ObjectSummary

__all__ = ["Download", "Wanted"]


@dataclass
class Wanted:
    """What is to be fetched, over one route.

    Attributes:
        histories: of every call of the download, on all routes, in order.
        tracker: of the try under way; None before the object was found.
    """

    bucket: str
    key: str
    headers: tuple[tuple[str, str], ...]
    query: tuple[tuple[str, str], ...]
    settings: DownloadSettings
    callback: ProgressCallback | None
    known: ObjectSummary | None = None
    route: str = ""
    reason: str = ""
    started: float = field(default_factory=time.monotonic)
    begun: bool = False
    histories: list[History] = field(default_factory=list)
    tracker: ProgressTracker | None = None

    @property
    def where(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    def take_moved(self) -> int:
        """Bytes that went over the wire since this was asked last."""
        tracker, self.tracker = self.tracker, None
        return 0 if tracker is None else tracker.sent


class Download:
    """One try over one route."""

    def __init__(self, s3: S3, wanted: Wanted) -> None:
        self._s3 = s3
        self._wanted = wanted
        self._settings = wanted.settings
        info, parts, step = self._look()
        self._info = info
        self._whole = not parts and info.size <= wanted.settings.part_size
        self._pieces = (
            Pieces(info.size, step, parts) if parts else Pieces.plan(info.size, wanted.settings.part_size)
        )
        self._expected, self._why = expected_of(info)
        self._tracker = wanted.tracker = ProgressTracker(
            wanted.callback, wanted.bucket, wanted.key, info.size
        )
        self._tracker.parts = self._pieces.count
        self._fetcher = Fetcher(
            s3,
            info,
            self._algorithm(),
            self._tracker,
            wanted.headers,
            wanted.query,
            wanted.route,
            histories=wanted.histories,
        )

    def _started(self, resumed: int = 0) -> None:
        if not self._wanted.begun:
            self._wanted.begun = True
            self._tracker.started()
        self._tracker.moved(resumed, before=True)

    def _algorithm(self) -> str:
        expected = self._expected
        if expected is not None and (expected.combinable or (expected.composite and self._pieces.parts)):
            return expected.name
        return OWN_ALGORITHM

    # -- what it is

    def _look(self) -> tuple[ObjectInfo, int, int]:
        """The object, and if its checksum is one of its parts, how many there are and how long the first is."""
        wanted = self._wanted
        known = wanted.known
        if known is not None and known.size <= self._settings.part_size:
            info = ObjectInfo(
                wanted.bucket, wanted.key, known.size, known.etag, None, known.last_modified, "", {}, {}, ""
            )
            return info, 0, 0
        info = self._ask(())
        expected, _ = expected_of(info)
        if expected is None or not expected.composite or not expected.parts:
            return info, 0, 0
        answer = self._ask((("partNumber", "1"),), parts=True)
        # HeadObject of one part: its length, and how many there are in all.
        count, length = answer
        return info, count if count == expected.parts else 0, length

    def _ask(self, query: tuple[tuple[str, str], ...], *, parts: bool = False) -> Any:
        wanted = self._wanted
        headers = [("x-amz-checksum-mode", "ENABLED"), *wanted.headers]
        operation = Operation(
            "HeadObject", "HEAD", wanted.bucket, wanted.key, [*wanted.query, *query], headers
        )
        history = History()
        wanted.histories.append(history)
        # Nothing has moved yet, so another route costs nothing.
        call = Call(history, route=wanted.route, movable=True)
        response = self._s3.run(operation, call).response
        if not parts:
            return object_info(wanted.bucket, wanted.key, response)
        numbers = [response.headers.get(name) for name in ("x-amz-mp-parts-count", "content-length")]
        count, length = (int(text) if text.isdigit() else 0 for text in numbers)
        return (count, length) if count and length else (0, 0)

    # -- to a file

    def to_file(self, path: str) -> DownloadResult:
        info = self._info
        identity = Identity(
            info.bucket,
            info.key,
            info.etag,
            info.size,
            self._fetcher.algorithm,
            bool(self._pieces.parts),
            self._pieces.step,
        )
        keep = self._settings.resume and (not self._whole or left_over(path))
        file = PartFile(path, identity, resume=keep)
        resumed = file.kept
        self._whole = self._whole and not resumed
        try:
            file.allocate()
            pieces = Pieces(info.size, file.identity.step, self._pieces.parts)
            self._tracker.parts = pieces.count
            self._started(resumed)
            todo = [piece for piece in pieces if piece.number not in file.done]
            self._fill(file, todo)
            verified = self._verify(
                pieces, file.done, lambda _: file.read(0, info.size), "the file was not made"
            )
            file.commit(fsync=self._settings.fsync)
        except BaseException as error:
            wrapped = self._failed(error, path, file=file)
            if wrapped is None:
                raise
            raise wrapped from error
        return self._result(path, verified, len(todo), resumed)

    def _fill(self, file: PartFile, todo: list[Piece]) -> None:
        lock = threading.Lock()

        def work(piece: Piece) -> None:
            got = self._fetcher.fetch(piece, lambda offset, _: FileWriter(file, offset))
            with lock:
                file.record(piece.number, got)

        if len(todo) == 1:
            work(todo[0])
        else:
            threads = max(1, min(self._settings.concurrency, len(todo)))
            in_any_order(todo, work, threads, self._fetcher.stop)

    # -- to a stream

    def to_stream(self, file: Any) -> DownloadResult:
        info, limit = self._info, self._settings.memory_limit
        pieces = self._pieces
        if pieces.parts and 2 * info.size > limit:
            # How long a part is, its answer says; buffers for them have no other bound than the object.
            pieces = Pieces.plan(info.size, self._settings.part_size)
        if not pieces.parts:
            pieces = Pieces(info.size, self._settings.part_size)  # a stream may have more than 10,000 of them
        room = info.size if pieces.parts else pieces.step
        # One more than are fetched is held while it is written.
        threads = max(1, min(self._settings.concurrency, limit // max(1, pieces.step) - 1, pieces.count))
        got: dict[int, Got] = {}
        written = 0

        def work(piece: Piece) -> tuple[Piece, Got, bytearray]:
            buffers: list[MemoryWriter] = []

            def writer(_offset: int, length: int) -> MemoryWriter:
                buffers[:] = [MemoryWriter(length, room)]
                return buffers[0]

            found = self._fetcher.fetch(piece, writer)
            return piece, found, buffers[0].data

        ordered = _InOrder(self._expected, pieces)
        try:
            self._started()
            arriving = (
                (work(piece) for piece in pieces)
                if pieces.count == 1
                else in_order(pieces, work, threads, self._fetcher.stop)
            )
            with contextlib.closing(arriving):
                for piece, found, data in arriving:
                    got[piece.number] = found
                    ordered.update(data)
                    if pieces.count == 1:
                        verified = self._verify(pieces, got, ordered.digest, "nothing was written")
                    _write(file, data)
                    written += len(data)
            if pieces.count > 1:
                verified = self._verify(
                    pieces, got, ordered.digest, f"discard the {written} bytes that were written"
                )
        except Exception as error:
            wrapped = self._failed(error, "", written=written)
            if wrapped is None:
                raise
            raise wrapped from error
        return self._result("", verified, pieces.count, 0)

    # -- the end

    def _verify(
        self, pieces: Pieces, got: Mapping[int, Got], whole: Callable[[str], Any], spoilt: str
    ) -> Verification:
        expected, why = self._expected, self._why
        if self._fetcher.answer is not None:
            self._info = self._fetcher.answer
            expected, why = expected_of(self._info)
        return verify(self._info, expected, why, pieces, got, whole, spoilt)

    def _failed(
        self, error: BaseException, path: str, *, file: PartFile | None = None, written: int = 0
    ) -> DownloadError | None:
        """Tidy up beside the target. Returns the error that says what is left, or None if the cause says it all."""
        final = isinstance(error, (ChecksumMismatch, ObjectChanged))
        kept = 0
        if file is not None and final:
            file.discard()
        elif file is not None:
            kept = file.leave()
        wanted = self._wanted
        if wanted.known is None or not isinstance(error, ObjectChanged):
            self._tracker.failed(describe(error))
        if final or (self._whole and not written) or not isinstance(error, (S3AccelError, OSError)):
            return None
        text, tries = f"{wanted.where} -> {path or 'stream'}: ", 1
        failure = self._fetcher.failure(error)
        if failure is not None:
            piece, history = failure
            tries = max(1, history.attempts)
            text += f"the range from byte {piece.offset} failed after {tries} {'try' if tries == 1 else 'tries'}: "
        text += describe(error)
        size = self._info.size
        if kept:
            text += f"; {kept} of {size} bytes are kept beside the target, the same call goes on from there"
        elif written:
            text += f"; {written} of {size} bytes were written, discard them"
        else:
            text += "; nothing of it was kept"
        return DownloadError(
            text,
            bucket=wanted.bucket,
            key=wanted.key,
            target=path,
            attempts=tries,
            kept=kept,
            written=written,
        )

    def _result(self, path: str, verified: Verification, ranges: int, resumed: int) -> DownloadResult:
        self._tracker.finished()
        wanted, info = self._wanted, self._info
        endpoint = self._s3.endpoint(wanted.bucket, "GetObject", wanted.route)
        return DownloadResult(
            bucket=wanted.bucket,
            key=wanted.key,
            target=path,
            size=info.size,
            etag=info.etag,
            version_id=info.version_id,
            info=info,
            verified=verified.verified,
            checksum=verified.value,
            checksum_algorithm=verified.name,
            verification=verified.text,
            ranges=ranges,
            resumed=resumed,
            host=endpoint.host,
            kind=endpoint.kind,
            connection=self._fetcher.connection,
            seconds=time.monotonic() - wanted.started,
            retries=tuple(reason for history in wanted.histories for reason in history.reasons),
            route_reason=wanted.reason,
        )


class _InOrder:
    """The digest of a stream, where it does not follow from those of its ranges."""

    def __init__(self, expected: Expected | None, pieces: Pieces) -> None:
        needed = expected is not None and not expected.composite and not expected.combinable
        self._running = (
            checksums.new(expected.name) if expected is not None and needed and pieces.count > 1 else None
        )

    def update(self, data: bytearray) -> None:
        if self._running is not None:
            self._running.update(data)

    def digest(self, _name: str) -> bytes:
        return b"" if self._running is None else self._running.digest()


def _write(file: Any, data: bytearray) -> None:
    """All of it: a raw file may take less than it is given."""
    view = memoryview(data)
    while view:
        count = file.write(view)
        if count is None:
            return
        view = view[count:]
