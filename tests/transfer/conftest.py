"""A fake S3 behind the transport's one method: what the client layer does is tested without a socket."""

from __future__ import annotations

import base64
import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import pytest

from s3accel import Credentials, checksums
from s3accel.errors import ConnectionLost
from s3accel.transfer import Client, RetryPolicy
from s3accel.transfer.messages import ConnectionInfo, Headers, Request, Response

CREDENTIALS = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
QUICK = RetryPolicy(max_attempts=3, base_delay=0.0, throttle_delay=0.0)

Fault = Callable[[Request, "FakeS3"], Any]


def error(
    code: str, status: int, message: str = "no", headers: dict[str, str] | None = None, **extra: str
) -> Response:
    """An S3 error answer."""
    fields = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in extra.items())
    body = (
        f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{escape(message)}</Message>{fields}"
        "<RequestId>4442587FB7D0A2F9</RequestId></Error>"
    ).encode()
    return Response(status, Headers((headers or {}).items()), body, ConnectionInfo(host="fake"))


def decode_chunked(wire: bytes) -> tuple[bytes, dict[str, str]]:
    """Object bytes and trailers of an aws-chunked body; the framing is checked, signatures are not."""
    data = bytearray()
    position = 0
    while True:
        end = wire.index(b"\r\n", position)
        size = int(wire[position:end].split(b";")[0], 16)
        position = end + 2
        if not size:
            break
        data += wire[position : position + size]
        assert wire[position + size : position + size + 2] == b"\r\n"
        position += size + 2
    lines = [line for line in wire[position:].split(b"\r\n") if line]
    return bytes(data), dict(line.decode().split(":", 1) for line in lines)


@dataclass
class Seen:
    """One request as the fake received it."""

    method: str
    url: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def operation(self) -> str:
        names = {
            ("POST", "uploads"): "Create",
            ("PUT", "partNumber"): "Part",
            ("POST", "uploadId"): "Complete",
            ("DELETE", "uploadId"): "Abort",
            ("GET", "uploadId"): "ListParts",
        }
        for (method, key), name in names.items():
            if self.method == method and key in self.query:
                return name
        return {"PUT": "Put", "GET": "Get", "HEAD": "Head", "DELETE": "Delete"}[self.method]


