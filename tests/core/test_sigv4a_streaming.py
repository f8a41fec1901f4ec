"""SigV4a bodies in chunks: published and own vectors, lengths, checksums, the verifier as witness."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("cryptography", reason="SigV4a needs the cryptography package")

from s3accel.checksums import ALGORITHMS
from s3accel.credentials import Credentials
from s3accel.errors import ConfigError
from s3accel.sigv4a import SignerV4a, SigningKeyV4a, encoded_length_v4a
from s3accel.sigv4a.streaming import _Encoder, chunk_string, trailer_string
from s3accel.streaming import encoded_length
from support import reference, sigv4a, streams, vectors

OWN = vectors.load("sigv4a")
FOREIGN, ABSENT = vectors.third_party("sigv4a-aws-c-auth")
LENGTHS = [row for row in vectors.load("streaming-framing")["encoded_length"] if row[2] == "v4a"]
WHO = sigv4a.IdentityV4a()
KNOWN = Credentials(WHO.access_key_id, WHO.secret_access_key)
URL = "https://alias.mrap.accesspoint.s3-global.amazonaws.com/key"


@pytest.mark.parametrize("case", OWN["streaming"], ids=lambda case: case["id"])
def test_streaming_vector(case: dict[str, Any]) -> None:
    """The encoder from the vector's own seed: every string to sign, every padded signature, the whole body."""
    given, expected = case["input"], case["expected"]
    data = given["data_utf8"].encode()
    key = SigningKeyV4a.derive(given["access_key_id"], given["secret_access_key"])
    head = f"{given['timestamp']}\n{given['timestamp'][:8]}/s3/aws4_request\n"
    previous = expected["seed_signature_der_hex"]
    for chunk in expected["chunks"]:
        text = chunk_string(head, previous, hashlib.sha256(data[: chunk["size"]]).digest())
        assert text.decode() == chunk["string_to_sign"]
        key.public_key.verify(text, chunk["signature_der_hex"])
        previous = chunk["signature_der_hex"]
        assert chunk["signature_on_wire"] == previous.ljust(144, "*")
    name = value = None
    if given["trailers"]:
        [(name, value)] = given["trailers"]
        text = trailer_string(head, previous, name, value)
        assert text.decode() == expected["trailer"]["string_to_sign"]
        key.public_key.verify(text, expected["trailer"]["signature_der_hex"])
    checksum = None if name is None else name.removeprefix("x-amz-checksum-")
    assert (
        encoded_length_v4a(len(data), given["chunk_size"], checksum=checksum)
        == expected["encoded_content_length"]
    )
    seed = expected["seed_signature_der_hex"]
    encoder = _Encoder(key, head, seed, len(data), given["chunk_size"], name)
    encoder.open(4)
    encoder.fill(data)
    body = encoder.seal(value)
    assert encoder.finished
    assert len(body) == expected["encoded_content_length"]
    if key.deterministic:
        assert hashlib.sha256(body).hexdigest() == expected["encoded_body_sha256"]


@pytest.mark.skipif(FOREIGN is None, reason=ABSENT or "present")
def test_chunk_strings_of_aws_c_auth() -> None:
    found = FOREIGN["chunk_string_templates"] if FOREIGN else {}
    _, timestamp, scope, _ = found["chunk_prefix"].split("\n")
    head = f"{timestamp}\n{scope}\n"
    for data, suffix in ((b"a" * 65536, "chunk1"), (b"a" * 1024, "chunk2"), (b"", "final")):
        text = chunk_string(head, "30ab", hashlib.sha256(data).digest())
        assert text.decode() == found["chunk_prefix"] + "30ab" + found[f"{suffix}_suffix"]
    # S3 allows one trailer only; three go through the same hash when they are joined by hand.
    joined = "\n".join(f"{n}:{v}" for n, v in found["trailers"])
    text = trailer_string(head, "30ab", *joined.split(":", 1))
    assert text.decode() == found["trailer_prefix"] + "30ab" + found["trailer_suffix"]


@pytest.mark.parametrize("row", LENGTHS, ids=lambda row: "-".join(str(cell) for cell in row))
def test_encoded_length_vectors(row: list[Any]) -> None:
    length, chunk_size, _, trailer, expected = row[:5]
    if chunk_size < 8192:
        pytest.skip("S3 takes no such chunks, so neither do we")
    checksum = trailer.removeprefix("x-amz-checksum-") if trailer else None
    assert encoded_length_v4a(length, chunk_size, checksum=checksum) == expected


