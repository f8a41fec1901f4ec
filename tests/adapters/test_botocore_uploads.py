"""boto3, aiobotocore and s3fs against an endpoint that verifies every byte, with and without s3accel."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("boto3")
pytest.importorskip("uvicorn")
pytest.importorskip("cryptography")

import boto3
import botocore.httpchecksum
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from hypothesis import given, settings
from hypothesis import strategies as st

from s3accel.adapters import botocore as adapter
from s3accel.adapters._botocore_body import ChunkedBody, Crc32
from s3accel.local import LocalServer
from s3accel.local.faults import Answer, Cut

MIB = 1 << 20
BUCKET = "adapter-tests"
DATA = os.urandom(MIB + 312_345)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda self, context: 0)


@pytest.fixture(scope="module", params=["https", "http"])
def server(request: pytest.FixtureRequest) -> Iterator[LocalServer]:
    with LocalServer(tls=request.param == "https") as server:
        server.create_bucket(BUCKET)
        yield server


@pytest.fixture(scope="module")
def tls_server() -> Iterator[LocalServer]:
    with LocalServer() as server:
        server.create_bucket(BUCKET)
        yield server


def options(server: LocalServer, **config: Any) -> dict[str, Any]:
    retries = config.pop("retries", {"total_max_attempts": 3, "mode": "standard"})
    return {
        "region_name": server.region,
        "endpoint_url": server.endpoint_url,
        "verify": str(server.ca_file) if server.endpoint_url.startswith("https") else None,
        "aws_access_key_id": server.access_key_id,
        "aws_secret_access_key": server.secret_access_key,
        "config": Config(
            s3={"addressing_style": "path"}, retries=retries, signature_version="s3v4", **config
        ),
    }


def client(server: LocalServer, **config: Any) -> Any:
    return boto3.client("s3", **options(server, **config))


def stored(s3: Any, key: str) -> bytes:
    body: bytes = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    return body


INSTALLED = {"botocore": None, "installed": {}, "signed-chunks": {"payload": "signed-chunks"}}


@pytest.fixture(params=INSTALLED)
def way(request: pytest.FixtureRequest) -> Iterator[str]:
    arguments = INSTALLED[request.param]
    if arguments is not None:
        adapter.install(**arguments)  # type: ignore[arg-type]
    yield request.param
    adapter.uninstall()


# --- the same results -------------------------------------------------------------------------------------------


def test_a_session_of_work(server: LocalServer, way: str, tmp_path: Path) -> None:
    s3 = client(server)
    path = tmp_path / "file"
    path.write_bytes(DATA)
    with path.open("rb") as file:
        s3.put_object(Bucket=BUCKET, Key="file", Body=file)
    assert stored(s3, "file") == DATA
    for key, body in {
        "ä b/+": b"text",
        "empty": b"",
        "chunk": b"x" * 65_536,
        "buffer": bytearray(b"abc"),
    }.items():
        answer = s3.put_object(Bucket=BUCKET, Key=key, Body=body, Metadata={"a": "1"}, ContentEncoding="gzip")
        assert answer["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
        head = s3.head_object(Bucket=BUCKET, Key=key)
        assert (head["ContentLength"], head["Metadata"], head["ContentEncoding"]) == (
            len(body),
            {"a": "1"},
            "gzip",
        )
        assert stored(s3, key) == bytes(body)
    s3.copy_object(Bucket=BUCKET, Key="copy", CopySource={"Bucket": BUCKET, "Key": "ä b/+"})
    assert stored(s3, "copy") == b"text"
    listed = [item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET, Prefix="ä ")["Contents"]]
    assert listed == ["ä b/+"]
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket=BUCKET, Key="absent")
    wrong = boto3.client("s3", **{**options(server), "aws_secret_access_key": "A" * 40})
    with pytest.raises(s3.exceptions.ClientError) as caught:
        wrong.put_object(Bucket=BUCKET, Key="k", Body=b"x" * 100_000)
    assert caught.value.response["Error"]["Code"] == "SignatureDoesNotMatch"
    assert bool(getattr(caught.value, "__notes__", [])) == (way != "botocore")
    s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": "copy"}, {"Key": "file"}]})
    url = s3.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "ä b/+"})
    if url.startswith("http:"):
        with urllib.request.urlopen(url) as response:
            assert response.read() == b"text"


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_checksums(server: LocalServer, algorithm: str) -> None:
    for arguments in ({}, {"payload": "signed-chunks"}):
        with adapter.install(**arguments):  # type: ignore[arg-type]
            s3 = client(server)
            answer = s3.put_object(Bucket=BUCKET, Key="sum", Body=DATA, ChecksumAlgorithm=algorithm)
            got = s3.get_object(Bucket=BUCKET, Key="sum", ChecksumMode="ENABLED")
            assert got[f"Checksum{algorithm}"] == answer[f"Checksum{algorithm}"]
            assert got["Body"].read() == DATA  # botocore validates it while reading


def test_multipart_with_progress(server: LocalServer, way: str, tmp_path: Path) -> None:
    s3 = client(server)
    data = os.urandom(6 * MIB + 77)
    (tmp_path / "big").write_bytes(data)
    config = TransferConfig(
        multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB, use_threads=way != "signed-chunks"
    )
    for what in ("file", "fileobj"):
        seen: list[int] = []
        if what == "file":
            s3.upload_file(str(tmp_path / "big"), BUCKET, what, Callback=seen.append, Config=config)
        else:
            s3.upload_fileobj(io.BytesIO(data), BUCKET, what, Callback=seen.append, Config=config)
        assert sum(seen) == len(data)
        back = io.BytesIO()
        s3.download_fileobj(BUCKET, what, back)
        assert back.getvalue() == data
    (tmp_path / "big").write_bytes(DATA)
    seen = []
    s3.upload_file(str(tmp_path / "big"), BUCKET, "one", Callback=seen.append)  # one PutObject
    assert sum(seen) == len(DATA)


# --- retries ------------------------------------------------------------------------------------------------------


class Once:
    """A fault for the first request of an operation."""

    def __init__(self, operation: str, action: Any) -> None:
        self.operation, self.action, self.seen = operation, action, 0

    def __call__(self, request: Any) -> Any:
        if request.operation != self.operation:
            return None
        self.seen += 1
        return self.action if self.seen == 1 else None


FAULTS = {"500": Answer(500), "503": Answer(503, "SlowDown"), "cut": Cut(after_bytes=200_000)}


@pytest.mark.parametrize("fault", FAULTS)
def test_retry_sends_the_same_body(server: LocalServer, way: str, fault: str, tmp_path: Path) -> None:
    s3 = client(server)
    path = tmp_path / "file"
    path.write_bytes(DATA)
    once = Once("PutObject", FAULTS[fault])
    server.set_fault(once)
    try:
        with path.open("rb") as file:
            s3.put_object(Bucket=BUCKET, Key="again", Body=file)
    finally:
        server.set_fault(None)
    assert once.seen == 2
    assert stored(s3, "again") == DATA


POSITIONED = {
    "trailer": {},
    "hashed": {"request_checksum_calculation": "when_required"},
}


@pytest.mark.parametrize("kind", ["file", "bytesio"])
@pytest.mark.parametrize("config", POSITIONED)
def test_retry_of_a_body_that_stood_elsewhere(
    server: LocalServer, way: str, config: str, kind: str, tmp_path: Path
) -> None:
    """botocore rewinds to 0 and stores (or offers) bytes that were not asked for; with s3accel it does not."""
    s3 = client(server, **POSITIONED[config])
    whole, wanted = b"HEADER" + DATA, DATA
    path = tmp_path / "file"
    path.write_bytes(whole)
    once = Once("PutObject", Answer(500))
    server.set_fault(once)
    refused = None
    try:
        with path.open("rb") if kind == "file" else io.BytesIO(whole) as body:
            body.seek(6)
            s3.put_object(Bucket=BUCKET, Key="positioned", Body=body)
    except s3.exceptions.ClientError as error:
        refused = error
    finally:
        server.set_fault(None)
    assert once.seen == 2
    if way == "botocore":
        assert refused is not None or stored(s3, "positioned") != wanted
    else:
        assert refused is None
        assert stored(s3, "positioned") == wanted


# --- signed chunks --------------------------------------------------------------------------------------------------


class Unseekable(io.RawIOBase):
    def __init__(self, data: bytes) -> None:
        self._inner = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._inner.read(min(size, 70_001) if size > 0 else size)

    def tell(self) -> int:
        raise io.UnsupportedOperation

    seek = tell  # type: ignore[assignment]


@pytest.mark.parametrize(
    "config", [{}, {"request_checksum_calculation": "when_required"}], ids=["trailer", "plain"]
)
def test_signed_chunks_on_the_wire(server: LocalServer, config: dict[str, Any]) -> None:
    seen: list[Any] = []
    s3 = client(server, **config)
    s3.meta.events.register_last(
        "before-send", lambda request, **kw: seen.append((dict(request.headers), request.body))
    )
    with adapter.install(payload="signed-chunks"):
        before, chunks = adapter.stats()["streams"], server.stats.snapshot().chunks_verified
        s3.put_object(Bucket=BUCKET, Key="chunks", Body=DATA)
        assert adapter.stats()["streams"] == before + 1
    headers, body = seen[-1]
    headers = {
        str(name).lower(): value.decode() if isinstance(value, bytes) else value
        for name, value in headers.items()
    }
    trailer = "" if config else "-TRAILER"
    assert headers["x-amz-content-sha256"] == f"STREAMING-AWS4-HMAC-SHA256-PAYLOAD{trailer}"
    assert "transfer-encoding" not in headers
    assert headers["content-encoding"] == "aws-chunked"
    assert headers["x-amz-decoded-content-length"] == str(len(DATA))
    assert isinstance(body, botocore.httpchecksum.AwsChunkedWrapper)
    assert isinstance(body._raw, io.BytesIO)
    body.seek(0)
    assert int(headers["content-length"]) == len(body.read())
    assert server.stats.snapshot().chunks_verified - chunks >= len(DATA) // 65_536
    assert stored(s3, "chunks") == DATA
    head = s3.head_object(Bucket=BUCKET, Key="chunks")
    assert "ContentEncoding" not in head


def test_signed_chunks_of_a_stream_that_cannot_seek(server: LocalServer) -> None:
    s3 = client(server)
    with adapter.install(payload="signed-chunks"):
        before = adapter.stats()["streams"]
        s3.put_object(Bucket=BUCKET, Key="unseekable", Body=Unseekable(DATA), ContentLength=len(DATA))
        assert adapter.stats()["streams"] == before + 1
    assert stored(s3, "unseekable") == DATA


def test_signed_chunks_of_a_body_that_ends_early(server: LocalServer) -> None:
    from botocore.exceptions import BotoCoreError

    s3 = client(server)
    with adapter.install(payload="signed-chunks"), pytest.raises(BotoCoreError):
        s3.put_object(Bucket=BUCKET, Key="early", Body=Unseekable(DATA[:100]), ContentLength=len(DATA))
    assert not list(s3.list_objects_v2(Bucket=BUCKET, Prefix="early").get("Contents", []))


def test_signed_chunks_can_be_declined(server: LocalServer) -> None:
    arguments = options(server)
    arguments["config"] = arguments["config"].merge(
        Config(s3={"addressing_style": "path", "payload_signing_enabled": False})
    )
    s3 = boto3.client("s3", **arguments)
    with adapter.install(payload="signed-chunks"):
        before = adapter.stats()["streams"]
        if server.endpoint_url.startswith("https"):
            s3.put_object(Bucket=BUCKET, Key="declined", Body=DATA)
            assert stored(s3, "declined") == DATA
        assert adapter.stats()["streams"] == before


def test_signed_chunks_for_one_client(server: LocalServer) -> None:
    one, other = client(server), client(server)
    with adapter.attach(one, payload="signed-chunks"):
        before = adapter.stats()["streams"]
        other.put_object(Bucket=BUCKET, Key="other", Body=DATA)
        assert adapter.stats()["streams"] == before
        one.put_object(Bucket=BUCKET, Key="one", Body=DATA)
        if server.endpoint_url.startswith("https"):
            # Over plain HTTP botocore has put the checksum into a header already; the stream has no trailer.
            pass
        assert adapter.stats()["streams"] == before + 1
    assert stored(one, "one") == stored(one, "other") == DATA


# --- the bodies themselves ----------------------------------------------------------------------------------------


class Short(io.BytesIO):
    """Gives less than was asked for."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(size, 1000) if size is not None and size > 0 else size)