@dataclass
class FakeS3:
    """Objects and multipart uploads in dictionaries.

    ``faults``: called one after the other, each for one request, before it is worked on; a Response is answered, an
    exception raised, None lets the request through. ``hook``: the same, but for every request.
    ``cut_after``: bytes of the body after which the connection breaks, for the next request with a body.
    """

    objects: dict[str, bytes] = field(default_factory=dict)
    uploads: dict[str, dict[int, bytes]] = field(default_factory=dict)
    info: dict[str, dict[str, str]] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    hook: Fault | None = None
    cut_after: int | None = None
    lock: Any = field(default_factory=threading.RLock)
    largest_frame: int = 0
    created: int = 0

    def operations(self) -> list[str]:
        return [request.operation for request in self.seen]

    def read(self, request: Request) -> bytes:
        if request.body is None:
            return b""
        wire = bytearray()
        cut, self.cut_after = self.cut_after, None
        for frame in request.body.frames():
            wire += frame
            self.largest_frame = max(self.largest_frame, len(frame))
            if cut is not None and len(wire) >= cut:
                raise ConnectionLost("broken", host=request.host, phase="send")
        assert len(wire) == request.body.length
        return bytes(wire)

    def send(self, request: Request) -> Response:
        body = self.read(request)
        parts = urlsplit(request.url)
        headers = {name.lower(): value for name, value in request.headers}
        assert "authorization" in headers
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        seen = Seen(request.method, request.url, unquote(parts.path), query, headers, body)
        with self.lock:
            self.seen.append(seen)
            fault = self.faults.pop(0) if self.faults else self.hook
        if fault is not None:
            answer = fault(request, self)
            if isinstance(answer, BaseException):
                raise answer
            if answer is not None:
                return answer
        with self.lock:
            return self.answer(request, seen)

    def answer(self, request: Request, seen: Seen) -> Response:
        key = seen.path.lstrip("/")
        body, headers = seen.body, seen.headers
        trailers: dict[str, str] = {}
        if headers.get("x-amz-content-sha256", "").startswith("STREAMING-"):
            body, trailers = decode_chunked(body)
            assert str(len(body)) == headers["x-amz-decoded-content-length"]
        elif re.fullmatch("[0-9a-f]{64}", headers["x-amz-content-sha256"]):
            assert hashlib.sha256(body).hexdigest() == headers["x-amz-content-sha256"]
        for name, value in {**headers, **trailers}.items():
            algorithm = checksums.by_header(name)
            if algorithm is not None and seen.operation in ("Put", "Part"):
                running = checksums.new(algorithm.name)
                running.update(body)
                assert checksums.encode(running.digest()) == value
        etag = f'"{hashlib.md5(body).hexdigest()}"'
        return getattr(self, f"do_{seen.operation.lower()}")(request, seen, key, body, etag)

    def ok(self, body: bytes = b"", status: int = 200, **headers: str) -> Response:
        items = {name.replace("_", "-"): value for name, value in headers.items()}
        return Response(
            status, Headers(items.items()), body, ConnectionInfo(host="fake", tls_version="TLSv1.3")
        )

    def do_put(self, request: Request, seen: Seen, key: str, body: bytes, etag: str) -> Response:
        self.objects[key] = body
        self.info[key] = seen.headers
        return self.ok(etag=etag, x_amz_version_id="v1")

    def do_create(self, request: Request, seen: Seen, key: str, body: bytes, etag: str) -> Response:
        self.created += 1
        upload = f"upload-{self.created}"
        self.uploads[upload] = {}
        self.info[key] = seen.headers
        return self.ok(
            f"<InitiateMultipartUploadResult xmlns='http://s3.amazonaws.com/doc/2006-03-01/'><UploadId>{upload}"
            "</UploadId></InitiateMultipartUploadResult>".encode()
        )

    def do_part(self, request: Request, seen: Seen, key: str, body: bytes, etag: str) -> Response:
        upload = self.uploads.get(seen.query["uploadId"])
        if upload is None:
            return error("NoSuchUpload", 404)
        upload[int(seen.query["partNumber"])] = body
        return self.ok(etag=etag)

    def do_complete(self, request: Request, seen: Seen, key: str, body: bytes, etag: str) -> Response:
        parts = self.uploads.pop(seen.query["uploadId"], None)
        if parts is None:
            return error("NoSuchUpload", 404)
        listed = [
            int(item.text or 0)
            for item in ElementTree.fromstring(body).iter()
            if item.tag.endswith("PartNumber")
        ]
        assert listed == sorted(parts)
        data = b"".join(parts[number] for number in listed)
        assert seen.headers["x-amz-mp-object-size"] == str(len(data))
        for name, value in seen.headers.items():
            algorithm = checksums.by_header(name)
            if algorithm is not None:
                running = checksums.new(algorithm.name)
                running.update(data)
                assert base64.b64encode(running.digest()).decode() == value
        self.objects[key] = data
        md5s = b"".join(hashlib.md5(parts[number]).digest() for number in listed)
        etag = f'"{hashlib.md5(md5s).hexdigest()}-{len(listed)}"'
        self.info[key] = {"etag": etag}
        return self.ok(
            f"<CompleteMultipartUploadResult><ETag>{escape(etag)}</ETag></CompleteMultipartUploadResult>".encode()
        )

    def do_abort(self, request: Request, seen: Seen, key: str, body: bytes, etag: str) -> Response:
        return (
            self.ok(status=204)
            if self.uploads.pop(seen.query["uploadId"], None) is not None
            else error("NoSuchUpload", 404)
        )

    def do_listparts(self, request: Request, seen: Seen, key: str, body: bytes, etag: str) -> Response:
        parts = self.uploads.get(seen.query["uploadId"])
        if parts is None:
            return error("NoSuchUpload", 404)
        first = int(seen.query.get("part-number-marker", "0"))
        numbers = [number for number in sorted(parts) if number > first]
        page, more = numbers[:2], len(numbers) > 2
        items = "".join(
            f'<Part><PartNumber>{n}</PartNumber><ETag>"e{n}"</ETag><Size>{len(parts[n])}</Size></Part>'
            for n in page
        )
        tail = (
            f"<IsTruncated>true</IsTruncated><NextPartNumberMarker>{page[-1]}</NextPartNumberMarker>"
            if more
            else ""
        )
        return self.ok(f"<ListPartsResult>{items}{tail}</ListPartsResult>".encode())

    def do_get(self, request: Request, seen: Seen, key: str, body: bytes, etag: str) -> Response:
        if "list-type" in seen.query:
            return self.listing(seen)
        if key not in self.objects:
            return error("NoSuchKey", 404, "The specified key does not exist.")
        data = self.objects[key]
        headers: dict[str, str] = {}
        status = 200
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", seen.headers.get("range", ""))
        if found:
            stop = int(found[2]) + 1 if found[2] else len(data)
            headers["content-range"] = f"bytes {found[1]}-{stop - 1}/{len(data)}"
            data, status = data[int(found[1]) : stop], 206
        else:
            crc = checksums.new("crc64nvme")
            crc.update(data)
            headers["x-amz-checksum-crc64nvme"] = checksums.encode(crc.digest())
            headers["x-amz-checksum-type"] = "FULL_OBJECT"
        response = Response(status, Headers([*headers.items(), ("content-length", str(len(data)))]))
        if request.sink is None:
            return Response(status, response.headers, data)
        write = request.sink(response.headers)
        for start in range(0, len(data), 1000):
            write(data[start : start + 1000])
        return response

    def listing(self, seen: Seen) -> Response:
        keys = sorted(key for key in self.objects if key.startswith(seen.query["prefix"]))
        start = int(seen.query.get("continuation-token", "0"))
        page = keys[start : start + 2]
        items = "".join(
            f"<Contents><Key>{escape(key.replace(' ', '+'))}</Key><Size>{len(self.objects[key])}</Size></Contents>"
            for key in page
        )
        more = start + 2 < len(keys)
        tail = (
            f"<IsTruncated>true</IsTruncated><NextContinuationToken>{start + 2}</NextContinuationToken>"
            if more
            else ""
        )
        return self.ok(
            f"<ListBucketResult xmlns='urn:x'><EncodingType>url</EncodingType>{items}{tail}</ListBucketResult>".encode()
        )

    def do_head(self, request: Request, seen: Seen, key: str, body: bytes, etag: str) -> Response:
        if key not in self.objects:
            return Response(404, Headers())
        etag = self.info.get(key, {}).get("etag", f'"{hashlib.md5(self.objects[key]).hexdigest()}"')
        return Response(200, Headers([("content-length", str(len(self.objects[key]))), ("etag", etag)]))

    def do_delete(self, request: Request, seen: Seen, key: str, body: bytes, etag: str) -> Response:
        self.objects.pop(key, None)
        return self.ok(status=204)


@pytest.fixture
def s3() -> FakeS3:
    return FakeS3()


@pytest.fixture
def s3_error() -> Callable[..., Response]:
    return error


@pytest.fixture
def new_client(s3: FakeS3) -> Iterator[Callable[..., Client]]:
    """Makes clients over the fake S3, closed at the end."""
    clients: list[Client] = []

    def make(**options: Any) -> Client:
        options = {
            "region": "eu-west-1",
            "credentials": CREDENTIALS,
            "transport": s3,
            "retry": QUICK,
            **options,
        }
        client = Client(**options)
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def client(new_client: Callable[..., Client]) -> Client:
    return new_client()
