"""All ten checksum algorithms: as header, as signed and unsigned trailer, and of multipart objects."""

from __future__ import annotations

import base64
import importlib.util
import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest
from local_wire import Answer, Wire

from s3accel import Signer, checksums

MIB = 1024 * 1024
DATA = bytes(range(256)) * 100
PARTS = [b"a" * (5 * MIB), b"b" * 12_345]

HAS_XXHASH = importlib.util.find_spec("xxhash") is not None
NAMES = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            name.startswith("xxhash") and not HAS_XXHASH, reason=f"{name} needs the package xxhash"
        ),
    )
    for name in checksums.ALGORITHMS
]


def value_of(name: str, data: bytes) -> str:
    running = checksums.new(name)
    running.update(data)
    return checksums.encode(running.digest())


def stored(wire: Wire, path: str) -> dict[str, str]:
    answer = wire.send("HEAD", path, headers={"x-amz-checksum-mode": "ENABLED"})
    assert answer.status == 200
    return answer.headers


@pytest.mark.parametrize("name", NAMES)
def test_headers(wire: Wire, s3accel_bucket: str, name: str) -> None:
    path, header = f"/{s3accel_bucket}/k", f"x-amz-checksum-{name}"
    right, wrong = value_of(name, DATA), value_of(name, DATA + b"!")
    answer = wire.send("PUT", path, body=DATA, headers={header: wrong})
    assert (answer.status, answer.code) == (400, "BadDigest")
    answer = wire.send("PUT", path, body=DATA, headers={header: right + "AAAA"})
    assert (answer.status, answer.code) == (400, "InvalidRequest")
    assert wire.send("HEAD", path).status == 404
    headers = {header: right, "x-amz-sdk-checksum-algorithm": name.upper()}
    assert wire.send("PUT", path, body=DATA, headers=headers).headers[header] == right
    head = stored(wire, path)
    assert (head[header], head["x-amz-checksum-type"]) == (right, "FULL_OBJECT")


def stream(
    wire: Wire, path: str, data: bytes, name: str, signed: bool, corrupt: bool = False
) -> tuple[Answer, str]:
    signer = Signer(wire.server.credentials, wire.server.region)
    url = f"{wire.server.endpoint_url}{path}"
    made = signer.stream("PUT", url, {}, len(data), chunk_size=8192, checksum=name, signed=signed)
    rest = memoryview(data)

    def readinto(slot: memoryview) -> int:
        nonlocal rest
        slot[:] = rest[: len(slot)]
        rest = rest[len(slot) :]
        return len(slot)

    body = bytearray(b"".join(made.frames(readinto)))
    if corrupt:
        body[200] ^= 1
    answer = wire.raw("PUT", path, {"Host": wire.server.address, **made.headers}, bytes(body))
    return answer, made.checksum or ""


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_trailers(wire: Wire, s3accel_bucket: str, name: str, signed: bool) -> None:
    path, header = f"/{s3accel_bucket}/k", f"x-amz-checksum-{name}"
    answer, _ = stream(wire, path, DATA, name, signed, corrupt=True)
    assert answer.code == ("SignatureDoesNotMatch" if signed else "BadDigest")
    assert wire.send("HEAD", path).status == 404
    answer, value = stream(wire, path, DATA, name, signed)
    assert answer.status == 200, answer.body
    assert value == value_of(name, DATA) == answer.headers[header] == stored(wire, path)[header]
    assert wire.send("GET", path).body == DATA


def complete(
    wire: Wire, path: str, upload_id: str, parts: list[tuple[str, str]], tag: str, **headers: str
) -> Answer:
    listed = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag><{tag}>{value}</{tag}></Part>"
        for number, (etag, value) in enumerate(parts, 1)
    )
    document = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
    return wire.send("POST", f"{path}?uploadId={upload_id}", body=document, headers=headers)


def begin(wire: Wire, path: str, name: str, kind: str) -> Answer:
    headers = {"x-amz-checksum-algorithm": name.upper(), "x-amz-checksum-type": kind}
    return wire.send("POST", f"{path}?uploads", headers=headers)


def upload_id_of(answer: Answer) -> str:
    return answer.body.decode().partition("<UploadId>")[2].partition("<")[0]


@pytest.mark.parametrize("kind", ["COMPOSITE", "FULL_OBJECT"])
@pytest.mark.parametrize("name", NAMES)
def test_multipart(wire: Wire, s3accel_bucket: str, name: str, kind: str) -> None:
    path, header = f"/{s3accel_bucket}/k", f"x-amz-checksum-{name}"
    begun = begin(wire, path, name, kind)
    algorithm = checksums.ALGORITHMS[name]
    if not (algorithm.composite if kind == "COMPOSITE" else algorithm.full_object):
        assert (begun.status, begun.code) == (400, "InvalidRequest")
        return
    upload_id = upload_id_of(begun)
    parts = []
    for number, data in enumerate(PARTS, 1):
        target = f"{path}?uploadId={upload_id}&partNumber={number}"
        if number == 1:
            # By header, after a refused twin and one without a checksum.
            wrong = wire.send("PUT", target, body=data, headers={header: value_of(name, b"")})
            assert wrong.code == "BadDigest"
            if kind == "COMPOSITE":
                assert wire.send("PUT", target, body=data).code == "InvalidRequest"
            answer = wire.send("PUT", target, body=data, headers={header: value_of(name, data)})
        else:
            answer, _ = stream(wire, target, data, name, True)
        assert answer.status == 200, answer.body
        parts.append((answer.headers["etag"], answer.headers[header]))
    assert [value for _, value in parts] == [value_of(name, data) for data in PARTS]
    if kind == "COMPOSITE":
        expected = checksums.composite(name, [base64.b64decode(value) for _, value in parts])
        assert expected.endswith("-2")
    else:
        expected = value_of(name, b"".join(PARTS))
    tag = f"Checksum{name.upper()}"
    turned = [parts[0], (parts[1][0], parts[0][1])]
    assert complete(wire, path, upload_id, turned, tag).code == "InvalidPart"
    answer = complete(wire, path, upload_id, parts, tag, **{header: value_of(name, b"")})
    assert answer.code == "BadDigest"
    answer = complete(wire, path, upload_id, parts, tag, **{"x-amz-checksum-type": kind})
    assert answer.status == 200, answer.body
    found = {node.tag.rpartition("}")[2]: node.text for node in ElementTree.fromstring(answer.body)}
    assert (found[tag], found["ChecksumType"]) == (expected, kind)
    head = stored(wire, path)
    assert (head[header], head["x-amz-checksum-type"]) == (expected, kind)


def test_without_xxhash(wire: Wire, s3accel_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = checksums.new

    def new(name: str) -> Any:
        if name.startswith("xxhash"):
            raise checksums.ConfigError(f"{name} needs the xxhash package: pip install 's3accel[checksums]'")
        return real(name)

    monkeypatch.setattr(checksums, "new", new)
    header = {"x-amz-checksum-xxhash64": "AAAAAAAAAAA="}
    answer = wire.send("PUT", f"/{s3accel_bucket}/k", body=b"x", headers=header)
    assert (answer.status, answer.code) == (501, "NotImplemented")
    assert "pip install 's3accel[checksums]'" in answer.error["Message"]
