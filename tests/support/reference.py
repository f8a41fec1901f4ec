"""Signature Version 4 and aws-chunked once more, from the documents, with hashlib and hmac only.

This is the witness that the tests compare the product with, so it imports nothing of the product, takes
no short cuts and prefers to be plain over being fast. It is itself checked against the published AWS
examples in ``tests/core/test_reference.py``.
"""

from __future__ import annotations

import base64
import calendar
import hashlib
import hmac
import time
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


def epoch(timestamp: str) -> float:
    """Seconds since 1970 of an ``X-Amz-Date`` text."""
    return float(calendar.timegm(time.strptime(timestamp, "%Y%m%dT%H%M%SZ")))


def timestamp_of(seconds: float) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(seconds))


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()


def signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    key = ("AWS4" + secret).encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac_sha256(key, part.encode())
    return key


def encode(text: str | bytes, safe: str = "") -> str:
    return quote(text, safe=safe + "-._~")


def canonical_query(raw: str, leave_out: Iterable[str] = ()) -> str:
    pairs = []
    for segment in raw.split("&"):
        if segment:
            name, _, value = segment.partition("=")
            pairs.append((encode(unquote_to_bytes(name)), encode(unquote_to_bytes(value))))
    gone = set(leave_out)
    return "&".join(f"{name}={value}" for name, value in sorted(pairs) if name not in gone)


def canonical_request(
    method: str,
    target: str,
    headers: Sequence[tuple[str, str]],
    payload: str,
    signed: Sequence[str] | None = None,
    leave_out: Iterable[str] = (),
) -> tuple[str, str]:
    """The S3 form: the path as it stands. Gives the canonical request and the signed header names."""
    path, _, query = target.partition("?")
    collected: dict[str, list[str]] = {}
    for name, value in headers:
        words = value.replace("\t", " ").split(" ")
        collected.setdefault(name.lower(), []).append(" ".join(word for word in words if word))
    names = sorted(collected if signed is None else (name.lower() for name in signed))
    lines = "".join(f"{name}:{','.join(collected[name])}\n" for name in names if name in collected)
    text = "\n".join(
        [method, path or "/", canonical_query(query, leave_out), lines, ";".join(names), payload]
    )
    return text, ";".join(names)


def string_to_sign(timestamp: str, scope: str, canonical: str) -> str:
    return "\n".join(
        ["AWS4-HMAC-SHA256", timestamp, scope, hashlib.sha256(canonical.encode("utf-8")).hexdigest()]
    )


@dataclass(frozen=True)
class Identity:
    """Who signs, when and where."""

    access_key_id: str = "AKIAIOSFODNN7EXAMPLE"
    secret_access_key: str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    timestamp: str = "20260101T120000Z"
    region: str = "us-east-1"
    service: str = "s3"

    @property
    def scope(self) -> str:
        return f"{self.timestamp[:8]}/{self.region}/{self.service}/aws4_request"

    @property
    def key(self) -> bytes:
        return signing_key(self.secret_access_key, self.timestamp[:8], self.region, self.service)

    def sign_text(self, text: str) -> str:
        return hmac_sha256(self.key, text.encode("utf-8")).hex()

    def authorization(self, signed: str, signature: str) -> str:
        return (
            f"AWS4-HMAC-SHA256 Credential={self.access_key_id}/{self.scope}, "
            f"SignedHeaders={signed}, Signature={signature}"
        )

    def sign_headers(
        self, method: str, target: str, headers: Sequence[tuple[str, str]], payload: str
    ) -> tuple[list[tuple[str, str]], str]:
        """Headers with date, payload hash and Authorization added, all of them signed; and the signature."""
        whole = [*headers, ("x-amz-date", self.timestamp), ("x-amz-content-sha256", payload)]
        canonical, signed = canonical_request(method, target, whole, payload)
        signature = self.sign_text(string_to_sign(self.timestamp, self.scope, canonical))
        return [*whole, ("authorization", self.authorization(signed, signature))], signature


def chunk_string(identity: Identity, previous: str, data: bytes) -> str:
    return "\n".join(
        [
            "AWS4-HMAC-SHA256-PAYLOAD",
            identity.timestamp,
            identity.scope,
            previous,
            EMPTY_SHA256,
            hashlib.sha256(data).hexdigest(),
        ]
    )


def trailer_string(identity: Identity, previous: str, trailers: Sequence[tuple[str, str]]) -> str:
    text = "".join(f"{name.lower()}:{value.strip()}\n" for name, value in sorted(trailers))
    return "\n".join(
        [
            "AWS4-HMAC-SHA256-TRAILER",
            identity.timestamp,
            identity.scope,
            previous,
            hashlib.sha256(text.encode()).hexdigest(),
        ]
    )


def split_sizes(length: int, chunk_size: int) -> list[int]:
    whole, rest = divmod(length, chunk_size)
    return [chunk_size] * whole + ([rest] if rest else [])


def frame_signed(
    identity: Identity,
    seed: str,
    data: bytes,
    sizes: Sequence[int],
    trailers: Sequence[tuple[str, str]] = (),
) -> tuple[bytes, list[str]]:
    """The aws-chunked body, signed, and the chain of signatures: chunks, zero chunk, trailer if any."""
    view = memoryview(data)
    out = bytearray()
    chain = []
    previous = seed
    position = 0
    for size in [*sizes, 0]:
        piece = bytes(view[position : position + size])
        position += size
        previous = identity.sign_text(chunk_string(identity, previous, piece))
        chain.append(previous)
        out += f"{size:x};chunk-signature={previous}\r\n".encode()
        if size:
            out += piece + b"\r\n"
    if position != len(data):
        raise ValueError(f"chunk sizes cover {position} of {len(data)} bytes")
    if trailers:
        signature = identity.sign_text(trailer_string(identity, previous, trailers))
        chain.append(signature)
        for name, value in trailers:
            out += f"{name}:{value}\r\n".encode()
        out += f"x-amz-trailer-signature:{signature}\r\n".encode()
    return bytes(out + b"\r\n"), chain


def frame_unsigned(data: bytes, sizes: Sequence[int], trailers: Sequence[tuple[str, str]] = ()) -> bytes:
    out = bytearray()
    position = 0
    for size in sizes:
        out += f"{size:x}\r\n".encode() + data[position : position + size] + b"\r\n"
        position += size
    out += b"0\r\n"
    for name, value in trailers:
        out += f"{name}:{value}\r\n".encode()
    return bytes(out + b"\r\n")


def _crc_reflected(data: bytes, polynomial: int, width: int) -> int:
    """Any reflected CRC with all ones as start and final mask, one byte at a time."""
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ (polynomial if value & 1 else 0)
        table.append(value)
    mask = (1 << width) - 1
    crc = mask
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ mask


def checksum(name: str, data: bytes) -> bytes:
    """Raw digest. The CRCs without zlib are slow: they are plain enough to be read and believed."""
    if name == "crc32":
        return zlib.crc32(data).to_bytes(4, "big")
    if name == "crc32c":
        return _crc_reflected(data, 0x82F63B78, 32).to_bytes(4, "big")
    if name == "crc64nvme":
        return _crc_reflected(data, 0x9A6C9329AC4BC9B5, 64).to_bytes(8, "big")
    if name.startswith("xxhash"):
        import xxhash

        made = {"xxhash64": xxhash.xxh64, "xxhash3": xxhash.xxh3_64, "xxhash128": xxhash.xxh3_128}[name]
        return bytes(made(data).digest())
    return hashlib.new(name, data).digest()


def checksum_base64(name: str, data: bytes) -> str:
    return base64.b64encode(checksum(name, data)).decode()