@pytest.mark.parametrize("checksum", [None, *ALGORITHMS])
@pytest.mark.parametrize("length", [0, 1, 8192, 20_000])
def test_stream(length: int, checksum: str | None) -> None:
    """Every signature of the stream is checked with `cryptography` by the test's own strings."""
    if checksum is not None and checksum.startswith("xxhash"):
        pytest.importorskip("xxhash")
    signer = SignerV4a(KNOWN, clock=lambda: reference.epoch(WHO.timestamp))
    data = bytes(i * 7 % 251 for i in range(length))
    stream = signer.stream(
        "PUT", URL, {"Content-Encoding": "gzip"}, length, chunk_size=8192, checksum=checksum
    )
    body = streams.drain(stream, data)
    assert len(body) == stream.encoded_length == int(stream.headers["Content-Length"])
    assert stream.headers["Content-Encoding"] == "gzip,aws-chunked"
    payload = sigv4a.STREAMING + ("" if checksum is None else "-TRAILER")
    assert stream.headers["X-Amz-Content-Sha256"] == payload
    assert stream.remaining == 0
    if checksum is not None:
        assert stream.checksum == reference.checksum_base64(checksum, data)

    public = WHO.private.public_key()
    _, signed, previous = streams.authorization_parts(stream.headers["Authorization"])
    host = ("host", urlsplit(URL).netloc)
    canonical, _ = reference.canonical_request(
        "PUT", "/key", [host, *stream.headers.items()], payload, signed.split(";")
    )
    assert sigv4a.is_valid(public, sigv4a.string_to_sign(WHO.timestamp, "s3", canonical), previous)
    head = f"{WHO.timestamp}\n{WHO.scope}\n"
    rest, position = body, 0
    while True:
        line, _, rest = rest.partition(b"\r\n")
        size, _, padded = line.decode().partition(";chunk-signature=")
        assert len(padded) == 144
        signature = padded.rstrip("*")
        piece = rest[: int(size, 16)]
        text = f"{sigv4a.ALGORITHM}-PAYLOAD\n{head}{previous}\n{reference.EMPTY_SHA256}\n"
        assert sigv4a.is_valid(public, text + hashlib.sha256(piece).hexdigest(), signature)
        assert piece == data[position : position + len(piece)]
        position += len(piece)
        previous = signature
        if not piece:
            break
        assert rest[len(piece) : len(piece) + 2] == b"\r\n"
        rest = rest[len(piece) + 2 :]
    assert position == length
    if checksum is None:
        assert rest == b"\r\n"
        return
    trailer, _, rest = rest.partition(b"\r\n")
    assert trailer.decode() == f"x-amz-checksum-{checksum}:{stream.checksum}"
    text = f"{sigv4a.ALGORITHM}-TRAILER\n{head}{previous}\n" + hashlib.sha256(trailer + b"\n").hexdigest()
    name, _, padded = rest.decode().partition(":")
    assert name == "x-amz-trailer-signature"
    assert padded.endswith("\r\n\r\n")
    assert len(padded) == 148
    assert sigv4a.is_valid(public, text, padded[:-4].rstrip("*"))


def test_stream_like_any_other() -> None:
    signer = SignerV4a(KNOWN, clock=lambda: reference.epoch(WHO.timestamp))
    data = bytes(300_000)
    stream = signer.stream("PUT", URL, None, len(data), chunk_size=8192, checksum="crc32")
    frames = b"".join(stream.frames(streams.reader(data)))
    assert len(frames) == stream.encoded_length
    assert stream.slots() is None
    with pytest.raises(ConfigError):
        stream.seal()
    # Of a buffer without copies; with RFC 6979 the same bytes.
    apart = signer.stream("PUT", URL, None, len(data), chunk_size=8192, checksum="crc32")
    pieces = b"".join(apart.pieces(data))
    assert len(pieces) == len(frames)
    assert apart.checksum == stream.checksum
    if SigningKeyV4a.derive("a", "b").deterministic:
        assert pieces == frames
    empty = signer.stream("PUT", URL, None, 0, checksum="crc32")
    assert len(b"".join(empty.pieces(b""))) == empty.encoded_length
    with pytest.raises(ConfigError, match="announced"):
        list(signer.stream("PUT", URL, None, 5).pieces(b"1234"))
    again = signer.stream("PUT", URL, None, len(data), chunk_size=8192, checksum="crc32")
    again.slots()
    with pytest.raises(ConfigError, match="not 5"):
        again.fill(b"short")
    for name in ("Content-Length", "x-amz-trailer", "Transfer-Encoding"):
        with pytest.raises(ConfigError):
            signer.stream("PUT", URL, {name: "1"}, 5)


def test_unsigned_stream_with_a_signed_head() -> None:
    signer = SignerV4a(KNOWN, clock=lambda: reference.epoch(WHO.timestamp))
    stream = signer.stream("PUT", URL, None, 5, checksum="crc32c", signed=False)
    body = streams.drain(stream, b"hello")
    assert body == b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32c:mnG7TA==\r\n\r\n"
    assert stream.encoded_length == len(body)
    assert stream.headers["X-Amz-Content-Sha256"] == "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
    assert stream.headers["Authorization"].startswith("AWS4-ECDSA-P256-SHA256 ")
    with pytest.raises(ConfigError, match="checksum"):
        signer.stream("PUT", URL, None, 5, signed=False)


@given(st.integers(0, 10**15), st.integers(8192, 2**24), st.sampled_from([None, *ALGORITHMS]))
def test_encoded_length(length: int, chunk_size: int, checksum: str | None) -> None:
    """80 characters more than an HMAC stream for each signature."""
    signatures = -(-length // chunk_size) + 1 + (checksum is not None)
    difference = encoded_length_v4a(length, chunk_size, checksum=checksum) - encoded_length(
        length, chunk_size, checksum=checksum
    )
    assert difference == 80 * signatures


@pytest.mark.parametrize(("length", "chunk"), [(-1, 8192), (True, 8192), (5, 8191), (5, 0), (5, 2**24 + 1)])
def test_encoded_length_refused(length: Any, chunk: int) -> None:
    with pytest.raises(ConfigError):
        encoded_length_v4a(length, chunk)
