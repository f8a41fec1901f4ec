"""The short way for small objects: one put, signed and sent by the lane, with as little around it as there can be.

Only what succeeds at once ends here. Everything else (an error, a lost connection, a wrong region) goes on along the
long way, with this attempt counted as its first: there is one doctrine of retries, not two.
"""

from __future__ import annotations

import binascii
import contextlib
import os
import stat
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from s3accel import _core, checksums
from s3accel.errors import ChecksumMismatch, SourceError
from s3accel.signer import uri_encode
from s3accel.transfer.body import Payload
from s3accel.transfer.endpoint import validate_key
from s3accel.transfer.messages import ConnectionInfo, Headers, Response
from s3accel.transfer.ranges import MemorySource
from s3accel.transfer.results import UploadResult, fast
from s3accel.transfer.s3 import S3
from s3accel.transfer.s3xml import error_from

if TYPE_CHECKING:
    from s3accel.transfer.headers import ObjectHeaders

__all__ = ["SMALL", "SmallPut", "SmallWay", "small_data"]

#: Bodies up to this many bytes take the short way: they fit into one chunk and one write of libcurl.
SMALL = 64 * 1024
#: As many bodies are hashed at once as the widest kernel has lanes.
COMPANY = 16


def small_data(source: Any, limit: int) -> bytes | None:
    """The bytes of a source that is in memory or a regular file, if they are ``limit`` or fewer; else None.

    A file is opened, read and closed here. Raises SourceError if it ends early or cannot be read; a file that
    cannot be opened is left to the long way, which says why.
    """
    if type(source) is bytes:
        return source if len(source) <= limit else None
    if isinstance(source, (str, os.PathLike)):
        return _small_file(source, limit)
    if isinstance(source, (bytearray, memoryview)):
        try:
            return bytes(source) if memoryview(source).nbytes <= limit else None
        except ValueError:  # released
            return None
    return None


def _small_file(path: str | os.PathLike[str], limit: int) -> bytes | None:
    try:
        # A FIFO would wait for its writer.
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return None
    try:
        status = os.fstat(fd)
        size = status.st_size
        if not stat.S_ISREG(status.st_mode) or size > limit:
            return None
        data = os.read(fd, size + 1)
        if len(data) != size:
            raise SourceError(
                f"{os.fspath(path)!s} changed while it was read: it had {size} bytes, then {len(data)}"
            )
        return data
    except OSError as exc:
        raise SourceError(f"{os.fspath(path)!s} could not be read: {exc.strerror or exc}") from exc
    finally:
        with contextlib.suppress(OSError):
            os.close(fd)


class _Place:
    """What all puts to one bucket over one route share. Made again when the bucket's region is learned."""

    __slots__ = ("base", "endpoint", "origin", "sign", "signer", "template")

    def __init__(self, s3: S3, bucket: str, route: str, mode: str, algorithm: str | None) -> None:
        endpoint = self.endpoint = s3.endpoint(bucket, "PutObject", route)
        root = f"{endpoint.scheme}://{endpoint.authority}"
        self.base = endpoint.url("x")[:-1]
        self.origin = (endpoint.scheme, root.partition("//")[2])
        self.signer = s3.signer(endpoint.region)
        self.sign = self.signer.sign
        self.template: dict[str, Any] = {
            "bucket": bucket,
            "parts": 0,
            "payload_mode": mode,
            "checksum_algorithm": algorithm,
            "host": endpoint.host,
            "kind": endpoint.kind,
            "retries": (),
            "resumed": 0,
        }


class SmallWay:
    """What the short way needs to know: the S3 it talks to, and how bodies are protected."""

    def __init__(self, s3: S3, mode: str, checksum: str | None, chunk_size: int) -> None:
        self.s3 = s3
        #: A body that fits into one chunk has its hash in the header.
        self.mode = "signed" if mode == "auto" else mode
        self.limit = min(SMALL, chunk_size) if mode == "auto" else SMALL
        self.chunk_size = chunk_size
        self.algorithm = None if checksum is None else checksums.lookup(checksum)
        #: The answer's header that says what S3 has computed.
        self.header = b"\n" + self.algorithm.header.encode() + b":" if self.algorithm else b""
        self._places: dict[tuple[str, str, str], _Place] = {}

    def checksum(self, data: bytes) -> str:
        """base64 of the body's checksum."""
        name = self.algorithm.name if self.algorithm is not None else ""
        if name == "crc64nvme":  # the default, spared an object and a lookup
            return binascii.b2a_base64(_core.crc64nvme(data).to_bytes(8, "big"), newline=False).decode()
        running = checksums.new(name)
        running.update(data)
        return checksums.encode(running.digest())

    def place(self, bucket: str, route: str) -> _Place:
        """Raises EndpointError."""
        region = self.s3.region(bucket)
        found = self._places.get((bucket, route, region))
        if found is None:
            name = self.algorithm.name if self.algorithm else None
            found = _Place(self.s3, bucket, route, self.mode, name)
            if len(self._places) > 4096:
                self._places.clear()
            self._places[(bucket, route, region)] = found
        return found


