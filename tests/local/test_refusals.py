"""What is refused, in which words, and that nothing of it is stored."""

from __future__ import annotations

import hashlib
import time
from typing import Any

import pytest
from local_wire import Wire

from s3accel import Credentials, Signer
from s3accel.local import LocalServer

E = hashlib.sha256(b"").hexdigest()


@pytest.fixture(autouse=True)
def nothing_is_stored(s3accel_server: LocalServer, s3accel_bucket: str, wire: Wire) -> Any:
    """After each of these tests the bucket and the folder for unfinished bodies are empty."""
    yield
    answer = wire.send("GET", f"/{s3accel_bucket}?list-type=2")
    assert b"<KeyCount>0</KeyCount>" in answer.body
    assert list((s3accel_server.root / "temporary").iterdir()) == []


def test_a_wrong_secret_is_explained(wire: Wire, s3accel_bucket: str) -> None:
    target = f"/{s3accel_bucket}/k%20%C3%A4"
    answer = wire.send("PUT", target, body=b"body", secret="w" * 40)
    assert (answer.status, answer.code) == (403, "SignatureDoesNotMatch")
    error = answer.error
    assert error["AWSAccessKeyId"] == wire.server.access_key_id
    canonical = error["CanonicalRequest"]
    assert canonical.splitlines()[:3] == ["PUT", target, ""]
    assert bytes.fromhex(error["CanonicalRequestBytes"]) == canonical.encode()
    assert bytes.fromhex(error["StringToSignBytes"]) == error["StringToSign"].encode()
    assert error["StringToSign"].splitlines()[3] == hashlib.sha256(canonical.encode()).hexdigest()
    assert len(error["SignatureProvided"]) == 64
    assert error["RequestId"] == answer.headers["x-amz-request-id"]
    assert error["HostId"] == answer.headers["x-amz-id-2"]
    assert answer.headers["content-type"] == "application/xml"
    assert wire.server.secret_access_key.encode() not in answer.body


def test_head_errors_have_no_body(wire: Wire, s3accel_bucket: str) -> None:
    answer = wire.send("HEAD", f"/{s3accel_bucket}/missing")
    assert (answer.status, answer.body) == (404, b"")
    assert wire.send("HEAD", f"/{s3accel_bucket}/missing", secret="w" * 40).status == 403


