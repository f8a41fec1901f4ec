"""The client: joins the pieces. `Client.upload` is the main job of this package."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from s3accel import checksums
from s3accel.clock import Clock
from s3accel.credentials import Credentials, Provider
from s3accel.errors import ConfigError
from s3accel.signer import DEFAULT_CHUNK_SIZE
from s3accel.streaming import encoded_length
from s3accel.transfer.body import MODES
from s3accel.transfer.download import Target, download
from s3accel.transfer.endpoint import Endpoint, resolve, validate_key
from s3accel.transfer.headers import object_headers
from s3accel.transfer.objectinfo import ObjectInfo
from s3accel.transfer.plan import DEFAULT_MULTIPART_THRESHOLD, MAX_PUT_SIZE, check_part_size
from s3accel.transfer.progress import ProgressCallback, ProgressTracker
from s3accel.transfer.retry import RetryPolicy
from s3accel.transfer.s3 import S3, Site
from s3accel.transfer.s3xml import ObjectSummary
from s3accel.transfer.source import SourceInput, open_source
from s3accel.transfer.transport import CurlTransport, Transport
from s3accel.transfer.upload import Uploader, UploadResult, UploadSettings

__all__ = ["Client", "JobOutcome"]

DEFAULT_CONCURRENCY = 8


@dataclass(frozen=True)
class JobOutcome:
    """How one job of ``upload_many`` ended: exactly one of ``result`` and ``error`` is set.

    ``index`` counts the jobs as they were given, from 0.
    """

    index: int
    bucket: str
    key: str
    result: UploadResult | None = None
    error: Exception | None = None


class Client:
    """Uploads to, and simple calls on, S3 through the accelerated endpoint (or the regional, or another one).

    One client serves many threads and keeps its connections alive; close it, or use it as a context manager.

    Args:
        region: the buckets' region. None: AWS_REGION, AWS_DEFAULT_REGION, else us-east-1; a bucket elsewhere is
            noticed from S3's first answer and remembered.
        credentials: Credentials or a Provider; None: the environment, then botocore's chain if it is installed.
        accelerate: the accelerated host. Custom endpoints need False.
        dualstack: IPv6 and IPv4 host names.
        endpoint_url: ``https://host[:port]`` of another S3.
        path_style: bucket in the path; None: what fits (custom endpoints: in the path).
        connect_to: ``{"host:port": "address:port"}``, where to connect for a host name.
        ca_file: PEM file of the authorities to trust instead of the system's.
        payload: ``"signed-chunks"``, ``"signed"``, ``"unsigned-trailer"``, ``"unsigned"``, or ``"auto"``: signed chunks
            for bodies larger than one chunk, the hash in the header for smaller ones.
        checksum: one of `s3accel.checksums.ALGORITHMS`, or None.
        chunk_size: payload bytes of an aws-chunked frame, 8 KiB to 16 MiB.
        part_size: bytes, 5 MiB to 5 GiB; None: 16 MiB (streams: 8 MiB), more where 10,000 parts would not do.
        multipart_threshold: bytes from which on an object goes in parts.
        max_concurrency: parts in flight, and objects in flight of ``upload_many``.
        allow_http_host: the one host that may be spoken to without TLS; then only signed payload modes.
        retry: how often and how patiently.
        progress: told about every upload; see `ProgressEvent`.
        transport: instead of libcurl; excludes ``connect_to`` and ``ca_file``.
        clock: instead of the process's clock.

    Raises ConfigError (EndpointError) for what cannot go together. Does no I/O.
    """

    def __init__(
        self,
        *,
        region: str | None = None,
        credentials: Credentials | Provider | None = None,
        accelerate: bool = True,
        dualstack: bool = False,
        endpoint_url: str | None = None,
        path_style: bool | None = None,
        connect_to: Mapping[str, str] | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        payload: str = "auto",
        checksum: str | None = "crc64nvme",
        chunk_size: int = DEFAULT_CHUNK_SIZE,
        part_size: int | None = None,
        multipart_threshold: int = DEFAULT_MULTIPART_THRESHOLD,
        max_concurrency: int = DEFAULT_CONCURRENCY,
        allow_http_host: str | None = None,
        retry: RetryPolicy | None = None,
        progress: ProgressCallback | None = None,
        transport: Transport | None = None,
        clock: Clock | Callable[[], float] | None = None,
    ) -> None:
        region = region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        site = Site(region, accelerate, dualstack, endpoint_url, allow_http_host, path_style)
        self._check(site, payload, checksum, chunk_size, multipart_threshold, max_concurrency)
        if transport is not None and (connect_to is not None or ca_file is not None):
            raise ConfigError("connect_to and ca_file belong to the transport; give them to the one you pass")
        self._settings = UploadSettings(
            payload=payload,
            checksum=None if checksum is None else checksums.lookup(checksum).name,
            chunk_size=chunk_size,
            part_size=check_part_size(part_size),
            multipart_threshold=multipart_threshold,
            max_concurrency=max_concurrency,
        )
        self._progress = progress
        self._owns_transport = transport is None
        # Parts and small objects have their own threads, so both at their limit need twice the connections.
        self._transport: Any = transport or CurlTransport(
            ca_file=ca_file, connect_to=connect_to, max_connections=2 * max_concurrency + 4
        )
        self._s3 = S3(self._transport, site, credentials, policy=retry, clock=clock)
        self._uploader = Uploader(self._s3, self._settings, self._part_threads)
        self._lock = threading.Lock()
        self._threads: ThreadPoolExecutor | None = None
        self._closed = False

    @staticmethod
    def _check(
        site: Site, payload: str, checksum: str | None, chunk_size: int, threshold: int, concurrency: int
    ) -> None:
        if payload not in MODES:
            raise ConfigError(f"payload is {payload!r}; it can be one of {', '.join(MODES)}")
        if checksum is not None:
            checksums.new(checksum)  # says what is missing, if anything is, before there is something to lose
        elif payload == "unsigned-trailer":
            raise ConfigError(
                "payload='unsigned-trailer' needs a checksum: the trailer is what protects the body"
            )
        encoded_length(0, chunk_size)
        if not 0 <= threshold <= MAX_PUT_SIZE:
            raise ConfigError(
                f"multipart_threshold is {threshold}; one put holds 0 to {MAX_PUT_SIZE} bytes (5 GiB)"
            )
        if concurrency < 1:
            raise ConfigError(f"max_concurrency is {concurrency}; at least 1 is needed")
        # A name that fits everywhere shows whether the rest can go together at all.
        endpoint = resolve(
            "bucket-name",
            site.region,
            accelerate=site.accelerate,
            dualstack=site.dualstack,
            endpoint_url=site.endpoint_url,
            allow_http_host=site.allow_http_host,
            path_style=site.path_style,
        )
        if endpoint.scheme == "http" and payload.startswith("unsigned"):
            raise ConfigError(
                f"payload={payload!r} over plain HTTP is refused: nothing would protect the data; use 'auto',"
                " 'signed-chunks' or 'signed', or https://"
            )

    def _part_threads(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._closed:
                raise ConfigError("the client is closed")
            if self._threads is None:
                self._threads = ThreadPoolExecutor(self._settings.max_concurrency, "s3accel-part")
            return self._threads

    # -- uploads

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
    ) -> UploadResult:
        """Store ``source`` as ``s3://bucket/key``.

        Args:
            source: a path, bytes, memoryview or mmap, a binary file (from where it stands; left at its end on
                success, where it stood on failure), or an iterator of bytes of unknown length.
            content_type: S3 stores ``binary/octet-stream`` if it is left out.
            metadata: becomes ``x-amz-meta-*``; visible ASCII only.
            headers: further object headers (Cache-Control, x-amz-server-side-encryption, If-None-Match, ...).
            progress: instead of the client's. An exception raised in it ends the upload.

        Raises:
            ConfigError (EndpointError): before anything is sent.
            CredentialsError: there are none.
            SourceError: the source cannot be opened.
            UploadError: anything later; ``__cause__`` is the last error, its text says what state is left.
        """
        validate_key(key)
        self._s3.endpoint(bucket, "PutObject")
        checked = object_headers(content_type, metadata, headers)
        opened = open_source(source)
        tracker = ProgressTracker(progress or self._progress, bucket, key, opened.size)
        return self._uploader.upload(opened, bucket, key, checked, tracker)

    def upload_many(
        self,
        jobs: Iterable[tuple[SourceInput, str, str] | tuple[SourceInput, str, str, Mapping[str, Any]]],
        *,
        concurrency: int | None = None,
        progress: ProgressCallback | None = None,
    ) -> Iterator[JobOutcome]:
        """Upload many objects, several at a time; outcomes come as they are ready, exactly one for each job.

        Args:
            jobs: ``(source, bucket, key)`` or ``(source, bucket, key, options)``, options being keyword arguments of
                ``upload``. Taken only as fast as they are worked on.
            concurrency: objects in flight; the client's ``max_concurrency`` by default.

        Nothing is begun before the first outcome is asked for. An exception of ``jobs`` itself is raised after the
        jobs begun before it have been reported.
        """
        limit = concurrency or self._settings.max_concurrency
        source = iter(jobs)
        running: dict[Future[JobOutcome], None] = {}
        index = 0
        broken: Exception | None = None
        with ThreadPoolExecutor(limit, "s3accel-job") as threads:
            try:
                while True:
                    # One job waits for each that runs, so that no thread is idle while outcomes are looked at.
                    while broken is None and len(running) < 2 * limit:
                        try:
                            job = next(source)
                        except StopIteration:
                            break
                        except Exception as error:  # noqa: BLE001 (raised below, after the outcomes)
                            broken = error
                            break
                        running[threads.submit(self._job, index, job, progress)] = None
                        index += 1
                    if not running:
                        break
                    finished, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in finished:
                        del running[future]
                        yield future.result()
            finally:
                for future in running:
                    future.cancel()
        if broken is not None:
            raise broken

    def _job(self, index: int, job: tuple[Any, ...], progress: ProgressCallback | None) -> JobOutcome:
        bucket = key = ""
        try:
            if len(job) not in (3, 4):
                raise ConfigError(f"job {index} has {len(job)} items; give (source, bucket, key[, options])")
            source, bucket, key = job[:3]
            options: dict[str, Any] = {"progress": progress, **(job[3] if len(job) == 4 else {})}
            return JobOutcome(index, bucket, key, result=self.upload(source, bucket, key, **options))
        except Exception as error:  # noqa: BLE001 (that is the job's outcome)
            return JobOutcome(index, bucket, key, error=error)

    # -- objects

    def head(self, bucket: str, key: str) -> ObjectInfo:
        """Size, ETag, checksums, metadata. Raises NoSuchKey, AccessDenied, S3Error."""
        return self._s3.head_object(bucket, key)

    def get(self, bucket: str, key: str, byte_range: tuple[int, int | None] | None = None) -> bytes:
        """The object's bytes, in memory. ``byte_range``: half-open ``(start, stop)``; stop None: to the end.

        A whole object is checked against its full-object checksum: ChecksumMismatch.
        """
        data = bytearray()

        def sink(_headers: object) -> Callable[[bytes], object]:
            data.clear()
            return data.extend

        self._s3.get_object(bucket, key, sink, byte_range=byte_range)
        return bytes(data)

    def get_to(
        self, bucket: str, key: str, target: Target, byte_range: tuple[int, int | None] | None = None
    ) -> ObjectInfo:
        """The object into a file.

        Args:
            target: a path (written beside it and renamed when it is whole and checked), or a binary file open
                for writing.
        """
        return download(self._s3, bucket, key, target, byte_range)

    def delete(self, bucket: str, key: str) -> None:
        """Delete an object (S3 says success for one that does not exist, too)."""
        self._s3.delete_object(bucket, key)

    def list(self, bucket: str, prefix: str = "", delimiter: str | None = None) -> Iterator[ObjectSummary]:
        """Objects (and with a delimiter, common prefixes) in S3's order, page by page as they are asked for."""
        token = ""
        while True:
            page = self._s3.list_objects(bucket, prefix, delimiter, token)
            yield from page.entries
            token = page.next_token
            if not token:
                return

    def bucket_region(self, bucket: str) -> str:
        """Where the bucket is, asked of S3 (HeadBucket) and remembered for all later requests."""
        return self._s3.head_bucket(bucket)

    def endpoint(self, bucket: str) -> Endpoint:
        """Where requests for the bucket go. No I/O. Raises EndpointError with reason and remedy."""
        return self._s3.endpoint(bucket, "PutObject")

    # -- life

    def close(self) -> None:
        """End the threads (after their parts) and close all connections. May be called again."""
        with self._lock:
            self._closed = True
            threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown()
        if self._owns_transport:
            self._transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        site = self._s3.site
        return (
            f"<Client {site.region} {site.endpoint_url or ('accelerate' if site.accelerate else 'regional')}>"
        )
