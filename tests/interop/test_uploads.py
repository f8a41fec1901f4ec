"""Uploads by our client, in every payload mode and with the strangest keys, read back equal by boto3."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pycurl", reason="uploads need pycurl: pip install 's3accel[transfer]'")

from servers.names import ACCELERATED, BUCKET, REGION, REGIONAL
from servers.process import RunningServer

from s3accel.credentials import Credentials
from s3accel.errors import SignatureMismatch, UploadError
from s3accel.transfer.client import Client

MIB = 1024 * 1024
MODES = ("signed-chunks", "signed", "unsigned-trailer", "unsigned")
SIZES = {"empty": 0, "five-bytes": 5, "chunk": 65536, "300-kB": 300_000}
KEYS = {
    "mixed": "a b+c~d/é//./..%2F",
    "double-slash": "a//b",
    "dot": "a/./b",
    "dot-dot": "a/../b",
    "leading-slash": "/lead",
    "trailing-slash": "trail/",
    "percent": "pct%20x",
    "tab": "tab\there",
    "punctuation": "!*'();:@&=$,?#[]\"<>\\|^{}`",
    "unicode-nfd": "e\u0301-日本語-😀",
    "looks-like-query": "key?partNumber=1&uploadId=x",
    "long": "k" * 900,
}


# Swift takes the full-object checksum of a multipart upload; MiniStack always compares with a composite one and
# refuses the right value of the others.
MULTIPART_CHECKSUM = {"swift": "crc64nvme", "ministack": "sha256"}


def data_of(size: int) -> bytes:
    return (hashlib.sha512(b"interop").digest() * (size // 64 + 1))[:size]


def connect_to(server: RunningServer) -> dict[str, str]:
    hosts = (f"{BUCKET}.{ACCELERATED}", f"{BUCKET}.{REGIONAL}", REGIONAL)
    return {f"{host}:443": f"127.0.0.1:{server.port}" for host in hosts}


def make_client(server: RunningServer, **options: Any) -> Client:
    secret = options.pop("secret", server.config.secret_access_key)
    return Client(
        region=REGION,
        credentials=Credentials(server.config.access_key_id, secret),
        connect_to=connect_to(server),
        ca_file=str(server.ca_file),
        **options,
    )


@pytest.fixture(scope="session")
def client(server: RunningServer, boto_client: Any) -> Iterator[Client]:
    with make_client(server) as made:
        yield made


def read_back(boto_client: Any, key: str) -> tuple[bytes, dict[str, Any]]:
    answer = boto_client.get_object(Bucket=BUCKET, Key=key)
    return answer["Body"].read(), answer


def absent(boto_client: Any, key: str) -> bool:
    listed = boto_client.list_objects_v2(Bucket=BUCKET, Prefix=key)
    return all(item["Key"] != key for item in listed.get("Contents", ()))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", MODES)
def test_payload_mode(server: RunningServer, boto_client: Any, mode: str, size: str) -> None:
    data = data_of(SIZES[size])
    key = f"modes/{mode}/{size}"
    with make_client(server, payload=mode) as client:
        result = client.upload(
            data, BUCKET, key, content_type="application/x-interop", metadata={"words": "one two"}
        )
    assert result.host == f"{BUCKET}.{ACCELERATED}"
    assert result.size == len(data)
    found, answer = read_back(boto_client, key)
    assert found == data
    assert answer["ContentType"] == "application/x-interop"
    assert answer["Metadata"] == {"words": "one two"}
    # S3 keeps the real codings only; the framing must not be stored as one.
    assert "aws-chunked" not in answer.get("ContentEncoding", "")


@pytest.mark.parametrize("checksum", [None, "crc32", "crc32c", "crc64nvme", "sha1", "sha256"])
@pytest.mark.parametrize("mode", ["signed-chunks", "unsigned-trailer"])
def test_trailer_checksum(server: RunningServer, boto_client: Any, mode: str, checksum: str | None) -> None:
    if checksum is None and mode == "unsigned-trailer":
        pytest.skip(
            "unsigned-trailer without a checksum protects nothing; see the tests of the transfer floor"
        )
    data = data_of(100_000)
    key = f"checksums/{mode}/{checksum}"
    with make_client(server, payload=mode, checksum=checksum) as client:
        client.upload(data, BUCKET, key)
    assert read_back(boto_client, key)[0] == data


@pytest.mark.parametrize("mode", ["signed-chunks", "signed"])
@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_strange_key(server: RunningServer, boto_client: Any, key: str, mode: str) -> None:
    data = (mode + " " + key).encode()
    with make_client(server, payload=mode) as client:
        client.upload(data, BUCKET, key)
        assert client.get(BUCKET, key) == data
    assert read_back(boto_client, key)[0] == data


def test_every_source_kind(server: RunningServer, client: Client, boto_client: Any, tmp_path: Path) -> None:
    data = data_of(200_001)
    path = tmp_path / "source"
    path.write_bytes(b"skip" + data)
    positioned = io.BytesIO(b"skip" + data)
    positioned.seek(4)
    whole = tmp_path / "whole"
    whole.write_bytes(data)
    with path.open("rb") as opened:
        opened.seek(4)
        sources: dict[str, Any] = {
            "bytes": data,
            "memoryview": memoryview(data),
            "path": whole,
            "file": opened,
            "bytesio": positioned,
            "iterator": iter([data[:7], b"", data[7:150_000], data[150_000:]]),
        }
        for name, source in sources.items():
            client.upload(source, BUCKET, f"sources/{name}")
            assert read_back(boto_client, f"sources/{name}")[0] == data, name


@pytest.mark.parametrize("mode", MODES)
def test_multipart(server: RunningServer, boto_client: Any, mode: str) -> None:
    data = data_of(11 * MIB + 12_345)
    key = f"multipart/{mode} ü"
    options = {
        "part_size": 5 * MIB,
        "multipart_threshold": 6 * MIB,
        "checksum": MULTIPART_CHECKSUM[server.name],
    }
    with make_client(server, payload=mode, **options) as client:
        result = client.upload(data, BUCKET, key)
    assert result.parts == 3
    found, answer = read_back(boto_client, key)
    assert hashlib.sha256(found).digest() == hashlib.sha256(data).digest()
    assert answer["ETag"].strip('"').endswith("-3")
    assert not boto_client.list_multipart_uploads(Bucket=BUCKET).get("Uploads")


def test_regional_host(server: RunningServer, boto_client: Any) -> None:
    with make_client(server, accelerate=False) as client:
        result = client.upload(b"regional", BUCKET, "regional")
    assert result.host == f"{BUCKET}.{REGIONAL}"
    assert read_back(boto_client, "regional")[0] == b"regional"


def test_list_head_get_delete(server: RunningServer, client: Client, boto_client: Any) -> None:
    keys = [f"listing/{name}" for name in ("a b", "c+d", "e&f<g>", "ü")]
    for key in keys:
        boto_client.put_object(Bucket=BUCKET, Key=key, Body=key.encode())
    assert [item.key for item in client.list(BUCKET, prefix="listing/")] == sorted(keys)
    for key in keys:
        assert client.get(BUCKET, key) == key.encode()
        client.head(BUCKET, key)
        client.delete(BUCKET, key)
    assert not list(client.list(BUCKET, prefix="listing/"))


@pytest.mark.parametrize("mode", MODES)
def test_wrong_secret_is_refused(server: RunningServer, boto_client: Any, mode: str) -> None:
    key = f"wrong-secret/{mode}"
    client = make_client(server, payload=mode, secret="x" * 40)
    with client, pytest.raises(UploadError) as caught:
        client.upload(data_of(100_000), BUCKET, key)
    refusal = caught.value.__cause__
    assert isinstance(refusal, SignatureMismatch)
    assert (refusal.status, refusal.code) == (403, "SignatureDoesNotMatch")
    assert caught.value.attempts == 1, "a wrong signature is not tried again"
    assert absent(boto_client, key)
