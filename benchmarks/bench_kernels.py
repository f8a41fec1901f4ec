"""The native kernels as a Python program calls them, against what it would call instead.

    taskset -c 1 pytest benchmarks/bench_kernels.py

Every row times both sides in turns within one process and quotes the median of the paired ratios, with the
lowest and highest, so that a machine that slows down for a while slows both sides. The targets are ratios too.
The C++ side alone, kernel by kernel and in cycles, is in benchmarks/cpp/bench_kernels.cpp.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import statistics
import tempfile
import threading
import time
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from s3accel import Credentials, Signer, SigningKey, _core
from support import reference

KIB = 1024
MIB = KIB * KIB
DATA = (hashlib.sha512(b"kernels").digest() * (16 * MIB // 64 + 1))[: 16 * MIB]
WHO = reference.Identity()
SIGNER = Signer(Credentials(WHO.access_key_id, WHO.secret_access_key), WHO.region)
TOKEN_SIGNER = Signer(Credentials(WHO.access_key_id, WHO.secret_access_key, "T" * 311), WHO.region)
BASE = "https://examplebucket.s3-accelerate.amazonaws.com/"
HEADERS = {
    "Content-Type": "application/octet-stream",
    "Cache-Control": "no-cache",
    "x-amz-meta-a": "1",
    "x-amz-meta-b": "2",
    "x-amz-storage-class": "STANDARD",
    "x-amz-acl": "private",
}
TITLE = "s3accel against what a Python program would call instead (ratio: higher is better)"
Tables = dict[str, list[tuple[str, ...]]]


def clock(call: Callable[[], Any], calls: int) -> float:
    begin = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - begin) / calls


def compare(
    benchmark: Any,
    tables: Tables,
    name: str,
    ours: Callable[[], Any],
    theirs: Callable[[], Any],
    *,
    target: str,
    unit: int = 0,
    calls: int = 1,
    rounds: int = 15,
) -> None:
    """Times both in turns. `unit`: bytes of one call, to show GB/s; 0 shows microseconds."""
    times: list[tuple[float, float]] = []

    def turn() -> None:
        times.append((clock(ours, calls), clock(theirs, calls)))

    if benchmark.disabled:
        rounds, calls = 1, 1
    benchmark.pedantic(turn, rounds=rounds, warmup_rounds=0 if benchmark.disabled else 1)
    mine = statistics.median(t[0] for t in times)
    other = statistics.median(t[1] for t in times)
    ratios = sorted(t[1] / t[0] for t in times)
    shown = (lambda s: f"{unit / s / 1e9:.2f} GB/s") if unit else (lambda s: f"{s * 1e6:.2f} us")
    rows = tables.setdefault(
        TITLE, [("what", "s3accel", "the other", "ratio", "lowest", "highest", "target")]
    )
    rows.append(
        (
            name,
            shown(mine),
            shown(other),
            f"{statistics.median(ratios):.2f}",
            f"{ratios[0]:.2f}",
            f"{ratios[-1]:.2f}",
            target,
        )
    )


@pytest.mark.parametrize("size", [64 * KIB, MIB], ids=["64KiB", "1MiB"])
def test_sha256_many(benchmark: Any, tables: Tables, size: int) -> None:
    view = memoryview(DATA)
    chunks = [view[i : i + size] for i in range(0, len(view), size)]
    assert _core.sha256_many(chunks) == [hashlib.sha256(c).digest() for c in chunks]
    compare(
        benchmark,
        tables,
        f"SHA-256 of {len(chunks)} x {size // KIB} KiB",
        lambda: _core.sha256_many(chunks),
        lambda: [hashlib.sha256(c).digest() for c in chunks],
        target="3.0",
        unit=len(DATA),
    )


def test_sha256_one(benchmark: Any, tables: Tables) -> None:
    compare(
        benchmark,
        tables,
        "SHA-256 of one 16 MiB message",
        lambda: _core.sha256(DATA),
        lambda: hashlib.sha256(DATA).digest(),
        target="1.0",
        unit=len(DATA),
    )


def python_stream(chunk_size: int, checksum: str | None) -> None:
    """A careful Python program: hashlib, hmac, and a second pass for the checksum where there is one."""
    view = memoryview(DATA)
    head = f"AWS4-HMAC-SHA256-PAYLOAD\n{WHO.timestamp}\n{WHO.scope}\n".encode()
    middle = f"\n{reference.EMPTY_SHA256}\n".encode()
    previous = b"0" * 64
    crc, whole = 0, hashlib.sha256()
    for start in range(0, len(view), chunk_size):
        piece = view[start : start + chunk_size]
        digest = hashlib.sha256(piece).hexdigest().encode()
        previous = hmac.digest(WHO.key, head + previous + middle + digest, "sha256").hex().encode()
        if checksum == "crc64nvme":
            crc = zlib.crc32(piece, crc)  # zlib has no CRC-64; its CRC-32 stands for the second pass
        elif checksum == "sha256":
            whole.update(piece)


def our_stream(chunk_size: int, checksum: str | None) -> None:
    stream = SIGNER.stream("PUT", BASE + "key", None, len(DATA), chunk_size=chunk_size, checksum=checksum)
    for _ in stream.pieces(DATA):
        pass


@pytest.mark.parametrize(
    ("chunk_size", "checksum", "target"),
    [
        (64 * KIB, None, "3.0"),
        (8 * KIB, None, "2.7"),
        (64 * KIB, "crc64nvme", "3.9"),
        (64 * KIB, "sha256", "1.95"),
    ],
)
def test_chunk_signer(
    benchmark: Any, tables: Tables, chunk_size: int, checksum: str | None, target: str
) -> None:
    compare(
        benchmark,
        tables,
        f"chunk signer, {chunk_size // KIB} KiB, {checksum or 'no checksum'}",
        lambda: our_stream(chunk_size, checksum),
        lambda: python_stream(chunk_size, checksum),
        target=target,
        unit=len(DATA),
    )


def test_from_a_file(benchmark: Any, tables: Tables) -> None:
    """pread from the page cache into the frames, sealed, beside the bare read."""
    with tempfile.TemporaryFile() as file:
        file.write(DATA * 4)
        file.flush()
        length = 4 * len(DATA)

        def frames() -> None:
            stream = SIGNER.stream("PUT", BASE + "key", None, length)
            at = 0
            while (slots := stream.slots()) is not None:
                if slots:
                    at += os.preadv(file.fileno(), slots, at)
                stream.seal()

        def read_and_hash() -> None:
            buffer = bytearray(64 * KIB)
            for at in range(0, length, len(buffer)):
                os.preadv(file.fileno(), [buffer], at)
                hashlib.sha256(buffer).digest()

        compare(
            benchmark,
            tables,
            "file to ready frames (other: pread + hashlib)",
            frames,
            read_and_hash,
            target="3.0 GB/s",
            unit=length,
        )


CRCS = [("crc32", 64 * KIB, "15"), ("crc32c", 64 * KIB, "1.0"), ("crc64nvme", 64 * KIB, "1.0")]
CRCS += [("crc32c", 4 * KIB, "1.5"), ("crc64nvme", 4 * KIB, "1.5")]


@pytest.mark.parametrize(("name", "size", "target"), CRCS)
def test_crc_awscrt(benchmark: Any, tables: Tables, name: str, size: int, target: str) -> None:
    checksums = pytest.importorskip("awscrt.checksums")
    data = DATA[:size]
    ours, theirs = getattr(_core, name), getattr(checksums, name)
    assert ours(data) == theirs(data)
    compare(
        benchmark,
        tables,
        f"{name} of {size // KIB} KiB (other: awscrt)",
        lambda: ours(data),
        lambda: theirs(data),
        target=target,
        unit=size,
        calls=2000,
    )


def test_crc32_zlib(benchmark: Any, tables: Tables) -> None:
    data = DATA[: 64 * KIB]
    compare(
        benchmark,
        tables,
        "crc32 of 64 KiB (other: zlib)",
        lambda: _core.crc32(data),
        lambda: zlib.crc32(data),
        target="12",
        unit=len(data),
        calls=500,
    )


def test_hmac(benchmark: Any, tables: Tables) -> None:
    messages = [DATA[i * 200 : (i + 1) * 200] for i in range(256)]
    key = WHO.key
    assert _core.hmac_sha256_many(key, messages)[7] == hmac.digest(key, messages[7], "sha256")
    compare(
        benchmark,
        tables,
        "256 HMACs of 200 B in a batch (other: hmac.new)",
        lambda: _core.hmac_sha256_many(key, messages),
        lambda: [hmac.new(key, m, "sha256").digest() for m in messages],
        target="7",
        calls=20,
    )


def test_key_derivation(benchmark: Any, tables: Tables) -> None:
    def theirs() -> bytes:
        key = b"AWS4" + WHO.secret_access_key.encode()
        for part in (WHO.timestamp[:8], WHO.region, "s3", "aws4_request"):
            key = hmac.new(key, part.encode(), "sha256").digest()
        return key

    def ours() -> SigningKey:
        return SigningKey.derive(WHO.secret_access_key, WHO.timestamp[:8], WHO.region, "s3")

    assert ours().export() == theirs()
    compare(benchmark, tables, "key derivation (other: 4 x hmac.new)", ours, theirs, target="8", calls=500)


def alone(
    benchmark: Any, tables: Tables, name: str, call: Callable[[], Any], *, each: int, limit: str
) -> None:
    """What one of `each` operations costs; the target is a time, so only a quiet machine can show it."""
    times: list[float] = []
    calls = 1 if benchmark.disabled else max(1, 20_000 // each)

    def turn() -> None:
        times.append(clock(call, calls) / each)

    benchmark.pedantic(turn, rounds=1 if benchmark.disabled else 25, warmup_rounds=0)
    rows = tables.setdefault("us for each request, from Python", [("what", "lowest", "median", "target")])
    rows.append((name, f"{min(times) * 1e6:.2f}", f"{statistics.median(times) * 1e6:.2f}", limit))


def test_sign_get(benchmark: Any, tables: Tables) -> None:
    alone(benchmark, tables, "sign a GET", lambda: SIGNER.sign("GET", BASE + "key"), each=1, limit="1.0")


def test_sign_put(benchmark: Any, tables: Tables) -> None:
    def call() -> None:
        TOKEN_SIGNER.sign("PUT", BASE + "key", HEADERS, "UNSIGNED-PAYLOAD")

    alone(benchmark, tables, "sign a PUT, 6 headers and a token", call, each=1, limit="1.5")


def test_presign(benchmark: Any, tables: Tables) -> None:
    alone(
        benchmark, tables, "presign a GET", lambda: SIGNER.presign("GET", BASE + "key"), each=1, limit="1.5"
    )


def test_presign_many(benchmark: Any, tables: Tables) -> None:
    keys = [f"photos/2026/{i}.jpg" for i in range(2000)]
    alone(
        benchmark,
        tables,
        "presign_many of 2,000",
        lambda: SIGNER.presign_many("GET", BASE, keys),
        each=len(keys),
        limit="0.4",
    )


def test_sign_many(benchmark: Any, tables: Tables) -> None:
    requests = [("GET", f"{BASE}photos/2026/{i}.jpg") for i in range(2000)]
    alone(benchmark, tables, "sign_many of 2,000", lambda: SIGNER.sign_many(requests), each=2000, limit="0.4")


def test_verify(benchmark: Any, tables: Tables) -> None:
    from s3accel import Verifier

    credentials = Credentials(WHO.access_key_id, WHO.secret_access_key)
    verifier = Verifier(lambda name: credentials, region=WHO.region)
    headers = [
        ("host", "examplebucket.s3-accelerate.amazonaws.com"),
        *SIGNER.sign("GET", BASE + "key").items(),
    ]
    alone(
        benchmark,
        tables,
        "verify a header-signed GET",
        lambda: verifier.verify("GET", "/key", headers),
        each=1,
        limit="3",
    )


def test_two_threads(benchmark: Any, tables: Tables) -> None:
    """The chunk signer on two cores at once; needs two idle cores and no pinning."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if cores < 2:
        pytest.skip("one core only (pinned?): two threads cannot show anything")

    # Long enough that the scheduler has spread the threads: on one of 5 ms two often share a core to its end.
    times = 1 if benchmark.disabled else 12

    def streams(count: int) -> None:
        for _ in range(count):
            our_stream(64 * KIB, None)

    def work(threads: int) -> None:
        running = [threading.Thread(target=streams, args=(2 * times // threads,)) for _ in range(threads)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()

    compare(
        benchmark,
        tables,
        "two threads, chunk signer (other: the same work on one)",
        lambda: work(2),
        lambda: work(1),
        target="1.9",
        unit=2 * times * len(DATA),
    )
