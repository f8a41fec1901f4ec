"""Signed chunks per second over the chunk size, beside hashlib and hmac; the default size comes from here.

    pytest benchmarks/bench_chunks.py

64 MiB in memory are framed and signed (`STREAMING-AWS4-HMAC-SHA256-PAYLOAD`, and with a CRC64NVME
trailer). Both sides copy the payload into the frames once: ours into the slots of the stream, the loop
with join.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest

from s3accel import Credentials, Signer
from support import reference

KIB = 1024
SIZES = [8 * KIB, 16 * KIB, 32 * KIB, 64 * KIB, 128 * KIB, 256 * KIB, 512 * KIB, 1024 * KIB]
LENGTH = 64 * KIB * KIB
DATA = (hashlib.sha512(b"chunks").digest() * (LENGTH // 64 + 1))[:LENGTH]
WHO = reference.Identity()
SIGNER = Signer(
    Credentials(WHO.access_key_id, WHO.secret_access_key),
    WHO.region,
    clock=lambda: reference.epoch(WHO.timestamp),
)
URL = "https://bucket.s3-accelerate.amazonaws.com/key"
TITLE = "GB/s of signed chunks over the chunk size"


def make_stream(chunk_size: int, checksum: str | None) -> Any:
    return SIGNER.stream("PUT", URL, None, LENGTH, chunk_size=chunk_size, checksum=checksum)


def drain(chunk_size: int, checksum: str | None) -> int:
    stream = make_stream(chunk_size, checksum)
    view = memoryview(DATA)
    position = sent = 0
    while (slots := stream.slots()) is not None:
        for slot in slots:
            end = position + len(slot)
            slot[:] = view[position:end]
            position = end
        sent += len(stream.seal())
    return sent


def hashlib_loop(chunk_size: int, seed: str, key: bytes) -> int:
    """What a careful Python program does: the constant part of the string to sign made once, one copy."""
    view = memoryview(DATA)
    head = f"AWS4-HMAC-SHA256-PAYLOAD\n{WHO.timestamp}\n{WHO.scope}\n".encode()
    middle = f"\n{reference.EMPTY_SHA256}\n".encode()
    previous = seed.encode()
    sent = 0
    for start in range(0, LENGTH + chunk_size, chunk_size):
        piece = view[start : start + chunk_size]
        digest = hashlib.sha256(piece).hexdigest().encode()
        previous = hmac.digest(key, head + previous + middle + digest, "sha256").hex().encode()
        frame = b"".join((b"%x;chunk-signature=" % len(piece), previous, b"\r\n", piece, b"\r\n"))
        sent += len(frame)
    return sent


@pytest.mark.parametrize("chunk_size", SIZES, ids=lambda size: f"{size // KIB}KiB")
def test_chunks(benchmark: Any, tables: dict[str, list[tuple[str, ...]]], chunk_size: int) -> None:
    """Measured by hand in turns, so that both see the same machine; pytest-benchmark keeps our time."""
    import time

    stream = make_stream(chunk_size, None)
    seed = stream.headers["Authorization"].rpartition("=")[2]
    assert hashlib_loop(chunk_size, seed, WHO.key) == stream.encoded_length == drain(chunk_size, None)
    times: dict[str, list[float]] = {"ours": [], "trailer": [], "loop": []}

    def measure(name: str, call: Any) -> None:
        start = time.perf_counter()
        call()
        times[name].append(time.perf_counter() - start)

    def turn() -> None:
        measure("ours", lambda: drain(chunk_size, None))
        measure("trailer", lambda: drain(chunk_size, "crc64nvme"))
        measure("loop", lambda: hashlib_loop(chunk_size, seed, WHO.key))

    benchmark.group = "chunks"
    benchmark.pedantic(turn, rounds=7, warmup_rounds=1)
    speed = {name: LENGTH / min(values) / 1e9 for name, values in times.items()}
    benchmark.extra_info.update({name: round(value, 3) for name, value in speed.items()})
    rows = tables.setdefault(TITLE, [("chunk size", "s3accel", "+ crc64nvme", "hashlib+hmac", "ratio")])
    rows.append(
        (
            f"{chunk_size // KIB} KiB",
            f"{speed['ours']:.3f}",
            f"{speed['trailer']:.3f}",
            f"{speed['loop']:.3f}",
            f"{speed['ours'] / speed['loop']:.2f}",
        )
    )