@settings(max_examples=80)
@given(
    data=st.binary(max_size=5000),
    start=st.integers(0, 60),
    sizes=st.lists(st.one_of(st.none(), st.integers(-1, 3000)), min_size=1, max_size=12),
    chunk=st.sampled_from([1, 7, 1000, 4096]),
    kind=st.sampled_from([io.BytesIO, Short]),
    checksum=st.booleans(),
)
def test_same_reads_as_botocores_wrapper(
    data: bytes, start: int, sizes: list[int | None], chunk: int, kind: Any, checksum: bool
) -> None:
    start = min(start, len(data))
    results = []
    for cls, checksum_cls in (
        (botocore.httpchecksum.AwsChunkedWrapper, botocore.httpchecksum.Crc32Checksum),
        (ChunkedBody, Crc32),
    ):
        raw = kind(data)
        raw.seek(start)
        body = cls(raw, checksum_cls if checksum else None, "x-amz-checksum-crc32", chunk)
        reads = [body.read(size) for size in sizes]
        reads.append(body.read())
        results.append((reads, raw.tell(), body.read(5)))
        if cls is ChunkedBody:
            whole = b"".join(reads)
            body.seek(0)
            assert body.read() == whole
            assert raw.tell() == len(data)
            body.seek(0)
            assert b"".join(body) == whole
    assert results[0] == results[1]


