"""Server side vectors: 59 requests, 43 chunked bodies, the chunk size rule; each with its code and status."""

from __future__ import annotations

from typing import Any

import pytest

from s3accel.credentials import Credentials
from s3accel.errors import VerificationError
from s3accel.verify import Verifier
from support import reference, streams, vectors

EXTRA = vectors.load("signing-extra")
FRAMING = vectors.load("streaming-framing")
KNOWN = Credentials(
    EXTRA["meta"]["credentials"]["access_key_id"], EXTRA["meta"]["credentials"]["secret_access_key"]
)
WHO = reference.Identity()
TARGET = "/key"


def lookup(access_key_id: str) -> Credentials | None:
    return KNOWN if access_key_id == KNOWN.access_key_id else None


def verifier_at(now: str, region: str = "us-east-1") -> Verifier:
    return Verifier(lookup, region=region, clock=lambda: reference.epoch(now))


def run(verifier: Verifier, request: dict[str, Any], body: bytes) -> tuple[bytes, Any]:
    headers = [(n, v) for n, v in request["headers"]]
    verified = verifier.verify(request["method"], request["target"], headers)
    return streams.feed(verified.body(), body)


@pytest.mark.parametrize("case", EXTRA["verification_cases"], ids=lambda case: case["id"])
def test_request(case: dict[str, Any]) -> None:
    expected = case["expected"]
    verifier = verifier_at(case["server_now"], case["server_region"])
    body = case["request"]["body_utf8"].encode()
    if expected["ok"]:
        decoded, _ = run(verifier, case["request"], body)
        assert decoded == body
        return
    with pytest.raises(VerificationError) as caught:
        run(verifier, case["request"], body)
    error = caught.value
    assert (error.code, error.status) == (expected["code"], expected["status"])
    for field in expected.get("fields", ()):
        assert error.extra.get(field), f"{field} is missing from the error's elements"
    for field in ("Region", "HeadersNotSigned", "ArgumentName"):
        if field in expected:
            assert error.extra.get(field) == expected[field]
    if "message" in expected:
        assert error.message == expected["message"]
    assert KNOWN.secret_access_key not in repr(error.extra) + str(error)


def chunked_request(headers: dict[str, str]) -> dict[str, Any]:
    """A PUT with the given headers, signed by the reference implementation."""
    given = [("host", "bucket.s3.us-east-1.amazonaws.com")]
    given += [(n, v) for n, v in headers.items() if n != "x-amz-content-sha256"]
    signed, _ = WHO.sign_headers("PUT", TARGET, given, headers["x-amz-content-sha256"])
    return {"method": "PUT", "target": TARGET, "headers": signed}


@pytest.mark.parametrize("pieces", ["whole", "bytewise"])
@pytest.mark.parametrize("case", FRAMING["decoder_cases"], ids=lambda case: case["id"])
def test_decoder(case: dict[str, Any], pieces: str) -> None:
    body = case["body_utf8"].encode()
    expected = case["expected"]
    cuts = range(1, len(body)) if pieces == "bytewise" else ()

    def attempt() -> tuple[bytes, Any]:
        request = chunked_request(case["headers"])
        verified = verifier_at(WHO.timestamp).verify("PUT", TARGET, request["headers"])
        return streams.feed(verified.body(), body, cuts)

    if expected["status"] == 200:
        decoded, report = attempt()
        assert decoded == (b"hello world" if "B\r\n" in case["body_utf8"][:3] else b"hello")
        assert report.length == len(decoded)
        return
    with pytest.raises(VerificationError) as caught:
        attempt()
    error = caught.value
    assert (error.code, error.status) == (expected["code"], expected["status"])
    # Some suites leave out the end of a message.
    assert error.message.startswith(case.get("message", ""))
    for field in ("NumberBytesExpected", "NumberBytesProvided"):
        if field in expected and pieces == "whole":
            assert error.extra.get(field) == str(expected[field])


@pytest.mark.parametrize("signed", [True, False], ids=["signed", "unsigned"])
@pytest.mark.parametrize(
    "case", FRAMING["chunk_size_rule"], ids=lambda case: "-".join(str(size) for size in case["sizes"])
)
def test_chunk_size_rule(case: dict[str, Any], signed: bool) -> None:
    """A chunk under 8 KiB may only be the last one; the fault shows when the next data chunk begins."""
    sizes = [size for size in case["sizes"] if size]
    data = vectors.data_of({"pattern": vectors.PATTERN, "count": sum(sizes)})
    payload = reference.SIGNED if signed else reference.UNSIGNED_TRAILER
    request = chunked_request(
        {"x-amz-content-sha256": payload, "x-amz-decoded-content-length": str(len(data))}
    )
    verified = verifier_at(WHO.timestamp).verify("PUT", TARGET, request["headers"])
    if signed:
        _, _, seed = streams.authorization_parts(dict(request["headers"])["authorization"])
        body, _ = reference.frame_signed(WHO, seed, data, sizes)
    else:
        body = reference.frame_unsigned(data, sizes)
    if case["accepted"]:
        decoded, report = streams.feed(verified.body(), body)
        assert decoded == data
        assert report.chunks == len(sizes)
        return
    with pytest.raises(VerificationError) as caught:
        streams.feed(verified.body(), body)
    assert caught.value.code == "InvalidChunkSizeError"
    assert caught.value.status in (403, 400)  # S3 answers 403, versitygw 400
    bad = next(i for i, size in enumerate(sizes[:-1]) if size < 8192)
    assert caught.value.extra["BadChunkSize"] == str(sizes[bad])
    assert caught.value.extra["Chunk"] == str(bad + 2)  # counted from one, and named one chunk late
