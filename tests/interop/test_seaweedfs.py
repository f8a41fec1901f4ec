"""What SeaweedFS checks and the others do not: the whole object's checksum when a multipart upload is completed.

Its limits are known and not asked of it: it wants no dot segments in keys, answers a wrong chunk signature with
500, and hands the coding ``aws-chunked`` back on reading.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from typing import Any
from xml.sax.saxutils import escape

import pytest
from rawhttp import Answer, send
from servers.names import ACCELERATED, BUCKET, REGION, REGIONAL
from servers.process import RunningServer

from s3accel import checksums
from s3accel.credentials import Credentials
from s3accel.signer import Signer
from support import streams

pytestmark = pytest.mark.parametrize("server", ["seaweedfs"], indirect=True, scope="session")

HOST = f"{BUCKET}.{ACCELERATED}"
MIB = 1024 * 1024
PART = 5 * MIB
CHUNK = 8192
NATIVE = ("crc32", "crc32c", "crc64nvme")
DATA = (hashlib.sha512(b"seaweed").digest() + b"odd") * (11 * MIB // 67)
SMALL = DATA[: 2 * CHUNK + 4000]


@pytest.fixture(autouse=True)
def _bucket(boto_client: Any) -> None:
    """boto_client makes the bucket."""


def witness(name: str, data: bytes) -> str:
    """Base64 of a checksum, by zlib and the AWS C library."""
    if name == "crc32":
        return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()
    awscrt = pytest.importorskip("awscrt.checksums", reason="awscrt is the witness for crc32c and crc64nvme")
    size, of = (4, awscrt.crc32c) if name == "crc32c" else (8, awscrt.crc64nvme)
    return base64.b64encode(of(data).to_bytes(size, "big")).decode()


def signer_for(server: RunningServer, secret: str | None = None) -> Signer:
    config = server.config
    return Signer(Credentials(config.access_key_id, secret or config.secret_access_key), REGION)


def stored(boto_client: Any, key: str) -> bytes | None:
    listed = boto_client.list_objects_v2(Bucket=BUCKET, Prefix=key).get("Contents", ())
    if all(item["Key"] != key for item in listed):
        return None
    body: bytes = boto_client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    return body


def call(
    server: RunningServer, method: str, target: str, headers: dict[str, str], body: bytes = b""
) -> Answer:
    added = signer_for(server).sign(method, f"https://{HOST}{target}", headers, body)
    return send(
        server, method, HOST, target, {**headers, **added, "Content-Length": str(len(body))}.items(), body
    )


# --- the whole object's checksum ----------------------------------------------------------------------------


def upload_parts(server: RunningServer, key: str, name: str) -> tuple[str, bytes]:
    """Create and three parts with signed chunks and trailers: the upload's id and the body for Complete."""
    asked = {"x-amz-checksum-algorithm": name.upper(), "x-amz-checksum-type": "FULL_OBJECT"}
    created = call(server, "POST", f"/{key}?uploads=", asked)
    upload_id = created.element("UploadId")
    assert upload_id, created.body
    lines = ["<CompleteMultipartUpload>"]
    for number, start in enumerate(range(0, len(DATA), PART), start=1):
        piece = DATA[start : start + PART]
        target = f"/{key}?partNumber={number}&uploadId={upload_id}"
        stream = signer_for(server).stream("PUT", f"https://{HOST}{target}", None, len(piece), checksum=name)
        body = streams.drain(stream, piece)
        answer = send(server, "PUT", HOST, target, stream.headers.items(), body)
        assert answer.status == 200, answer.body
        etag = hashlib.md5(piece).hexdigest()
        tag = f"Checksum{name.upper()}"
        lines.append(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(etag)}</ETag>"
            f"<{tag}>{stream.checksum}</{tag}></Part>"
        )
    lines.append("</CompleteMultipartUpload>")
    return upload_id, "".join(lines).encode()


def complete(server: RunningServer, key: str, name: str, upload_id: str, body: bytes, value: str) -> Answer:
    headers = {
        "Content-Type": "application/xml",
        "x-amz-checksum-type": "FULL_OBJECT",
        f"x-amz-checksum-{name}": value,
    }
    return call(server, "POST", f"/{key}?uploadId={upload_id}", headers, body)


@pytest.mark.parametrize("name", NATIVE)
def test_whole_checksum_at_complete(server: RunningServer, boto_client: Any, name: str) -> None:
    """One upload: a wrong value is refused and makes no object, then the right one, combined, is taken."""
    key = f"whole/{name}"
    upload_id, body = upload_parts(server, key, name)
    whole = b""
    for start in range(0, len(DATA), PART):
        piece = DATA[start : start + PART]
        digest = base64.b64decode(witness(name, piece))
        whole = checksums.combine(name, whole, digest, len(piece)) if whole else digest
    right = checksums.encode(whole)
    assert right == witness(name, DATA)
    wrong = checksums.encode(bytes([whole[0] ^ 1]) + whole[1:])
    refused = complete(server, key, name, upload_id, body, wrong)
    assert refused.status == 400, refused.body
    assert stored(boto_client, key) is None
    answer = complete(server, key, name, upload_id, body, right)
    assert answer.status == 200, answer.body
    assert stored(boto_client, key) == DATA


