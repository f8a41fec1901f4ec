"""The uploading half of the client: one object, many, as futures, from asyncio."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from concurrent.futures import Future
from typing import Any

from s3accel.errors import ConfigError
from s3accel.transfer.engine import Batch, Engine, Job
from s3accel.transfer.hooks import Observer, Resume
from s3accel.transfer.progress import ProgressCallback
from s3accel.transfer.results import JobOutcome, UploadResult
from s3accel.transfer.source import SourceInput

__all__ = ["Uploads"]

Options = Mapping[str, Any]
_NOTHING: Options = {}


class Uploads:
    """What `Client` can do with an engine."""

    _engine: Engine

    def upload(
        self,
        source: SourceInput,
        bucket: str,
        key: str,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        progress: ProgressCallback | None = None,
        observer: Observer | None = None,
        job_id: str | None = None,
        resume: Resume | None = None,
        keep_parts: bool = False,
    ) -> UploadResult:
        """Store ``source`` as ``s3://bucket/key``.

        Args:
            source: a path, bytes, memoryview or mmap, a binary file (from where it stands; left at its end on
                success, where it stood on failure), or an iterator of bytes of unknown length.
            content_type: S3 stores ``binary/octet-stream`` if it is left out.
            metadata: becomes ``x-amz-meta-*``; visible ASCII only.
            headers: further object headers (Cache-Control, x-amz-server-side-encryption, If-None-Match, ...).
            progress: instead of the client's. An exception raised in it ends the upload.
            observer, job_id: instead of the client's; see `hooks.Observer`.
            resume: a multipart upload to go on with.
            keep_parts: leave the parts of a failed multipart upload where they are.

        Raises:
            ConfigError (EndpointError): before anything is sent.
            CredentialsError: there are none.
            SourceError: the source cannot be opened.
            UploadError: anything later; ``__cause__`` is the last error, its text says what state is left.
        """
        options: dict[str, Any] = {
            "content_type": content_type,
            "metadata": metadata,
            "headers": headers,
            "progress": progress,
            "observer": observer,
            "job_id": job_id,
            "resume": resume,
            "keep_parts": keep_parts,
        }
        return self._engine.perform(Job(source, bucket, key, options))

    # -- many

    def upload_many(
        self,
        jobs: Iterable[tuple[SourceInput, str, str] | tuple[SourceInput, str, str, Options]],
        *,
        concurrency: int | None = None,
        progress: ProgressCallback | None = None,
    ) -> Iterator[JobOutcome]:
        """Upload many objects, several at a time; outcomes come as they are ready, exactly one for each job.

        Args:
            jobs: ``(source, bucket, key)`` or ``(source, bucket, key, options)``, options being keyword arguments of
                ``upload``. Taken only as fast as they are worked on.
            concurrency: objects in flight; None: the client's ``max_concurrency`` for those that take a thread,
                ``small_concurrency`` for those up to 64 KiB.

        Nothing is begun before the first outcome is asked for. An exception of ``jobs`` itself is raised after the
        jobs begun before it have been reported.
        """
        return self._engine.run((_job(*entry, progress=progress) for entry in enumerate(jobs)), concurrency)

    def put_many(
        self,
        items: Iterable[tuple[str, SourceInput] | tuple[str, SourceInput, Options]],
        *,
        bucket: str,
        concurrency: int | None = None,
        progress: ProgressCallback | None = None,
    ) -> Iterator[JobOutcome]:
        """``upload_many`` into one bucket: ``(key, source)`` or ``(key, source, options)``."""
        jobs = (_turned(index, item, bucket, progress) for index, item in enumerate(items))
        return self._engine.run(jobs, concurrency)

    def submit(self, source: SourceInput, bucket: str, key: str, **options: Any) -> Future[UploadResult]:
        """Begin an upload and return at once; the future ends as ``upload`` would.

        ``asyncio.wrap_future`` makes it awaitable. Waits only while 1,024 uploads are unfinished. A future cannot be
        cancelled: what was accepted is done. Its callbacks run in a thread of the engine and must be short.
        """
        return self._engine.submit(Job(source, bucket, key, options))

    # -- asyncio

    async def upload_async(self, source: SourceInput, bucket: str, key: str, **options: Any) -> UploadResult:
        """``upload`` for asyncio: nothing blocks the loop but opening the source."""
        import asyncio  # here: programs without it need not load it

        job = Job(source, bucket, key, options)
        future = self._engine.try_submit(job)
        if future is None:
            future = await asyncio.to_thread(self._engine.submit, job)
        return await asyncio.wrap_future(future)

    async def put_many_async(
        self,
        items: AsyncIterable[Any] | Iterable[Any],
        *,
        bucket: str,
        concurrency: int | None = None,
    ) -> AsyncIterator[JobOutcome]:
        """``put_many`` for asyncio. ``items`` may be asynchronous; they are taken as fast as they are worked on.

        Close the iterator (``contextlib.aclosing``) if it is left early: it waits for what is in flight.
        """
        import asyncio

        loop = asyncio.get_running_loop()
        arrived = asyncio.Event()
        ready: deque[JobOutcome] = deque()
        pending = 0

        def take(outcomes: list[JobOutcome]) -> None:
            ready.extend(outcomes)
            arrived.set()

        def hand_over(outcomes: list[JobOutcome], _small: bool) -> None:
            loop.call_soon_threadsafe(take, outcomes)

        batch = Batch(concurrency or self._engine.limit, hand_over)
        window = 2 * self._engine.widen(concurrency)
        source = _asynchronous(items)
        index = 0
        more = True
        try:
            while more or pending:
                while more and pending < window:
                    try:
                        item = await source.__anext__()
                    except StopAsyncIteration:
                        more = False
                        break
                    pending += 1
                    self._engine.start(_turned(index, item, bucket, None), batch)
                    index += 1
                    if ready:
                        break
                if not pending:
                    break
                if not ready:
                    await arrived.wait()
                arrived.clear()
                while ready:
                    pending -= 1
                    yield ready.popleft()
        finally:
            batch.cancelled = True
            while pending:
                if not ready:
                    arrived.clear()
                    await arrived.wait()
                pending -= len(ready)
                ready.clear()


async def _asynchronous(items: AsyncIterable[Any] | Iterable[Any]) -> AsyncIterator[Any]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item


def _job(index: int, entry: tuple[Any, ...], progress: ProgressCallback | None) -> Job:
    """A job of ``upload_many``; one that is none becomes a job that fails, so that it has an outcome too."""
    if not isinstance(entry, tuple) or len(entry) not in (3, 4):
        return _wrong(index, entry, "(source, bucket, key[, options])")
    return _with(index, entry[0], entry[1], entry[2], entry[3] if len(entry) == 4 else None, progress)


def _turned(index: int, item: tuple[Any, ...], bucket: str, progress: ProgressCallback | None) -> Job:
    if type(item) is tuple and len(item) == 2 and progress is None:
        return Job(item[1], bucket, item[0], _NOTHING, index)
    if not isinstance(item, tuple) or len(item) not in (2, 3):
        return _wrong(index, item, "(key, source[, options])")
    return _with(index, item[1], bucket, item[0], item[2] if len(item) == 3 else None, progress)


def _with(
    index: int, source: Any, bucket: str, key: str, options: Options | None, progress: ProgressCallback | None
) -> Job:
    if options or progress is not None:
        return Job(source, bucket, key, {"progress": progress, **(options or {})}, index)
    return Job(source, bucket, key, _NOTHING, index)


def _wrong(index: int, item: Any, wanted: str) -> Job:
    length = f"{len(item)} items" if isinstance(item, tuple) else type(item).__name__
    return Job(None, "", "", {"wrong": ConfigError(f"job {index} has {length}; give {wanted}")}, index)
