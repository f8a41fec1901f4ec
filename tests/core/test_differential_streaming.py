"""The streaming signer against an independent implementation, and the verifier against both.

The witness for signatures and framing is ``support/reference.py`` (hashlib and hmac); for the checksums zlib,
hashlib and awscrt.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import itertools
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s3accel.credentials import Credentials
from s3accel.errors import VerificationError
from s3accel.signer import Signer
from s3accel.streaming import MAX_CHUNK_SIZE, MIN_CHUNK_SIZE
from s3accel.verify import Verifier
from support import reference, streams

KIB, MIB = 1024, 1024 * 1024
WHO = reference.Identity(timestamp="20260823T101112Z", region="eu-west-3")
TOKEN = "IQoJb3JpZ2luX2VjEXAMPLE//token+=="
KNOWN = Credentials(WHO.access_key_id, WHO.secret_access_key)
HOST = "bucket.s3-accelerate.amazonaws.com"
TARGET = "/a%20key/%2B%C3%A9"
SIGNER = Signer(KNOWN, WHO.region, clock=lambda: reference.epoch(WHO.timestamp))
VERIFIER = Verifier(
    lambda key: KNOWN if key == KNOWN.access_key_id else None,
    region=WHO.region,
    clock=lambda: reference.epoch(WHO.timestamp),
)
CHUNK_SIZES = (8 * KIB, 64 * KIB, 1 * MIB, 16 * MIB)
# Nothing, one byte, one less and one more than a whole number of chunks, whole numbers, a short rest.
REMAINDERS: dict[str, Callable[[int], int]] = {
    "empty": lambda c: 0,
    "one-byte": lambda c: 1,
    "chunk-minus-1": lambda c: c - 1,
    "chunk": lambda c: c,
    "chunk-plus-1": lambda c: c + 1,
    "two-chunks": lambda c: 2 * c,
    "two-chunks-and-8191": lambda c: 2 * c + 8191,
}
# Enough for 2 * 16 MiB + 8191, without a period that a chunk size divides.
POOL = (hashlib.sha512(b"pool").digest() * 3 + b"odd") * (34 * MIB // 195 + 1)


def awscrt_checksum(name: str, data: bytes) -> bytes:
    from awscrt import checksums

    if name == "crc32c":
        return int(checksums.crc32c(data)).to_bytes(4, "big")
    return int(checksums.crc64nvme(data)).to_bytes(8, "big")


def witness_checksum(name: str, data: bytes) -> str:
    if name == "crc32":
        raw = zlib.crc32(data).to_bytes(4, "big")
    elif name in ("crc32c", "crc64nvme") and len(data) > 100_000:
        pytest.importorskip("awscrt", reason="awscrt is the fast witness for crc32c and crc64nvme")
        raw = awscrt_checksum(name, data)
    else:
        raw = reference.checksum(name, data)
    return base64.b64encode(raw).decode()


def received(stream: object, own: list[tuple[str, str]]) -> list[tuple[str, str]]:
    added: dict[str, str] = stream.headers  # type: ignore[attr-defined]
    names = {name.lower() for name in added}
    return [("host", HOST), *((n, v) for n, v in own if n.lower() not in names), *added.items()]


def check(data: bytes, chunk_size: int, checksum: str | None, signed: bool, signer: Signer = SIGNER) -> bytes:
    """One stream, byte for byte equal to the witness; gives the body."""
    own = [("Content-Type", "application/octet-stream"), ("x-amz-meta-a", "  b  c ")]
    stream = signer.stream(
        "PUT",
        f"https://{HOST}{TARGET}",
        own,
        len(data),
        chunk_size=chunk_size,
        checksum=checksum,
        signed=signed,
    )
    who = streams.identity_of(stream, WHO.secret_access_key)
    assert who == WHO
    seed = streams.check_seed(stream, who, "PUT", TARGET, [("host", HOST), *own])
    headers = stream.headers
    if not signed:
        payload = reference.UNSIGNED_TRAILER
    else:
        payload = reference.SIGNED_TRAILER if checksum else reference.SIGNED
    assert headers["X-Amz-Content-Sha256"] == payload
    assert headers["X-Amz-Decoded-Content-Length"] == str(len(data))
    assert headers["Content-Encoding"] == "aws-chunked"
    assert headers.get("X-Amz-Trailer") == (f"x-amz-checksum-{checksum}" if checksum else None)
    trailers = [(f"x-amz-checksum-{checksum}", witness_checksum(checksum, data))] if checksum else []
    sizes = reference.split_sizes(len(data), chunk_size)
    if signed:
        expected, _ = reference.frame_signed(who, seed, data, sizes, trailers)
    else:
        expected = reference.frame_unsigned(data, sizes, trailers)
    assert stream.encoded_length == len(expected)
    assert headers["Content-Length"] == str(len(expected))
    body = streams.drain(stream, data)
    # Not one assertion on two bodies of megabytes: pytest would print a difference for minutes.
    assert hashlib.sha256(body).digest() == hashlib.sha256(expected).digest()
    assert stream.checksum == (trailers[0][1] if trailers else None)
    return body


@pytest.mark.parametrize("signed", [True, False], ids=["signed", "unsigned"])
@pytest.mark.parametrize("remainder", REMAINDERS)
@pytest.mark.parametrize("chunk_size", CHUNK_SIZES)
def test_every_chunk_size_and_remainder(chunk_size: int, remainder: str, signed: bool) -> None:
    data = POOL[: REMAINDERS[remainder](chunk_size)]
    check(data, chunk_size, "crc32", signed)


@pytest.mark.parametrize("chunk_size", CHUNK_SIZES)
def test_signed_without_a_trailer(chunk_size: int) -> None:
    check(POOL[: chunk_size + 5], chunk_size, None, True)


NAMES = (
    "crc32",
    "crc32c",
    "crc64nvme",
    "sha1",
    "sha256",
    "sha512",
    "md5",
    "xxhash64",
    "xxhash3",
    "xxhash128",
)


@pytest.mark.parametrize("signed", [True, False], ids=["signed", "unsigned"])
@pytest.mark.parametrize("name", NAMES)
def test_every_trailer_checksum(name: str, signed: bool) -> None:
    if name.startswith("xxhash") and importlib.util.find_spec("xxhash") is None:
        pytest.skip("needs the xxhash package")
    check(POOL[:20_000], 8 * KIB, name, signed)


def test_session_token_is_signed() -> None:
    signer = Signer(
        Credentials(WHO.access_key_id, WHO.secret_access_key, TOKEN),
        WHO.region,
        clock=lambda: reference.epoch(WHO.timestamp),
    )
    check(POOL[:10_000], 8 * KIB, "crc64nvme", True, signer)


# Dearer than the others: each example encodes, decodes and hashes up to 40,000 bytes several times.
@settings(max_examples=settings.default.max_examples * 6 // 10)
@given(
    length=st.integers(0, 40_000),
    chunk_size=st.integers(MIN_CHUNK_SIZE, 20_000),
    checksum=st.sampled_from([None, "crc32", "crc32c", "crc64nvme", "sha256"]),
    signed=st.booleans(),
    cuts=st.lists(st.integers(0, 60_000), max_size=12),
)
def test_any_length_and_chunk_size(
    length: int, chunk_size: int, checksum: str | None, signed: bool, cuts: list[int]
) -> None:
    """Equal to the witness, and the verifier gives the data back, however the body is cut."""
    signed = signed or checksum is None  # an unsigned stream without a checksum is refused
    data = POOL[:length]
    body = check(data, chunk_size, checksum, signed)
    own = [("Content-Type", "application/octet-stream"), ("x-amz-meta-a", "  b  c ")]
    stream = SIGNER.stream(
        "PUT", f"https://{HOST}{TARGET}", own, length, chunk_size=chunk_size, checksum=checksum, signed=signed
    )
    request = VERIFIER.verify("PUT", TARGET, received(stream, own))
    decoded, report = streams.feed(request.body(), body, [cut for cut in cuts if cut < len(body)])
    assert decoded == data
    assert report.length == length
    assert report.chunks == len(reference.split_sizes(length, chunk_size))
    assert report.signed == signed
    assert report.checksum_algorithm == checksum
    assert report.md5_hex == hashlib.md5(data).hexdigest()


def test_frames_equal_slots_and_seal() -> None:
    data = POOL[:300_000]
    make = lambda: SIGNER.stream(  # noqa: E731
        "PUT", f"https://{HOST}{TARGET}", None, len(data), chunk_size=16 * KIB, checksum="crc64nvme"
    )
    one, other = make(), make()
    assert b"".join(one.frames(streams.reader(data))) == streams.drain(other, data)


@pytest.mark.parametrize("chunk_size", [0, 1, MIN_CHUNK_SIZE - 1, MAX_CHUNK_SIZE + 1, -1])
def test_chunk_size_out_of_range_is_refused(chunk_size: int) -> None:
    with pytest.raises(ValueError):
        SIGNER.stream("PUT", f"https://{HOST}{TARGET}", None, 10, chunk_size=chunk_size)


# --- Nothing that was changed on the way passes -------------------------------------------------------------


def short_stream(signed: bool) -> tuple[list[tuple[str, str]], bytes, bytes]:
    """Two chunks (8192 and 40 bytes) with a trailer: request headers, body, object bytes."""
    data = POOL[: MIN_CHUNK_SIZE + 40]
    stream = SIGNER.stream(
        "PUT",
        f"https://{HOST}{TARGET}",
        None,
        len(data),
        chunk_size=MIN_CHUNK_SIZE,
        checksum="crc32c",
        signed=signed,
    )
    return received(stream, []), streams.drain(stream, data), data


def harmless(body: bytes, position: int, new: int) -> bool:
    """Places where a changed byte means the same: S3 reads them alike, so a verifier may.

    The case of a hexadecimal size, the case of a trailer's name, and what stands in the very last line
    end (S3 accepts its absence and junk after it).
    """
    old = body[position]
    if position >= len(body) - 2:
        return True
    if chr(old).lower() != chr(new).lower():
        return False
    line_start = body.rfind(b"\r\n", 0, position) + 2 if position else 0
    if b"\r\n" not in body[:position]:
        line_start = 0
    line = body[line_start : body.index(b"\r\n", line_start)]
    at = position - line_start
    if line.startswith(b"x-amz-"):
        return at < line.index(b":")
    head, _, _ = line.partition(b";")
    return at < len(head) and head.strip(b"0123456789abcdef") == b""


@pytest.mark.parametrize("signed", [True, False], ids=["signed", "unsigned"])
def test_every_flipped_byte_is_refused(signed: bool) -> None:
    """Each byte of the body changed in turn: the framing in eight ways, of the data every 61st byte."""
    headers, body, data = short_stream(signed)
    first = body.index(b"\r\n") + 2
    skipped = range(first + 64, first + MIN_CHUNK_SIZE - 64)
    accepted = []
    for position in range(len(body)):
        if position in skipped and position % 61:
            continue
        for bit in range(8) if position not in skipped else (position % 8,):
            changed = bytearray(body)
            changed[position] ^= 1 << bit
            try:
                decoded, _ = streams.feed(VERIFIER.verify("PUT", TARGET, headers).body(), bytes(changed))
            except VerificationError:
                continue
            assert decoded == data, f"byte {position}, bit {bit}: other data were accepted"
            if not harmless(body, position, changed[position]):
                accepted.append((position, bit, bytes(body[max(0, position - 8) : position + 8])))
    assert accepted == []


@given(
    signed=st.booleans(),
    change=st.one_of(
        st.tuples(st.just("cut"), st.integers(0, 1 << 20), st.just(b"")),
        st.tuples(st.just("insert"), st.integers(0, 1 << 20), st.binary(min_size=1, max_size=3)),
        st.tuples(st.just("drop"), st.integers(0, 1 << 20), st.just(b"")),
        st.tuples(st.just("swap"), st.integers(0, 1 << 20), st.binary(min_size=2, max_size=8)),
    ),
)
def test_no_change_of_the_body_changes_the_object(signed: bool, change: tuple[str, int, bytes]) -> None:
    """Whatever happens on the way: either the body is refused or the object is what was sent."""
    headers, body, data = short_stream(signed)
    kind, where, what = change
    at = where % len(body)
    changed = {
        "cut": body[:at],
        "insert": body[:at] + what + body[at:],
        "drop": body[:at] + body[at + 1 :],
        "swap": body[:at] + what + body[at + len(what) :],
    }[kind]
    try:
        decoded, _ = streams.feed(VERIFIER.verify("PUT", TARGET, headers).body(), changed)
    except VerificationError:
        return
    assert decoded == data


def test_swapped_chunks_are_refused() -> None:
    """Two whole signed chunks of equal size change places: each signature is right, the chain is not."""
    data = POOL[: 3 * MIN_CHUNK_SIZE]
    stream = SIGNER.stream("PUT", f"https://{HOST}{TARGET}", None, len(data), chunk_size=MIN_CHUNK_SIZE)
    body = streams.drain(stream, data)
    size = len(f"{MIN_CHUNK_SIZE:x}") + 81 + 2 + MIN_CHUNK_SIZE + 2
    swapped = body[size : 2 * size] + body[:size] + body[2 * size :]
    with pytest.raises(VerificationError) as caught:
        streams.feed(VERIFIER.verify("PUT", TARGET, received(stream, [])).body(), swapped)
    assert (caught.value.code, caught.value.status) == ("SignatureDoesNotMatch", 403)
    assert caught.value.extra["StringToSign"].startswith("AWS4-HMAC-SHA256-PAYLOAD\n")


def test_body_of_another_request_is_refused() -> None:
    headers, _, _ = short_stream(True)
    other = SIGNER.stream(
        "PUT", f"https://{HOST}/other", None, 40, chunk_size=MIN_CHUNK_SIZE, checksum="crc32c"
    )
    with pytest.raises(VerificationError):
        streams.feed(VERIFIER.verify("PUT", TARGET, headers).body(), streams.drain(other, POOL[:40]))


def test_pairs_of_cuts() -> None:
    """A small body, cut at every pair of places: framing split anywhere decodes to the same bytes."""
    stream = SIGNER.stream("PUT", f"https://{HOST}{TARGET}", None, 5, checksum="crc32")
    body = streams.drain(stream, b"hello")
    request = received(stream, [])
    for pair in itertools.combinations(range(1, len(body), 3), 2):
        decoded, _ = streams.feed(VERIFIER.verify("PUT", TARGET, request).body(), body, pair)
        assert decoded == b"hello"