@pytest.mark.parametrize(
    ("change", "code", "status"),
    [
        ({"x-amz-meta-new": "1"}, "AccessDenied", 403),
        ({"X-Amz-Content-Sha256": "0" * 64}, "SignatureDoesNotMatch", 403),
        ({"X-Amz-Content-Sha256": "short"}, "InvalidArgument", 400),
        ({"Content-MD5": "bm90IG1kNQ=="}, "InvalidDigest", 400),
        ({"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}, "BadDigest", 400),
        ({"Authorization": "AWS AKID:sig"}, "InvalidRequest", 400),
        ({"Authorization": "Basic abc"}, "InvalidArgument", 400),
        ({"Authorization": None}, "AccessDenied", 403),
    ],
)
def test_changed_headers(
    wire: Wire, s3accel_bucket: str, change: dict[str, str | None], code: str, status: int
) -> None:
    target = f"/{s3accel_bucket}/k"
    headers = {**wire.headers("PUT", target, body=b"body"), **change}
    answer = wire.raw("PUT", target, {k: v for k, v in headers.items() if v is not None}, b"body")
    assert (answer.status, answer.code) == (status, code)


def test_a_tampered_body(wire: Wire, s3accel_bucket: str) -> None:
    target = f"/{s3accel_bucket}/k"
    answer = wire.raw("PUT", target, wire.headers("PUT", target, body=b"body"), b"bodz")
    assert (answer.status, answer.code) == (400, "XAmzContentSHA256Mismatch")
    assert answer.error["S3ComputedContentSHA256"] == hashlib.sha256(b"bodz").hexdigest()


@pytest.mark.parametrize("value", ["AAAAAA==", "!"])
def test_a_wrong_checksum(wire: Wire, s3accel_bucket: str, value: str) -> None:
    answer = wire.send("PUT", f"/{s3accel_bucket}/k", body=b"body", headers={"x-amz-checksum-crc32": value})
    assert answer.status == 400
    assert answer.code == ("BadDigest" if value == "AAAAAA==" else "InvalidRequest")


def test_another_region(wire: Wire, s3accel_bucket: str) -> None:
    answer = wire.send("GET", f"/{s3accel_bucket}", region="eu-west-1")
    assert (answer.status, answer.code) == (400, "AuthorizationHeaderMalformed")
    assert answer.error["Region"] == "us-east-1"
    assert answer.headers["x-amz-bucket-region"] == "us-east-1"


def test_another_regions_host(wire: Wire, s3accel_bucket: str) -> None:
    target, host = "/k", f"{s3accel_bucket}.s3.eu-west-1.amazonaws.com"
    headers = wire.headers("GET", target, host=host)
    answer = wire.raw("GET", target, headers)
    assert (answer.status, answer.code) == (301, "PermanentRedirect")
    assert answer.error["Endpoint"] == f"{s3accel_bucket}.s3.us-east-1.amazonaws.com"


@pytest.mark.parametrize("offset", [-1200.0, 1200.0])
def test_a_wrong_clock(wire: Wire, s3accel_bucket: str, offset: float) -> None:
    answer = wire.send("GET", f"/{s3accel_bucket}", clock=lambda: time.time() + offset)
    assert (answer.status, answer.code) == (403, "RequestTimeTooSkewed")
    assert answer.error["MaxAllowedSkewMilliseconds"] == "900000"


def test_an_unknown_access_key(wire: Wire, s3accel_bucket: str) -> None:
    answer = wire.send("GET", f"/{s3accel_bucket}", access_key_id="AKIAUNKNOWN")
    assert (answer.status, answer.code) == (403, "InvalidAccessKeyId")


def test_expect_continue_is_refused_before_the_body(wire: Wire, s3accel_bucket: str) -> None:
    target = f"/{s3accel_bucket}/k"
    headers = wire.headers("PUT", target, body=b"x" * 1000, secret="w" * 40)
    answer = wire.raw("PUT", target, {**headers, "Expect": "100-continue"})
    assert (answer.status, answer.code) == (403, "SignatureDoesNotMatch")
    assert answer.headers["connection"] == "close"


def test_a_client_that_sends_first_reads_the_refusal(wire: Wire, s3accel_bucket: str) -> None:
    body = bytes(8 * 1024 * 1024)
    answer = wire.send("PUT", f"/{s3accel_bucket}/k", body=body, secret="w" * 40)
    assert answer.code == "SignatureDoesNotMatch"


def test_a_body_that_ends_early(wire: Wire, s3accel_bucket: str, s3accel_server: LocalServer) -> None:
    target = f"/{s3accel_bucket}/k"
    headers = wire.headers("PUT", target, body=b"x" * 400_000)
    connection = wire.connect()
    connection.putrequest("PUT", target, skip_host=True, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    connection.send(b"x" * 300_000)
    before = s3accel_server.stats.refusals.get("IncompleteBody", 0)
    connection.close()
    deadline = time.monotonic() + 5
    while s3accel_server.stats.refusals.get("IncompleteBody", 0) == before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert s3accel_server.stats.refusals["IncompleteBody"] == before + 1


def stream(wire: Wire, target: str, data: bytes, checksum: str | None) -> tuple[dict[str, str], bytearray]:
    host = wire.server.address
    signer = Signer(Credentials(wire.server.access_key_id, wire.server.secret_access_key), "us-east-1")
    signed = signer.stream(
        "PUT", f"https://{host}{target}", {}, len(data), chunk_size=8192, checksum=checksum
    )
    view = memoryview(data)
    position = 0

    def readinto(slot: memoryview) -> int:
        nonlocal position
        slot[:] = view[position : position + len(slot)]
        position += len(slot)
        return len(slot)

    return {"Host": host, **signed.headers}, bytearray(b"".join(signed.frames(readinto)))


@pytest.mark.parametrize("checksum", [None, "crc32c"])
@pytest.mark.parametrize("place", ["first data", "last data", "first signature", "final signature", "cut"])
def test_tampered_chunks(wire: Wire, s3accel_bucket: str, checksum: str | None, place: str) -> None:
    target = f"/{s3accel_bucket}/k"
    headers, body = stream(wire, target, bytes(30_000), checksum)
    if place == "first data":
        body[200] ^= 1
    elif place == "last data":
        body[body.rindex(b"\r\n0;chunk-signature=") - 1] ^= 1
    elif place == "first signature":
        at = body.index(b"=") + 5
        body[at] = ord("0") if body[at] != ord("0") else ord("1")
    elif place == "final signature":
        at = body.rindex(b"0;chunk-signature=") + 30
        body[at] = ord("0") if body[at] != ord("0") else ord("1")
    else:
        at = body.rindex(b"\r\n0;chunk-signature=") + 2
        del body[at:]
        headers["Content-Length"] = str(len(body))
    answer = wire.raw("PUT", target, headers, bytes(body))
    if place == "cut":
        assert (answer.status, answer.code) == (400, "IncompleteBody")
    else:
        assert (answer.status, answer.code) == (403, "SignatureDoesNotMatch")
        assert answer.error["StringToSign"].startswith("AWS4-HMAC-SHA256-PAYLOAD\n")
        assert answer.error["CanonicalRequest"].startswith("PUT\n")


def test_chunks_below_8_kib_in_the_middle(wire: Wire, s3accel_bucket: str) -> None:
    target = f"/{s3accel_bucket}/k"
    framed = b"5\r\nhello\r\n5\r\nworld\r\n0\r\nx-amz-checksum-crc32:i9oeWw==\r\n\r\n"
    headers = wire.headers(
        "PUT",
        target,
        body=framed,
        payload="STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        headers={"x-amz-decoded-content-length": "10", "x-amz-trailer": "x-amz-checksum-crc32"},
    )
    answer = wire.raw("PUT", target, headers, framed)
    assert (answer.status, answer.code) == (403, "InvalidChunkSizeError")


def test_http_chunked_coding_needs_aws_chunked(wire: Wire, s3accel_bucket: str) -> None:
    target = f"/{s3accel_bucket}/k"
    headers = wire.headers("PUT", target, body=b"body")
    del headers["Content-Length"]
    answer = wire.raw("PUT", target, {**headers, "Transfer-Encoding": "chunked"}, b"4\r\nbody\r\n0\r\n\r\n")
    assert (answer.status, answer.code, answer.error["Header"]) == (
        501,
        "NotImplemented",
        "Transfer-Encoding",
    )


def test_a_length_is_needed(wire: Wire, s3accel_bucket: str) -> None:
    target = f"/{s3accel_bucket}/k"
    headers = wire.headers("PUT", target)
    del headers["Content-Length"]
    answer = wire.raw("PUT", target, headers)
    assert (answer.status, answer.code) == (411, "MissingContentLength")


def test_a_body_too_large_for_one_put(wire: Wire, s3accel_bucket: str) -> None:
    target = f"/{s3accel_bucket}/k"
    headers = wire.headers("PUT", target, payload="UNSIGNED-PAYLOAD")
    headers["Content-Length"] = str(5 * 1024**3 + 1)
    answer = wire.raw("PUT", target, {**headers, "Expect": "100-continue"})
    assert (answer.status, answer.code) == (400, "EntityTooLarge")
    assert answer.error["MaxSizeAllowed"] == str(5 * 1024**3)


@pytest.mark.parametrize(
    ("method", "suffix", "code", "status"),
    [
        ("GET", "?versioning", "NotImplemented", 501),
        ("GET", "?acl", "NotImplemented", 501),
        ("PUT", "?policy", "NotImplemented", 501),
        ("PUT", "/k?tagging", "NotImplemented", 501),
        ("PUT", "/k?acl", "NotImplemented", 501),
        ("GET", "/k?torrent", "NotImplemented", 501),
        ("GET", "/k?versionId=abc", "NotImplemented", 501),
        ("DELETE", "/k?uploadId=x&unknown=1", "NotImplemented", 501),
        ("POST", "/k?select&select-type=2", "NotImplemented", 501),
        ("POST", "", "PreconditionFailed", 412),
        ("PATCH", "/k", "MethodNotAllowed", 405),
        ("GET", "?list-type=3", "InvalidArgument", 400),
        ("GET", "?list-type=2&max-keys=x", "InvalidArgument", 400),
        ("GET", "?list-type=2&prefix=a&prefix=b", "InvalidArgument", 400),
        ("GET", "?list-type=2&encoding-type=xml", "InvalidArgument", 400),
        ("GET", "?list-type=2&continuation-token=%C3%A4", "InvalidArgument", 400),
        ("GET", "/" + "k" * 1025, "KeyTooLongError", 400),
        ("GET", "/%C3", "InvalidURI", 400),
        ("GET", "/k", "NoSuchKey", 404),
        ("PUT", "/k?partNumber=1&uploadId=none", "NoSuchUpload", 404),
        ("PUT", "/k?partNumber=0&uploadId=none", "InvalidArgument", 400),
        ("POST", "/k?uploadId=none", "NoSuchUpload", 404),
    ],
)
def test_what_is_not_modelled_or_wrong(
    wire: Wire, s3accel_bucket: str, method: str, suffix: str, code: str, status: int
) -> None:
    answer = wire.send(method, f"/{s3accel_bucket}{suffix}")
    assert (answer.status, answer.code) == (status, code)


@pytest.mark.parametrize(
    "header",
    [
        "x-amz-tagging",
        "x-amz-object-lock-mode",
        "x-amz-website-redirect-location",
        "x-amz-write-offset-bytes",
        "x-amz-server-side-encryption-customer-algorithm",
        "x-amz-made-up",
    ],
)
def test_headers_that_are_not_modelled(wire: Wire, s3accel_bucket: str, header: str) -> None:
    answer = wire.send("PUT", f"/{s3accel_bucket}/k", body=b"x", headers={header: "1"})
    assert (answer.status, answer.code, answer.error["Header"]) == (501, "NotImplemented", f"{header}: 1")


def test_streaming_bodies_belong_to_puts(wire: Wire, s3accel_bucket: str) -> None:
    framed = b"0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"
    answer = wire.send(
        "POST",
        f"/{s3accel_bucket}?delete",
        body=framed,
        payload="STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        headers={"x-amz-decoded-content-length": "0", "x-amz-trailer": "x-amz-checksum-crc32"},
    )
    assert (answer.status, answer.code) == (501, "NotImplemented")


def test_delete_objects_needs_a_digest(wire: Wire, s3accel_bucket: str) -> None:
    body = b"<Delete><Object><Key>k</Key></Object></Delete>"
    answer = wire.send("POST", f"/{s3accel_bucket}?delete", body=body)
    assert (answer.status, answer.code) == (400, "InvalidRequest")
    assert "Content-MD5 OR x-amz-checksum-" in answer.error["Message"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<Delete>",
        b"<Other/>",
        b"<Delete/>",
        b'<!DOCTYPE x [<!ENTITY a "b">]><Delete>&a;</Delete>',
        b"\xff",
    ],
)
def test_broken_documents(wire: Wire, s3accel_bucket: str, body: bytes) -> None:
    import base64

    md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
    answer = wire.send("POST", f"/{s3accel_bucket}?delete", body=body, headers={"Content-MD5": md5})
    assert (answer.status, answer.code) == (400, "MalformedXML")
