"""The rules of multipart uploads, as they go over the wire."""

from __future__ import annotations

import base64
import hashlib
import re
import zlib

import pytest
from local_wire import Answer, Wire

from s3accel.local import LocalServer

MIB = 1024 * 1024
FIVE = bytes(5 * MIB)


def text(answer: Answer, name: str) -> str:
    found = re.search(rf"<{name}>(.*?)</{name}>", answer.body.decode())
    assert found is not None, answer.body
    return found[1]


def create(wire: Wire, bucket: str, **headers: str) -> str:
    answer = wire.send(
        "POST", f"/{bucket}/k?uploads", headers={k.replace("_", "-"): v for k, v in headers.items()}
    )
    assert answer.status == 200, answer.body
    return f"/{bucket}/k?uploadId={text(answer, 'UploadId')}"


def put(wire: Wire, target: str, number: int, data: bytes, **headers: str) -> str:
    answer = wire.send(
        "PUT",
        f"{target}&partNumber={number}",
        body=data,
        payload="UNSIGNED-PAYLOAD",
        headers={k.replace("_", "-"): v for k, v in headers.items()},
    )
    assert answer.status == 200, answer.body
    return answer.headers["etag"]


def complete(
    wire: Wire, target: str, parts: list[tuple[int, str]], extra: str = "", **headers: str
) -> Answer:
    listed = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag>{extra}</Part>" for number, etag in parts
    )
    body = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
    return wire.send("POST", target, body=body, headers={k.replace("_", "-"): v for k, v in headers.items()})


def stored_bytes(server: LocalServer) -> int:
    return sum(file.stat().st_size for file in (server.root / "data").rglob("*") if file.is_file())


def test_order_sizes_and_etags(wire: Wire, s3accel_server: LocalServer, s3accel_bucket: str) -> None:
    before = stored_bytes(s3accel_server)  # the server is the session's: other tests may have left something
    target = create(wire, s3accel_bucket)
    small, big = put(wire, target, 2, b"small"), put(wire, target, 1, FIVE)
    again = put(wire, target, 7, b"tail")
    assert complete(wire, target, [(2, small), (1, big)]).code == "InvalidPartOrder"
    assert complete(wire, target, [(1, big), (1, big)]).code == "InvalidPartOrder"
    assert complete(wire, target, [(1, big), (3, small)]).code == "InvalidPart"
    assert complete(wire, target, [(1, small)]).code == "InvalidPart"
    assert complete(wire, target, []).code == "MalformedXML"
    refused = complete(wire, target, [(1, big), (2, small), (7, again)])
    assert (refused.code, refused.error["PartNumber"]) == ("EntityTooSmall", "2")
    assert wire.send("GET", f"/{s3accel_bucket}/k").code == "NoSuchKey"
    # Parts that are left out are dropped.
    done = complete(wire, target, [(1, big), (7, again)])
    digest = hashlib.md5(hashlib.md5(FIVE).digest() + hashlib.md5(b"tail").digest()).hexdigest()
    assert text(done, "ETag") == f"&quot;{digest}-2&quot;"
    got = wire.send("GET", f"/{s3accel_bucket}/k", headers={"Range": f"bytes={5 * MIB - 2}-"})
    assert got.body == b"\0\0tail"
    assert stored_bytes(s3accel_server) - before == 5 * MIB + 4


def test_listings_and_abort(wire: Wire, s3accel_server: LocalServer, s3accel_bucket: str) -> None:
    target = create(wire, s3accel_bucket)
    for number in (1, 3, 2):
        put(wire, target, number, b"%d" % number)
    put(wire, target, 3, b"replaced")
    page = wire.send("GET", f"{target}&max-parts=2")
    assert re.findall(rb"<PartNumber>(\d)", page.body) == [b"1", b"2"]
    assert (text(page, "IsTruncated"), text(page, "NextPartNumberMarker")) == ("true", "2")
    rest = wire.send("GET", f"{target}&part-number-marker=2")
    assert re.findall(rb"<Size>(\d)", rest.body) == [b"8"]
    uploads = wire.send("GET", f"/{s3accel_bucket}?uploads&prefix=k")
    assert text(uploads, "UploadId") in target
    assert wire.send("DELETE", target).status == 204
    assert wire.send("DELETE", target).code == "NoSuchUpload"
    assert b"<UploadId>" not in wire.send("GET", f"/{s3accel_bucket}?uploads").body
    assert [file for file in (s3accel_server.root / "data").rglob("*") if file.is_file()] == []


def test_pages_of_uploads(wire: Wire, s3accel_bucket: str) -> None:
    for key in ("a/1", "a/2", "b", "b", "c"):
        assert wire.send("POST", f"/{s3accel_bucket}/{key}?uploads").status == 200
    seen: list[str] = []
    query = ""
    while True:
        page = wire.send("GET", f"/{s3accel_bucket}?uploads&max-uploads=2{query}")
        seen += re.findall(r"<Key>(.*?)</Key>", page.body.decode())
        if text(page, "IsTruncated") == "false":
            break
        query = f"&key-marker={text(page, 'NextKeyMarker').replace('/', '%2F')}"
        query += f"&upload-id-marker={text(page, 'NextUploadIdMarker')}"
    assert seen == ["a/1", "a/2", "b", "b", "c"]
    rolled = wire.send("GET", f"/{s3accel_bucket}?uploads&delimiter=%2F")
    assert rolled.body.count(b"<CommonPrefixes>") == 1


