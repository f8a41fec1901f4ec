"""Receiving SigV4a bodies in chunks: every changed, cut or added byte is noticed, in pieces of any size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("cryptography", reason="SigV4a needs the cryptography package")

from s3accel.credentials import Credentials
from s3accel.errors import VerificationError
from s3accel.sigv4a import SignerV4a
from s3accel.verify import Verifier
from support import reference, sigv4a, streams, vectors

OWN = vectors.load("sigv4a")
WHO = sigv4a.IdentityV4a()
NOW = reference.epoch(WHO.timestamp)
KNOWN = Credentials(WHO.access_key_id, WHO.secret_access_key)
HOST = "alias.mrap.accesspoint.s3-global.amazonaws.com"
TARGET = "/a%20b//c?x=1&x=0"
BASE = [("host", HOST), ("x-amz-region-set", "us-east-1,eu-*"), ("x-amz-meta-a", "one  two")]


def lookup(access_key_id: str) -> Credentials | None:
    return KNOWN if access_key_id == KNOWN.access_key_id else None


def verifier() -> Verifier:
    return Verifier(lookup, region="us-east-1", clock=lambda: NOW)


def stream(
    data: bytes, sizes: list[int], trailer: tuple[str, str] | None = None, announce: str | None = None
) -> tuple[list[tuple[str, str]], bytes]:
    """Headers and body of a PUT, both by the test's own SigV4a."""
    headers = [*BASE, ("x-amz-decoded-content-length", str(len(data)))]
    payload = sigv4a.STREAMING + ("" if trailer is None and announce is None else "-TRAILER")
    if trailer is not None or announce is not None:
        headers.append(("x-amz-trailer", announce or (trailer[0] if trailer else "")))
    whole, seed = WHO.sign_headers("PUT", TARGET, headers, payload)
    return whole, sigv4a.frame_signed(WHO, seed, data, sizes, [trailer] if trailer else [])


def run(headers: list[tuple[str, str]], body: bytes, cuts: Any = ()) -> tuple[bytes, Any]:
    return streams.feed(verifier().verify("PUT", TARGET, headers).body(), body, cuts)


DATA = bytes(i * 31 % 256 for i in range(20_000))
SIZES = [8192, 8192, 3616]
TRAILER = ("x-amz-checksum-crc32c", reference.checksum_base64("crc32c", DATA))


@pytest.mark.parametrize("pieces", ["whole", "in-4095s", "bytewise"])
@pytest.mark.parametrize("trailer", [None, TRAILER], ids=["plain", "trailer"])
def test_stream(pieces: str, trailer: tuple[str, str] | None) -> None:
    headers, body = stream(DATA, SIZES, trailer)
    step = {"whole": len(body), "in-4095s": 4095, "bytewise": 1}[pieces]
    decoded, report = run(headers, body, range(step, len(body), step))
    assert decoded == DATA
    assert (report.length, report.chunks, report.signed) == (len(DATA), 3, True)
    assert report.checksum_algorithm == (None if trailer is None else "crc32c")


@pytest.mark.parametrize("case", OWN["streaming"], ids=lambda case: case["id"])
@pytest.mark.parametrize("pieces", ["whole", "bytewise"])
def test_stream_vector(case: dict[str, Any], pieces: str) -> None:
    given, expected = case["input"], case["expected"]
    known = Credentials(given["access_key_id"], given["secret_access_key"])
    headers = [(n, v) for n, v in given["headers"]]
    names = expected["canonical_request"].split("\n")[-2]
    who = sigv4a.IdentityV4a(timestamp=given["timestamp"])
    headers.append(("Authorization", who.authorization(names, expected["seed_signature_der_hex"])))
    made = Verifier(lambda key: known, clock=lambda: reference.epoch(given["timestamp"]))
    verified = made.verify(given["method"], given["target"], headers)
    body = expected["encoded_body_utf8"].encode()
    decoded, report = streams.feed(verified.body(), body, range(1, len(body)) if pieces == "bytewise" else ())
    assert decoded == given["data_utf8"].encode()
    assert report.checksum_base64 == (given["trailers"][0][1] if given["trailers"] else None)


def test_every_changed_byte_is_noticed() -> None:
    headers, body = stream(b"hello", [5], ("x-amz-checksum-crc32", "NhCmhg=="))
    assert run(headers, body)[0] == b"hello"
    for at in range(len(body)):
        twin = bytearray(body)
        twin[at] ^= 1
        with pytest.raises(VerificationError):
            run(headers, bytes(twin))


