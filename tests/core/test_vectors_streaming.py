"""Published vectors: the AWS streaming examples, framing with and without signatures, exact lengths."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import urlsplit

import pytest

from s3accel import _core, checksums
from s3accel.credentials import Credentials
from s3accel.errors import ConfigError
from s3accel.signer import Signer
from s3accel.verify import Verifier
from support import reference, streams, vectors

DOC = vectors.load("s3-doc-examples")
FRAMING = vectors.load("streaming-framing")
DOC_STREAMS = [case for case in DOC["cases"] if case["kind"] == "streaming"]
FRAMING_SIZES = {
    name: sizes[1] for name, sizes in vectors.load("checksums")["digest_and_base64_sizes"].items()
}
URL = "https://bucket.s3.us-east-1.amazonaws.com/key"
WHO = reference.Identity(timestamp=DOC["meta"]["timestamp"])
KNOWN = Credentials(WHO.access_key_id, WHO.secret_access_key)
# The vectors sign Content-Encoding too, which the Signer does only when told to sign every header.
SIGNER = Signer(KNOWN, WHO.region, clock=lambda: reference.epoch(WHO.timestamp), sign_all_headers=True)
VERIFIER = Verifier(
    lambda key: KNOWN if key == KNOWN.access_key_id else None,
    region=WHO.region,
    clock=lambda: reference.epoch(WHO.timestamp),
)
# What the streaming signer makes itself.
OWN = {
    "content-encoding",
    "x-amz-date",
    "x-amz-content-sha256",
    "x-amz-decoded-content-length",
    "x-amz-trailer",
    "content-length",
}
# The lengths of SigV4a rows belong to the tests of SigV4a.
LENGTHS = [row for row in FRAMING["encoded_length"] if row[2] != "v4a"]


def target_of(given: dict[str, Any]) -> str:
    return str(given["target"]) if "target" in given else urlsplit(given["url"]).path


def authorized(given: dict[str, Any], expected: dict[str, Any]) -> list[tuple[str, str]]:
    headers = [(n, v) for n, v in given["headers"]]
    return [
        *headers,
        ("Authorization", WHO.authorization(expected["signed_headers"], expected["seed_signature"])),
    ]


def seed_through_the_stages(given: dict[str, Any], expected: dict[str, Any]) -> str:
    payload = next(v for n, v in given["headers"] if n.lower() == "x-amz-content-sha256")
    canonical, signed = _core.canonical_request(
        given["method"],
        target_of(given),
        [(n, v) for n, v in given["headers"]],
        payload,
        False,
        False,
        expected["signed_headers"].split(";"),
    )
    assert canonical.decode() == expected["canonical_request"]
    assert signed == expected["signed_headers"]
    text = _core.string_to_sign(WHO.timestamp, WHO.scope, canonical)
    assert text.decode() == expected["string_to_sign"]
    key = _core.SigningKey.derive(WHO.secret_access_key, WHO.timestamp[:8], WHO.region, "s3")
    return str(key.sign(text))


@pytest.mark.parametrize("case", DOC_STREAMS, ids=lambda case: case["id"])
def test_doc_seed(case: dict[str, Any]) -> None:
    assert seed_through_the_stages(case["input"], case["expected"]) == case["expected"]["seed_signature"]


@pytest.mark.parametrize("case", DOC_STREAMS, ids=lambda case: case["id"])
def test_doc_stream_signed(case: dict[str, Any]) -> None:
    """The whole framed body, every chunk signature and the trailer as published, from the published seed.

    Through the encoder: the example signs Content-Length, which the public stream does not.
    """
    given, expected = case["input"], case["expected"]
    data = vectors.data_of(given["body"])
    name = given["trailers"][0][0].removeprefix("x-amz-checksum-") if given["trailers"] else None
    key = _core.SigningKey.derive(WHO.secret_access_key, WHO.timestamp[:8], WHO.region, "s3")
    body = encode(key, expected["seed_signature"], data, given["chunk_size"], name)
    assert len(body) == expected["encoded_content_length"]
    position = 0
    for chunk in expected["chunks"]:
        header = chunk["header_on_wire"].encode()
        assert body[position : position + len(header)] == header
        position += chunk["bytes_on_wire"]
    if given["trailers"]:
        assert body[position:] == expected["trailer"]["on_wire"].encode()
    assert hashlib.sha256(body).hexdigest() == expected["encoded_body_sha256"]


@pytest.mark.parametrize("case", DOC_STREAMS, ids=lambda case: case["id"])
def test_doc_stream_verified(case: dict[str, Any]) -> None:
    """The published request, with the body of the reference implementation, passes the verifier."""
    given, expected = case["input"], case["expected"]
    data = vectors.data_of(given["body"])
    sizes = reference.split_sizes(len(data), given["chunk_size"])
    trailers = [(n, v) for n, v in given["trailers"]]
    body, _ = reference.frame_signed(WHO, expected["seed_signature"], data, sizes, trailers)
    assert hashlib.sha256(body).hexdigest() == expected["encoded_body_sha256"]
    request = VERIFIER.verify(given["method"], target_of(given), authorized(given, expected))
    assert request.canonical_request == expected["canonical_request"].encode()
    assert request.string_to_sign == expected["string_to_sign"].encode()
    decoded, report = streams.feed(request.body(), body, cuts=(1, 100, 65600, 66000))
    assert decoded == data
    assert (report.length, report.chunks, report.signed) == (len(data), len(sizes), True)


@pytest.mark.parametrize("case", FRAMING["signed"], ids=lambda case: case["id"])
def test_signed_framing(case: dict[str, Any]) -> None:
    given, expected = case["input"], case["expected"]
    assert (
        seed_through_the_stages(given, {**expected, "signed_headers": signed_names(expected)})
        == (expected["seed_signature"])
    )
    data = vectors.data_of(given["data"])
    host = next(v for n, v in given["headers"] if n == "Host")
    headers = {n: v for n, v in given["headers"] if n.lower() not in OWN}
    stream = SIGNER.stream(
        given["method"],
        f"https://{host}{given['target']}",
        headers,
        len(data),
        chunk_size=given["chunk_size"],
        checksum=given["trailer_algorithm"],
    )
    assert stream.encoded_length == expected["encoded_content_length"]
    _, signed, seed = streams.authorization_parts(stream.headers["Authorization"])
    assert signed == signed_names(expected)
    assert seed == expected["seed_signature"]
    body = streams.drain(stream, data)
    assert hashlib.sha256(body).hexdigest() == expected["encoded_sha256"]
    if expected.get("encoded_utf8"):
        assert body.decode() == expected["encoded_utf8"]
    if expected["trailer"]:
        assert expected["trailer"]["signature"].encode() in body


def signed_names(expected: dict[str, Any]) -> str:
    return str(expected["canonical_request"].split("\n")[-2])


@pytest.mark.parametrize("case", FRAMING["signed"], ids=lambda case: case["id"])
def test_signed_framing_verified(case: dict[str, Any]) -> None:
    given, expected = case["input"], case["expected"]
    data = vectors.data_of(given["data"])
    sizes = reference.split_sizes(len(data), given["chunk_size"])
    name = given["trailer_algorithm"]
    trailers = [(f"x-amz-checksum-{name}", reference.checksum_base64(name, data))] if name else []
    body, chain = reference.frame_signed(WHO, expected["seed_signature"], data, sizes, trailers)
    assert chain[: len(expected["chunks"])] == [chunk["signature"] for chunk in expected["chunks"]]
    assert hashlib.sha256(body).hexdigest() == expected["encoded_sha256"]
    whole = {**expected, "signed_headers": signed_names(expected)}
    request = VERIFIER.verify(given["method"], given["target"], authorized(given, whole))
    decoded, report = streams.feed(request.body(), body)
    assert decoded == data
    assert report.checksum_algorithm == name
    assert report.checksum_base64 == (trailers[0][1] if trailers else None)


def encode(key: _core.SigningKey | None, seed: str, data: bytes, chunk_size: int, name: str | None) -> bytes:
    """A body through the encoder itself, in groups of at most three chunks."""
    header, size = (f"x-amz-checksum-{name}", FRAMING_SIZES[name]) if name else ("", 0)
    encoder = _core.ChunkEncoder(key, WHO.timestamp, seed, len(data), chunk_size, name or "", header, size)
    digest = reference.checksum_base64(name, data) if name else None
    body = b""
    position = 0
    while (slots := encoder.open(3)) is not None:
        for slot in slots:
            slot[:] = data[position : position + len(slot)]
            position += len(slot)
        # The value of a checksum that is not native comes from outside, with the last group.
        outside = name and not checksums.ALGORITHMS[name].native and position == len(data)
        body += encoder.seal(digest) if outside else encoder.seal()
    assert len(body) == encoder.encoded_length
    return body


@pytest.mark.parametrize("case", FRAMING["unsigned"], ids=lambda case: case["id"])
def test_unsigned_framing(case: dict[str, Any]) -> None:
    data = vectors.data_of(case["data"])
    name = case["trailer_algorithm"]
    bodies = [encode(None, "", data, case["chunk_size"], name)]
    if name is None:
        # Nothing would protect such a body, so the public stream does not make it.
        with pytest.raises(ConfigError):
            SIGNER.stream("PUT", URL, {}, len(data), checksum=None, signed=False)
    else:
        stream = SIGNER.stream(
            "PUT", URL, {}, len(data), chunk_size=case["chunk_size"], checksum=name, signed=False
        )
        assert stream.headers["X-Amz-Content-Sha256"] == reference.UNSIGNED_TRAILER
        assert stream.headers["X-Amz-Decoded-Content-Length"] == str(case["x_amz_decoded_content_length"])
        assert stream.encoded_length == case["encoded_content_length"]
        bodies.append(streams.drain(stream, data))
    for body in bodies:
        assert len(body) == case["encoded_content_length"]
        assert hashlib.sha256(body).hexdigest() == case["encoded_sha256"]
        if case.get("encoded_utf8"):
            assert body.decode() == case["encoded_utf8"]


@pytest.mark.parametrize("row", LENGTHS, ids=lambda row: "-".join(str(field) for field in row[:4]))
def test_encoded_length(row: list[Any]) -> None:
    decoded, chunk_size, mode, trailer, expected = row
    name = f"x-amz-checksum-{trailer}" if trailer else None
    size = FRAMING_SIZES[trailer] if trailer else 0
    assert _core.encoded_length(decoded, chunk_size, mode == "v4", name, size) == expected


def test_trailer_sizes_of_the_algorithms() -> None:
    """The lengths above lean on the size of the base64 text, which the product keeps as a digest size."""
    for name, algorithm in checksums.ALGORITHMS.items():
        assert 4 * ((algorithm.digest_size + 2) // 3) == FRAMING_SIZES[name]