@pytest.mark.parametrize("name", NATIVE)
def test_client_gives_the_whole_checksum(server: RunningServer, boto_client: Any, name: str) -> None:
    """`Client.upload` in parts: taken, reported, and what the server keeps is the witness's value."""
    pytest.importorskip("pycurl", reason="uploads need pycurl: pip install 's3accel[transfer]'")
    from s3accel.transfer.client import Client

    key = f"client/{name}"
    with client_of(Client, server, checksum=name, part_size=PART, multipart_threshold=PART) as client:
        result = client.upload(DATA, BUCKET, key)
        assert (result.parts, result.checksum_algorithm) == (3, name)
        assert result.checksum == witness(name, DATA)
        assert client.get(BUCKET, key) == DATA
    assert stored(boto_client, key) == DATA
    found = boto_client.head_object(Bucket=BUCKET, Key=key, ChecksumMode="ENABLED")
    assert found[f"Checksum{name.upper()}"] == result.checksum


@pytest.mark.parametrize("name", NATIVE)
def test_client_with_a_wrong_combination_is_refused(
    server: RunningServer, boto_client: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts that are right, put together to another CRC: UploadError, no object, nothing left behind."""
    pytest.importorskip("pycurl", reason="uploads need pycurl: pip install 's3accel[transfer]'")
    from s3accel.errors import S3Error, UploadError
    from s3accel.transfer.client import Client

    key = f"client-wrong/{name}"
    right = checksums.combine

    def combine(name: str, a: bytes, b: bytes, len_b: int) -> bytes:
        return right(name, a, b, len_b + 1)

    monkeypatch.setattr(checksums, "combine", combine)
    with (
        client_of(Client, server, checksum=name, part_size=PART, multipart_threshold=PART) as client,
        pytest.raises(UploadError) as caught,
    ):
        client.upload(DATA, BUCKET, key)
    assert isinstance(caught.value.__cause__, S3Error)
    assert caught.value.__cause__.status == 400
    assert caught.value.aborted
    assert stored(boto_client, key) is None
    uploads = boto_client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", ())
    assert key not in [upload["Key"] for upload in uploads]


def client_of(kind: Any, server: RunningServer, **options: Any) -> Any:
    hosts = (f"{BUCKET}.{ACCELERATED}", f"{BUCKET}.{REGIONAL}")
    return kind(
        region=REGION,
        credentials=Credentials(server.config.access_key_id, server.config.secret_access_key),
        connect_to={f"{host}:443": f"127.0.0.1:{server.port}" for host in hosts},
        ca_file=str(server.ca_file),
        **options,
    )


# --- streams ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["signed-chunks", "signed", "unsigned-trailer", "unsigned"])
@pytest.mark.parametrize("size", [0, 5, 65_536, 300_000])
def test_client_payload_mode(server: RunningServer, boto_client: Any, mode: str, size: int) -> None:
    pytest.importorskip("pycurl", reason="uploads need pycurl: pip install 's3accel[transfer]'")
    from s3accel.transfer.client import Client

    key = f"modes/{mode}-{size}"
    with client_of(Client, server, payload=mode) as client:
        result = client.upload(DATA[:size], BUCKET, key, metadata={"words": "one two"})
        assert client.get(BUCKET, key) == DATA[:size]
    assert result.host == HOST
    assert stored(boto_client, key) == DATA[:size]
    assert boto_client.head_object(Bucket=BUCKET, Key=key)["Metadata"] == {"words": "one two"}


def make(server: RunningServer, key: str, checksum: str | None, signed: bool = True) -> tuple[Any, bytearray]:
    stream = signer_for(server).stream(
        "PUT", f"https://{HOST}/{key}", None, len(SMALL), chunk_size=CHUNK, checksum=checksum, signed=signed
    )
    return stream, bytearray(streams.drain(stream, SMALL))


# An unsigned stream without a checksum is refused before it is sent.
TAKEN = [(None, True), *((name, signed) for name in (*NATIVE, "sha1", "sha256") for signed in (True, False))]


@pytest.mark.parametrize(("checksum", "signed"), TAKEN)
def test_stream_is_taken(server: RunningServer, boto_client: Any, checksum: str | None, signed: bool) -> None:
    key = f"streams/{checksum}-{signed}"
    stream, body = make(server, key, checksum, signed)
    answer = send(server, "PUT", HOST, f"/{key}", stream.headers.items(), bytes(body))
    assert answer.status == 200, answer.body
    assert stored(boto_client, key) == SMALL


SPOILED = [("data", True), ("data", False), ("trailer", True), ("trailer", False), ("chunk-signature", True)]


@pytest.mark.parametrize(("what", "signed"), SPOILED)
def test_spoiled_stream_is_refused(server: RunningServer, boto_client: Any, what: str, signed: bool) -> None:
    key = f"spoiled/{what}-{signed}"
    stream, body = make(server, key, "crc64nvme", signed)
    if what == "data":
        body[body.index(b"\r\n") + 2 + 4000] ^= 1
    else:
        marker = b"x-amz-checksum-crc64nvme:" if what == "trailer" else b";chunk-signature="
        at = body.index(marker) + len(marker)
        body[at] = ord("1") if body[at] != ord("1") else ord("2")
    answer = send(server, "PUT", HOST, f"/{key}", stream.headers.items(), bytes(body))
    # A wrong chunk signature is an InternalError here, and not kept: refused all the same.
    assert 400 <= answer.status <= 500, answer.body
    assert stored(boto_client, key) is None


def test_wrong_secret_is_refused(server: RunningServer, boto_client: Any) -> None:
    stream = signer_for(server, "x" * 40).stream("PUT", f"https://{HOST}/wrong-secret", None, len(SMALL))
    body = streams.drain(stream, SMALL)
    answer = send(server, "PUT", HOST, "/wrong-secret", stream.headers.items(), body)
    assert (answer.status, answer.element("Code")) == (403, "SignatureDoesNotMatch")
    assert stored(boto_client, "wrong-secret") is None