def test_every_truncation_is_noticed() -> None:
    headers, body = stream(b"hello", [5], ("x-amz-checksum-crc32", "NhCmhg=="))
    # Without the last empty line S3 takes the body, so the last two bytes do not count.
    for end in range(len(body) - 2):
        with pytest.raises(VerificationError):
            run(headers, body[:end])


def replaced(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda body: body.replace(old, new, 1)


MISMATCH = ("SignatureDoesNotMatch", 403)
INCOMPLETE = ("IncompleteBody", 400)
TRAILERS = ("MalformedTrailerError", 400)
BROKEN: list[tuple[str, Callable[[bytes], bytes], tuple[str, int]]] = [
    ("data", lambda b: b[:3000] + bytes([b[3000] ^ 1]) + b[3001:], MISMATCH),
    ("last-data", lambda b: b.replace(DATA[-9:], DATA[-9:-1] + b"!"), MISMATCH),
    ("swapped-chunks", lambda b: b[8362:16724] + b[:8362] + b[16724:], MISMATCH),
    ("no-padding", replaced(b"**\r\n", b"\r\n"), INCOMPLETE),
    ("more-padding", replaced(b"*\r\n", b"**\r\n"), INCOMPLETE),
    ("padding-before", lambda b: b.replace(b";chunk-signature=30", b";chunk-signature=*30", 1), INCOMPLETE),
    ("upper-case-signature", lambda b: b[:100] + b[100:140].upper() + b[140:], INCOMPLETE),
    ("extension", replaced(b";chunk-signature", b";ext=1;chunk-signature"), INCOMPLETE),
    ("no-signature", lambda b: b"2000\r\n" + b.partition(b"\r\n")[2], INCOMPLETE),
    ("bare-lf", replaced(b"\r\n", b"\n"), INCOMPLETE),
    ("size-no-number", replaced(b"2000;", b"zzzz;"), INCOMPLETE),
    ("size-17-digits", replaced(b"2000;", b"00000000000002000;"), INCOMPLETE),
    ("endless-header", lambda b: b"2000;" + b" " * 2000 + b[5:], INCOMPLETE),
    ("smaller-size", replaced(b"2000;", b"1fff;"), MISMATCH),
    ("larger-size", replaced(b"2000;", b"4e21;"), INCOMPLETE),
    ("trailer-value", replaced(TRAILER[1].encode(), b"AAAAAA=="), MISMATCH),
    ("trailer-name", replaced(b"x-amz-checksum-crc32c", b"x-amz-checksum-crc32"), TRAILERS),
    ("trailer-gone", replaced(b"x-amz-checksum-crc32c:" + TRAILER[1].encode() + b"\r\n", b""), TRAILERS),
    ("trailer-twin", replaced(b"x-amz-trailer", b"x-amz-other:1\r\nx-amz-trailer"), TRAILERS),
    ("trailer-no-colon", replaced(b"crc32c:", b"crc32c="), TRAILERS),
    ("trailer-signature-gone", lambda b: b[: b.index(b"x-amz-trailer-signature")] + b"\r\n", TRAILERS),
    ("trailer-signature-short", lambda b: b[:-6] + b"\r\n\r\n", MISMATCH),
    ("trailer-signature", lambda b: b.replace(b"x-amz-trailer-signature:3", b"x-amz-trailer-signature:2"), MISMATCH),
    ("endless-trailer", lambda b: b[:-2] + b"a" * 5000, TRAILERS),
    ("zero-chunk-gone", lambda b: b[: b.index(b"\r\n0;") + 2], INCOMPLETE),
]  # fmt: skip


@pytest.mark.parametrize("pieces", ["whole", "in-1000s"])
@pytest.mark.parametrize(("change", "expected"), [c[1:] for c in BROKEN], ids=[c[0] for c in BROKEN])
def test_broken_stream(change: Callable[[bytes], bytes], expected: tuple[str, int], pieces: str) -> None:
    headers, body = stream(DATA, SIZES, TRAILER)
    twin = change(body)
    assert twin != body
    step = len(twin) if pieces == "whole" else 1000
    with pytest.raises(VerificationError) as caught:
        run(headers, twin, range(step, len(twin), step))
    assert (caught.value.code, caught.value.status) == expected
    if caught.value.code == "SignatureDoesNotMatch":
        assert caught.value.extra["StringToSign"].startswith(f"{sigv4a.ALGORITHM}-")


def test_small_chunk_in_the_middle() -> None:
    headers, body = stream(DATA, [8192, 8191, 3617])
    with pytest.raises(VerificationError) as caught:
        run(headers, body)
    assert caught.value.code == "InvalidChunkSizeError"
    assert caught.value.extra == {"Chunk": "3", "BadChunkSize": "8191"}


def test_fewer_bytes_than_announced() -> None:
    headers, _ = stream(DATA, SIZES)
    seed = streams.authorization_parts(dict(headers)["authorization"])[2]
    body = sigv4a.frame_signed(WHO, seed, DATA[:8192], [8192])
    with pytest.raises(VerificationError) as caught:
        run(headers, body)
    assert caught.value.code == "IncompleteBody"
    assert caught.value.extra["NumberBytesProvided"] == "8192"


def test_trailer_mode_without_a_trailer() -> None:
    who_headers = [*BASE, ("x-amz-decoded-content-length", "5")]
    headers, seed = WHO.sign_headers("PUT", TARGET, who_headers, sigv4a.STREAMING + "-TRAILER")
    with pytest.raises(VerificationError) as caught:
        run(headers, sigv4a.frame_signed(WHO, seed, b"hello", [5]))
    assert caught.value.code == "IncompleteBody"


def test_undeclared_trailer() -> None:
    headers, seed = WHO.sign_headers(
        "PUT", TARGET, [*BASE, ("x-amz-decoded-content-length", "5")], sigv4a.STREAMING
    )
    body = sigv4a.frame_signed(WHO, seed, b"hello", [5], [("x-amz-checksum-crc32", "NhCmhg==")])
    with pytest.raises(VerificationError) as caught:
        run(headers, body)
    assert caught.value.code == "MalformedTrailerError"


def test_signed_trailer_with_a_wrong_checksum() -> None:
    headers, body = stream(b"hello", [5], ("x-amz-checksum-crc32", "AAAAAA=="))
    with pytest.raises(VerificationError) as caught:
        run(headers, body)
    assert caught.value.code == "BadDigest"


def test_a_fault_stays() -> None:
    headers, body = stream(DATA, SIZES)
    checker = verifier().verify("PUT", TARGET, headers).body()
    with pytest.raises(VerificationError):
        checker.feed(b"x" + body)
    with pytest.raises(VerificationError):
        checker.feed(body)
    with pytest.raises(VerificationError):
        checker.finish()


def test_unsigned_chunks_and_plain_hash() -> None:
    given_headers = [
        *BASE,
        ("x-amz-decoded-content-length", "5"),
        ("x-amz-trailer", "x-amz-checksum-crc32"),
    ]
    headers, _ = WHO.sign_headers("PUT", TARGET, given_headers, reference.UNSIGNED_TRAILER)
    body = reference.frame_unsigned(b"hello", [5], [("x-amz-checksum-crc32", "NhCmhg==")])
    decoded, report = run(headers, body)
    assert (decoded, report.signed) == (b"hello", False)
    hashed = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    headers, _ = WHO.sign_headers("PUT", TARGET, BASE, hashed)
    assert run(headers, b"hello")[1].signed
    with pytest.raises(VerificationError) as caught:
        run(headers, b"hellO")
    assert caught.value.code == "XAmzContentSHA256Mismatch"


@pytest.mark.parametrize("payload", [reference.SIGNED, reference.SIGNED_TRAILER])
def test_hmac_stream_under_an_ecdsa_signature(payload: str) -> None:
    """The chunks of one scheme do not go with the head of the other: the constant is a hash no body has."""
    headers, _ = WHO.sign_headers("PUT", TARGET, [*BASE, ("x-amz-decoded-content-length", "0")], payload)
    with pytest.raises(VerificationError) as caught:
        run(headers, b"")
    assert caught.value.code == "XAmzContentSHA256Mismatch"


def test_stream_with_query_authentication() -> None:
    headers = [("host", HOST), ("x-amz-content-sha256", sigv4a.STREAMING)]
    url = SignerV4a(KNOWN, clock=lambda: NOW).presign("PUT", f"https://{HOST}/k", 60, headers)
    verified = verifier().verify("PUT", url.removeprefix(f"https://{HOST}"), headers)
    assert not verified.streaming


def test_missing_decoded_length() -> None:
    headers, _ = WHO.sign_headers("PUT", TARGET, BASE, sigv4a.STREAMING)
    with pytest.raises(VerificationError) as caught:
        verifier().verify("PUT", TARGET, headers)
    assert (caught.value.code, caught.value.status) == ("MissingContentLength", 411)


@given(st.binary(max_size=400), st.lists(st.integers(1, 400), max_size=4))
def test_arbitrary_bodies_do_no_harm(body: bytes, cuts: list[int]) -> None:
    headers, _ = stream(b"hello", [5])
    with pytest.raises(VerificationError):
        run(headers, body, [cut for cut in cuts if cut < len(body)])