def test_bytesio_stays_usable() -> None:
    raw = io.BytesIO(b"x" * 100)
    body = ChunkedBody(raw, Crc32, "x-amz-checksum-crc32", 10)
    body.read(15)
    raw.seek(0, 2)
    raw.write(b"more")  # nothing holds its buffer
    raw.close()


def test_checksum_classes() -> None:
    pairs = {"crc32": b"y/Q5Jg==", "crc32c": b"4waSgw==", "crc64nvme": b"rosUhgp5mIg="}
    for name, value in pairs.items():
        checksum: Any = adapter.CHECKSUMS[name]()
        assert checksum.handle(b"123456789").encode() == value
        file = io.BytesIO(b"skip123456789")
        file.seek(4)
        assert adapter.CHECKSUMS[name]().handle(file).encode() == value
        assert file.tell() == 4
    assert base64.b64decode(adapter.CHECKSUMS["sha256"]().handle(b"")) == hashlib.sha256().digest()


# --- aiobotocore and s3fs -----------------------------------------------------------------------------------------


class AsyncBody:
    """An asynchronous body of unknown position."""

    def __init__(self, data: bytes) -> None:
        self._inner = io.BytesIO(data)

    async def read(self, size: int = -1) -> bytes:
        await asyncio.sleep(0)
        return self._inner.read(size)


