"""After the last signature nothing that comes from the secret is left in the process's memory, whichever kernel signed.

A child signs in every way, drops everything, and its memory is searched from outside. The values searched for are worked
out here with hmac and a plain SHA-256 compression function.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import s3accel

pytestmark = pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs /proc/PID/mem")

SECRET = "Zq9" + "wJalrXUtnFEMI/K7MDENG+bPxRfiCY" + "EXAMPLE"
CHILD = """
import gc, sys
from s3accel import Credentials, Signer, SigningKey
mode, secret = sys.argv[1], sys.stdin.readline().strip()
def work():
    if mode == "key":
        key = SigningKey.derive(secret, "20260101", "us-east-1", "s3")
        key.sign("x" * 200)
        if "keep" in sys.argv: globals()["kept"] = key
        return
    s = Signer(Credentials("AK", secret), "us-east-1", clock=lambda: 1767268800.0)
    s.sign("GET", "https://h/k")
    s.sign_many([("GET", "https://h/%d" % i) for i in range(40)])
    s.presign("GET", "https://h/k")
    for count in (1, 2, 3, 5, 8, 16, 40):
        s.presign_many("GET", "https://h/b/", ["k%d" % i for i in range(count)])
    for checksum in (None, "crc32", "sha256"):
        b"".join(s.stream("PUT", "https://h/k", {}, 300000, checksum=checksum).pieces(b"x" * 300000))
    s.refresh()
work()
gc.collect()
print("ready", flush=True)
sys.stdin.readline()
"""


def roots(power: int, count: int) -> Iterator[int]:
    """The first 32 bits of the fractions of the roots of the first primes: FIPS 180-4, 4.2.2 and 5.3.3."""
    found: list[int] = []
    n = 2
    while len(found) < count:
        if all(n % p for p in found):
            found.append(n)
            low, high = 0, n << 32
            while low < high - 1:
                middle = (low + high) // 2
                low, high = (middle, high) if middle**power <= n << 32 * power else (low, middle)
            yield low & 0xFFFFFFFF
        n += 1


K = list(roots(3, 64))
INITIAL = list(roots(2, 8))


def compress(state: list[int], block: bytes) -> list[int]:
    def turn(x: int, n: int) -> int:
        return (x >> n | x << (32 - n)) & 0xFFFFFFFF

    w = list(struct.unpack(">16I", block))
    for i in range(16, 64):
        s0 = turn(w[i - 15], 7) ^ turn(w[i - 15], 18) ^ w[i - 15] >> 3
        s1 = turn(w[i - 2], 17) ^ turn(w[i - 2], 19) ^ w[i - 2] >> 10
        w.append((w[i - 16] + s0 + w[i - 7] + s1) & 0xFFFFFFFF)
    a, b, c, d, e, f, g, h = state
    for i in range(64):
        t1 = h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + (e & f ^ ~e & g) + K[i] + w[i]
        t2 = (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + (a & b ^ a & c ^ b & c)
        a, b, c, d, e, f, g, h = (t1 + t2) & 0xFFFFFFFF, a, b, c, (d + t1) & 0xFFFFFFFF, e, f, g
    return [(x + y) & 0xFFFFFFFF for x, y in zip(state, (a, b, c, d, e, f, g, h), strict=True)]


def needles() -> dict[str, bytes]:
    made: dict[str, bytes] = {"AWS4 + secret": b"AWS4" + SECRET.encode()}
    key = made["AWS4 + secret"]
    for name, message in (
        ("date", b"20260101"),
        ("region", b"us-east-1"),
        ("service", b"s3"),
        ("signing", b"aws4_request"),
    ):
        key = hmac.new(key, message, hashlib.sha256).digest()
        made[name] = key
        made[f"{name}, words"] = struct.pack("<8I", *struct.unpack(">8I", key))
        for pad, byte in (("inner", 0x36), ("outer", 0x5C)):
            block = bytes(b ^ byte for b in key.ljust(64, b"\0"))
            made[f"{name}, {pad} pad"] = block[:32]
            made[f"{name}, {pad} pad, words"] = struct.pack("<8I", *struct.unpack(">8I", block[:32]))
            s = compress(INITIAL, block)
            made[f"{name}, {pad} state"] = struct.pack("<8I", *s)
            made[f"{name}, {pad} state, abef"] = struct.pack("<4I", s[5], s[4], s[1], s[0])
            made[f"{name}, {pad} state, cdgh"] = struct.pack("<4I", s[7], s[6], s[3], s[2])
            for lanes in (4, 8, 16):  # transposed: a word of every lane side by side
                made[f"{name}, {pad} state in {lanes} lanes"] = struct.pack("<I", s[0]) * lanes
    return made  # fmt: skip


def found(process: subprocess.Popen[str]) -> set[str]:
    names = set()
    wanted = needles()
    for line in Path(f"/proc/{process.pid}/maps").read_text().splitlines():
        words = line.split()
        if "r" not in words[1] or (
            len(words) > 5 and words[5] in ("[vvar]", "[vvar_vclock]", "[vsyscall]", "[vdso]")
        ):
            continue
        begin, end = (int(x, 16) for x in words[0].split("-"))
        try:
            with open(f"/proc/{process.pid}/mem", "rb", 0) as memory:
                memory.seek(begin)
                data = memory.read(end - begin)
        except OSError:
            continue
        names |= {name for name, value in wanted.items() if value in data}
    return names  # fmt: skip


def left_after(kernel: str, *arguments: str) -> set[str]:
    environment = {**os.environ, "S3ACCEL_KERNEL": kernel}
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(SECRET + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "ready\n"
        try:
            return found(process)
        except PermissionError:
            pytest.skip("the memory of a child cannot be read here")


KERNELS = ["", *(k["name"] for k in s3accel.kernels() if k["available"] and k["what"] != "crc")]


def test_the_compression_function_is_sha256() -> None:
    block = b"abc\x80" + bytes(59) + b"\x18"
    assert struct.pack(">8I", *compress(INITIAL, block)) == hashlib.sha256(b"abc").digest()


def test_a_key_that_is_kept_is_found() -> None:
    """Otherwise a search that finds nothing would say nothing."""
    kept = left_after("", "key", "keep")
    assert {"signing", "signing, inner state", "signing, outer state"} & kept


@pytest.mark.parametrize("mode", ["key", "signer"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_nothing_is_left(kernel: str, mode: str) -> None:
    assert left_after(kernel, mode) == set()
