"""The client: joins the pieces. `Client.upload` is the main job of this package."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from s3accel import checksums
from s3accel.clock import Clock
from s3accel.credentials import Credentials, Provider
from s3accel.errors import ConfigError
from s3accel.signer import DEFAULT_CHUNK_SIZE
from s3accel.streaming import encoded_length
from s3accel.transfer.body import MODES
from s3accel.transfer.calls import EXPECT_ABOVE
from s3accel.transfer.download import Target, download
from s3accel.transfer.downloads import Downloads
from s3accel.transfer.endpoint import Endpoint, resolve
from s3accel.transfer.engine import Engine
from s3accel.transfer.hooks import Observer
from s3accel.transfer.limits import DEFAULT_MEMORY, Adaptive, MemoryBudget
from s3accel.transfer.objectinfo import ObjectInfo
from s3accel.transfer.plan import DEFAULT_MULTIPART_THRESHOLD, MAX_PUT_SIZE, check_part_size
from s3accel.transfer.progress import ProgressCallback
from s3accel.transfer.results import JobOutcome
from s3accel.transfer.retry import RetryPolicy
from s3accel.transfer.route import Router
from s3accel.transfer.s3 import S3, Site
from s3accel.transfer.s3xml import ObjectSummary
from s3accel.transfer.small import SmallWay
from s3accel.transfer.transport import CurlTransport, Transport
from s3accel.transfer.upload import Uploader, UploadSettings
from s3accel.transfer.uploads import Uploads

__all__ = ["Client", "JobOutcome"]

DEFAULT_CONCURRENCY = 32
#: Parts or objects in flight at first; more while that makes things faster.
START_CONCURRENCY = 8
DEFAULT_SMALL_CONCURRENCY = 64

_ROUTES = {"always": True, "never": False, "auto": True}


class Client(Uploads, Downloads):
    """Uploads to, and simple calls on, S3 through the accelerated endpoint (or the regional, or another one).

    One client serves many threads and keeps its connections alive; close it, or use it as a context manager.

    Args:
        region: the buckets' region. None: AWS_REGION, AWS_DEFAULT_REGION, else us-east-1; a bucket elsewhere is
            noticed from S3's first answer and remembered.
        credentials: Credentials or a Provider; None: the environment, then botocore's chain if it is installed.
        accelerate: True or "always": the accelerated host; False or "never": the regional one; "auto": whichever
            is faster, measured per bucket (`Router`). Custom endpoints need False.
        router: the one to ask with "auto", to share what it learns among clients.
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
        max_concurrency: parts in flight, and objects in flight of ``upload_many``, at most. It begins with 8, grows
            while that makes things faster and falls when S3 says SlowDown or requests time out.
        small_concurrency: the same for objects of up to 64 KiB.
        memory_limit: bytes that buffers and bodies in flight hold together, whatever the sizes; at least 32 MiB.
        bandwidth_limit: bytes a second that all uploads together may send; can be changed while they run. Downloads are
            not held back.
        expect_above: bytes of body above which the server is asked first (Expect: 100-continue), which costs a round
            trip and saves sending what is refused; None: never.
        allow_http_host: the one host that may be spoken to without TLS; then only signed payload modes.
        retry: how often and how patiently.
        progress: told about every upload; see `ProgressEvent`.
        observer: told about every step; see `hooks.Observer`.
        transport: instead of libcurl; excludes ``connect_to`` and ``ca_file``.
        clock: instead of the process's clock.

    Raises ConfigError (EndpointError) for what cannot go together. Does no I/O.
    """

    def __init__(
        self,
        *,
        region: str | None = None,
        credentials: Credentials | Provider | None = None,
        accelerate: bool | str = True,
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
        small_concurrency: int = DEFAULT_SMALL_CONCURRENCY,
        memory_limit: int = DEFAULT_MEMORY,
        bandwidth_limit: float | None = None,
        expect_above: int | None = EXPECT_ABOVE,
        allow_http_host: str | None = None,
        retry: RetryPolicy | None = None,
        progress: ProgressCallback | None = None,
        observer: Observer | None = None,
        router: Router | None = None,
        transport: Transport | None = None,
        clock: Clock | Callable[[], float] | None = None,
    ) -> None:
        region = region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        accelerated = _accelerated(accelerate)
        if accelerate == "auto":
            router = router or Router()
        elif router is not None:
            raise ConfigError("a router chooses only with accelerate='auto'")
        if accelerate == "auto" and endpoint_url is not None:
            raise ConfigError("a custom endpoint has one route only: use accelerate=False with endpoint_url")
        site = Site(region, accelerated, dualstack, endpoint_url, allow_http_host, path_style)
        self._budget = MemoryBudget(memory_limit)
        self._check(site, payload, checksum, chunk_size, multipart_threshold, max_concurrency)
        if transport is not None and (connect_to is not None or ca_file is not None):
            raise ConfigError("connect_to and ca_file belong to the transport; give them to the one you pass")
        self.settings = UploadSettings(
            payload=payload,
            checksum=None if checksum is None else checksums.lookup(checksum).name,
            chunk_size=chunk_size,
            part_size=check_part_size(part_size),
            multipart_threshold=multipart_threshold,
            max_concurrency=max_concurrency,
        )
        self._owns_transport = transport is None
        # Parts and small objects have their own threads, so both at their limit need twice the connections.
        self._transport: Any = transport or CurlTransport(
            ca_file=ca_file, connect_to=connect_to, max_connections=2 * max_concurrency + 4
        )
        if bandwidth_limit is not None:
            self.bandwidth_limit = bandwidth_limit
        self._s3 = S3(
            self._transport,
            site,
            credentials,
            policy=retry,
            clock=clock,
            router=router,
            expect_above=expect_above,
        )
        self._progress, self._retry = progress, retry
        parts = Adaptive(min(START_CONCURRENCY, max_concurrency), max_concurrency)
        small = Adaptive(min(START_CONCURRENCY, max_concurrency, small_concurrency), small_concurrency)

        def overloaded() -> None:
            parts.overloaded()
            small.overloaded()

        self._s3.attempts.on_overload = overloaded
        uploader = Uploader(self._s3, self.settings, self._part_threads, self._budget, parts)
        make_lane = getattr(self._transport, "lane", None)
        self._engine = Engine(
            self._s3,
            uploader,
            SmallWay(self._s3, payload, self.settings.checksum, chunk_size),
            lane=None if make_lane is None else make_lane(small_concurrency),
            small=small,
            limit=max_concurrency,
            memory_limit=memory_limit,
            deadline=None if retry is None else retry.deadline,
            multipart_threshold=multipart_threshold,
            progress=progress,
            observer=observer,
        )
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
                self._threads = ThreadPoolExecutor(self.settings.max_concurrency, "s3accel-part")
            return self._threads

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
        """Where requests for the bucket go; with ``accelerate="auto"`` the accelerated host, unless that is left alone.

        No I/O. Raises EndpointError with reason and remedy.
        """
        return self._s3.admit(bucket, "PutObject")

    @property
    def bandwidth_limit(self) -> float | None:
        """Bytes a second for all uploads of this client together; may be set while they run. None: no limit."""
        throttle = getattr(self._transport, "throttle", None)
        return None if throttle is None else throttle.rate

    @bandwidth_limit.setter
    def bandwidth_limit(self, rate: float | None) -> None:
        throttle = getattr(self._transport, "throttle", None)
        if throttle is None:
            raise ConfigError("the transport given has no bandwidth limit")
        throttle.rate = rate

    @property
    def closed(self) -> bool:
        """True once it was closed: nothing is begun any more."""
        return self._closed

    @property
    def s3(self) -> S3:
        """The S3 operations below this client, for tools that need one of them."""
        return self._s3

    # -- life

    def close(self) -> None:
        """End the threads (after their parts) and close all connections. May be called again."""
        with self._lock:
            self._closed = True
            threads, self._threads = self._threads, None
        self._engine.close()
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
        route = "auto" if self._s3.router is not None else "accelerate" if site.accelerate else "regional"
        return f"<Client {site.region} {site.endpoint_url or route}>"


def _accelerated(accelerate: bool | str) -> bool:
    if isinstance(accelerate, bool):
        return accelerate
    if accelerate not in _ROUTES:
        raise ConfigError(
            f"accelerate is {accelerate!r}; it can be True, False, {', '.join(map(repr, _ROUTES))}"
        )
    return _ROUTES[accelerate]