class SmallPut:
    """One put on the lane. Who begins it says in a subclass what becomes of it."""

    __slots__ = (
        "_checksum",
        "_digest",
        "_place",
        "_started",
        "_way",
        "bucket",
        "data",
        "headers",
        "key",
        "reason",
        "route",
    )

    def __init__(self, way: SmallWay, bucket: str, key: str, data: bytes, headers: ObjectHeaders) -> None:
        validate_key(key)
        self._way = way
        self.bucket = bucket
        self.key = key
        self.data = data
        self.headers = headers.put
        self.route = ""
        self.reason = ""
        self._checksum = ""
        self._digest = ""
        self._started = time.monotonic()

    def stored(self, result: UploadResult) -> None:
        """The object is there."""
        raise TypeError("a SmallPut needs to know what becomes of it")

    def failed(self, error: Exception) -> None:
        """The short way ends here; ``error`` is the first attempt's."""
        raise error

    def prepare(self, waiting: Sequence[Any] = ()) -> tuple[tuple[str, str], str, list[str], bytes]:
        way = self._way
        place = self._place = way.place(self.bucket, self.route)
        url = place.base + uri_encode(self.key, True)
        data = self.data
        headers: list[tuple[str, str]] = list(self.headers)
        if way.mode in ("signed", "unsigned"):
            if way.algorithm is not None:
                self._checksum = way.checksum(data)
                headers.append((way.algorithm.header, self._checksum))
            payload: Any = "UNSIGNED-PAYLOAD"
            if way.mode == "signed":
                payload = self._digest or self._hashed_with(waiting)
            added = place.sign("PUT", url, headers, payload)
            lines = [f"{name}: {value}" if value else f"{name};" for name, value in headers]
            lines += [f"{name}: {value}" for name, value in added.items()]
        else:
            name = way.algorithm.name if way.algorithm else None
            body = Payload(MemorySource(data), 0, len(data), way.mode, name, way.chunk_size)
            made = body.prepare(place.signer, "PUT", url, headers, None)
            data = b"".join(made.body.frames())
            self._checksum = made.checksum()
            lines = [f"{n}: {v}" for n, v in made.headers if n.lower() != "content-length"]
        lines += ("Expect:", "Accept:")
        if not self.headers or not any(name.lower() == "content-type" for name, _ in self.headers):
            lines.append("Content-Type:")  # libcurl would call it a form
        return place.origin, url, lines, data

    def _hashed_with(self, waiting: Sequence[Any]) -> str | bytes:
        """The body's SHA-256 in hex, made together with those of the puts that wait; the body if there are none.

        One message cannot fill the lanes of a SIMD kernel: 64 KiB alone take 40 us, in company 14 us each.
        """
        company: list[SmallPut] = [self]
        try:
            for index in range(min(COMPANY - 1, len(waiting))):
                other = waiting[index]
                if isinstance(other, SmallPut) and not other._digest:
                    company.append(other)
        except IndexError:
            pass  # a job was taken back while the client was being closed
        if len(company) == 1:
            return self.data
        for put, digest in zip(company, _core.sha256_many([put.data for put in company]), strict=True):
            put._digest = digest.hex()
        return self._digest

    def answered(self, status: int, head: bytes, body: bytes, connection: ConnectionInfo) -> None:
        if status != 200 or b"<Error" in body:
            self.failed(self._error(status, head, body))
            return
        lower = head.lower()
        theirs = _value(head, lower, self._way.header) if self._way.header else ""
        if theirs and theirs != self._checksum:
            self.failed(
                ChecksumMismatch(
                    f"the object s3://{self.bucket}/{self.key} is stored with checksum {theirs}, sent was"
                    f" {self._checksum}: delete it or send it again"
                )
            )
            return
        fields = self._place.template.copy()
        fields["key"] = self.key
        fields["etag"] = _value(head, lower, b"\netag:")
        fields["version_id"] = _value(head, lower, b"\nx-amz-version-id:") or None
        fields["size"] = len(self.data)
        fields["checksum"] = self._checksum or None
        fields["connection"] = connection
        fields["seconds"] = time.monotonic() - self._started
        fields["route_reason"] = self.reason
        fields["request_id"] = _value(head, lower, b"\nx-amz-request-id:")
        self.stored(fast(UploadResult, fields))

    def _error(self, status: int, head: bytes, body: bytes) -> Exception:
        lines = [line for line in head.decode("latin-1").split("\r\n") if ":" in line]
        items = [(name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        return error_from(Response(status, Headers(items), body), "PutObject", self.bucket, self.key)


def _value(head: bytes, lower: bytes, name: bytes) -> str:
    """A header's value. ``name`` is in lower case, between a line feed and a colon: three finds, no parsing."""
    at = lower.find(name)
    if at < 0:
        return ""
    at += len(name)
    return head[at : head.find(b"\n", at)].strip().decode("latin-1")