def test_aiobotocore(server: LocalServer, way: str) -> None:
    module = pytest.importorskip("aiobotocore.session")
    config = pytest.importorskip("aiobotocore.config")

    async def work() -> None:
        arguments = options(server)
        arguments["config"] = config.AioConfig(
            s3={"addressing_style": "path"},
            retries={"total_max_attempts": 3, "mode": "standard"},
            signature_version="s3v4",
        )
        once = Once("PutObject", Answer(500))
        async with module.get_session().create_client("s3", **arguments) as s3:
            await s3.put_object(Bucket=BUCKET, Key="aio", Body=DATA, Metadata={"a": "b"})
            got = await s3.get_object(Bucket=BUCKET, Key="aio")
            assert await got["Body"].read() == DATA
            server.set_fault(once)
            body = io.BytesIO(b"HEADER" + DATA)
            body.seek(6)
            try:
                await s3.put_object(Bucket=BUCKET, Key="aio2", Body=body)
            except s3.exceptions.ClientError:
                assert way == "botocore"
            else:
                got = await s3.get_object(Bucket=BUCKET, Key="aio2")
                assert (await got["Body"].read() == DATA) == (way != "botocore")
            url = await s3.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "aio"})
            assert "X-Amz-Signature" in url
            if server.endpoint_url.startswith("https"):
                await s3.put_object(Bucket=BUCKET, Key="aio3", Body=AsyncBody(DATA), ContentLength=len(DATA))
                got = await s3.get_object(Bucket=BUCKET, Key="aio3")
                assert await got["Body"].read() == DATA

    before = adapter.stats()
    try:
        asyncio.run(work())
    finally:
        server.set_fault(None)
    after = adapter.stats()
    if way != "botocore":
        assert after["signed"] > before["signed"]
        assert after["by_botocore"] == before["by_botocore"]
    if way == "signed-chunks":
        assert after["streams"] - before["streams"] >= 3


def test_s3fs(server: LocalServer, way: str) -> None:
    s3fs = pytest.importorskip("s3fs")
    given = options(server)
    arguments = {"verify": given["verify"]} if given["verify"] else {}
    fs = s3fs.S3FileSystem(
        key=given["aws_access_key_id"],
        secret=given["aws_secret_access_key"],
        endpoint_url=given["endpoint_url"],
        client_kwargs={"region_name": given["region_name"], **arguments},
        skip_instance_cache=True,
    )
    data = os.urandom(6 * MIB)
    with fs.open(f"{BUCKET}/fs/big", "wb", block_size=5 * MIB) as file:
        file.write(data)
    fs.pipe(f"{BUCKET}/fs/small", b"abc")
    assert fs.cat(f"{BUCKET}/fs/small") == b"abc"
    with fs.open(f"{BUCKET}/fs/big", "rb") as file:
        assert file.read() == data
    assert sorted(fs.ls(f"{BUCKET}/fs")) == [f"{BUCKET}/fs/big", f"{BUCKET}/fs/small"]
    fs.rm(f"{BUCKET}/fs", recursive=True)