def test_composite_needs_checksums_everywhere(wire: Wire, s3accel_bucket: str) -> None:
    target = create(wire, s3accel_bucket, x_amz_checksum_algorithm="CRC32")
    bare = wire.send("PUT", f"{target}&partNumber=1", body=b"abc")
    assert bare.error["Message"].endswith("expected checksum Type: crc32, actual checksum Type: null")
    crc = base64.b64encode(zlib.crc32(b"abc").to_bytes(4, "big")).decode()
    etag = put(wire, target, 1, b"abc", x_amz_checksum_crc32=crc)
    assert "missing for part 1" in complete(wire, target, [(1, etag)]).error["Message"]
    wrong = complete(wire, target, [(1, etag)], "<ChecksumCRC32>AAAAAA==</ChecksumCRC32>")
    assert wrong.code == "InvalidPart"
    right = f"<ChecksumCRC32>{crc}</ChecksumCRC32>"
    other = complete(wire, target, [(1, etag)], right, x_amz_checksum_type="FULL_OBJECT")
    assert other.code == "InvalidRequest"
    done = complete(wire, target, [(1, etag)], right)
    outer = base64.b64encode(zlib.crc32(zlib.crc32(b"abc").to_bytes(4, "big")).to_bytes(4, "big")).decode()
    assert text(done, "ChecksumCRC32") == f"{outer}-1"


@pytest.mark.parametrize("given", [True, False])
def test_full_object_is_combined(wire: Wire, s3accel_bucket: str, given: bool) -> None:
    target = create(wire, s3accel_bucket, x_amz_checksum_algorithm="CRC32", x_amz_checksum_type="FULL_OBJECT")
    parts = []
    for number, data in ((1, FIVE), (2, b"tail")):
        crc = base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()
        parts.append(
            (number, put(wire, target, number, data, **({"x_amz_checksum_crc32": crc} if given else {})))
        )
    whole = base64.b64encode(zlib.crc32(FIVE + b"tail").to_bytes(4, "big")).decode()
    assert complete(wire, target, parts, x_amz_checksum_crc32="AAAAAA==").code == "BadDigest"
    assert complete(wire, target, parts, x_amz_mp_object_size="1").code == "InvalidRequest"
    done = complete(wire, target, parts, x_amz_checksum_crc32=whole, x_amz_mp_object_size=str(5 * MIB + 4))
    assert text(done, "ChecksumCRC32") == whole


@pytest.mark.parametrize(
    "headers",
    [
        {"x_amz_checksum_type": "COMPOSITE"},
        {"x_amz_checksum_algorithm": "CRC64NVME", "x_amz_checksum_type": "COMPOSITE"},
        {"x_amz_checksum_algorithm": "SHA256", "x_amz_checksum_type": "FULL_OBJECT"},
        {"x_amz_checksum_algorithm": "CRC16"},
    ],
)
def test_checksum_pairs_that_do_not_exist(wire: Wire, s3accel_bucket: str, headers: dict[str, str]) -> None:
    answer = wire.send(
        "POST", f"/{s3accel_bucket}/k?uploads", headers={k.replace("_", "-"): v for k, v in headers.items()}
    )
    assert answer.code == "InvalidRequest"


def test_condition_at_complete(wire: Wire, s3accel_bucket: str) -> None:
    target = create(wire, s3accel_bucket)
    etag = put(wire, target, 1, b"x")
    wire.send("PUT", f"/{s3accel_bucket}/k", body=b"meanwhile")
    refused = complete(wire, target, [(1, etag)], If_None_Match="*")
    assert (refused.status, refused.code) == (412, "PreconditionFailed")
    assert complete(wire, target, [(1, etag)]).status == 200


def test_copied_parts(wire: Wire, s3accel_bucket: str) -> None:
    data = bytes(range(256)) * (6 * MIB // 256)
    wire.send("PUT", f"/{s3accel_bucket}/source", body=data)
    target = create(wire, s3accel_bucket, x_amz_checksum_algorithm="SHA256")
    answer = wire.send(
        "PUT",
        f"{target}&partNumber=1",
        headers={
            "x-amz-copy-source": f"{s3accel_bucket}/source",
            "x-amz-copy-source-range": f"bytes=100-{5 * MIB + 99}",
        },
    )
    part = data[100 : 5 * MIB + 100]
    sha = base64.b64encode(hashlib.sha256(part).digest()).decode()
    assert text(answer, "ChecksumSHA256") == sha
    behind = {
        "x-amz-copy-source": f"{s3accel_bucket}/source",
        "x-amz-copy-source-range": f"bytes=0-{len(data)}",
    }
    assert wire.send("PUT", f"{target}&partNumber=2", headers=behind).code == "InvalidArgument"
    etag = hashlib.md5(part).hexdigest()
    assert complete(wire, target, [(1, etag)], f"<ChecksumSHA256>{sha}</ChecksumSHA256>").status == 200
    assert wire.send("GET", f"/{s3accel_bucket}/k").body == part
