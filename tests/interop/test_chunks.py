"""Every chunk size and every remainder class of four chunks, witnessed by Swift, which recomputes each signature.

The kernels hash chunks in groups of four and more; a lone last chunk, a short one and a full one are different
ways through them. Swift checks chunk signatures, trailer signatures and checksums, and gives the MD5 of what it
decoded as the ETag.
"""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from rawhttp import Answer, send
from servers.names import ACCELERATED, BUCKET, REGION
from servers.process import RunningServer

from s3accel.credentials import Credentials
from s3accel.signer import Signer
from support import streams

pytestmark = pytest.mark.parametrize("server", ["swift"], indirect=True, scope="session")

HOST = f"{BUCKET}.{ACCELERATED}"
KIB, MIB = 1024, 1024 * 1024
CHECKSUMS = (None, "crc32", "crc32c", "crc64nvme", "sha1", "sha256")
# Whole chunks: every class modulo four, below and above the first four.
COUNTS = (0, 1, 2, 3, 4, 5, 6, 7)
# Bytes after them, taken in turn: nothing, one, one less than a chunk.
RESTS = (0, 1, -1)
# No chunk size divides the period.
POOL = (hashlib.sha512(b"chunks").digest() * 3 + b"odd") * (49 * MIB // 195 + 1)


@pytest.fixture(autouse=True)
def _bucket(boto_client: Any) -> None:
    """boto_client makes the bucket."""


def length_of(chunk_size: int, count: int, rest: int) -> int:
    return count * chunk_size + (rest if rest >= 0 else chunk_size + rest)


def make(
    server: RunningServer, key: str, length: int, chunk_size: int, checksum: str | None
) -> tuple[Any, bytearray]:
    config = server.config
    signer = Signer(Credentials(config.access_key_id, config.secret_access_key), REGION)
    data = POOL[:length]
    stream = signer.stream(
        "PUT", f"https://{HOST}/{key}", None, length, chunk_size=chunk_size, checksum=checksum
    )
    return stream, bytearray(streams.drain(stream, data))


def put(server: RunningServer, key: str, stream: Any, body: bytearray) -> Answer:
    return send(server, "PUT", HOST, f"/{key}", stream.headers.items(), body)


def check_taken(
    server: RunningServer, boto_client: Any, key: str, length: int, chunk_size: int, checksum: str | None
) -> None:
    stream, body = make(server, key, length, chunk_size, checksum)
    answer = put(server, key, stream, body)
    assert answer.status == 200, (key, answer.body)
    # Not the bytes themselves: pytest would print a difference of megabytes.
    md5 = hashlib.md5(memoryview(POOL)[:length]).hexdigest()
    assert answer.headers["etag"].strip('"') == md5, key
    found = hashlib.md5()
    if length >= 16 * MIB:
        return  # the ETag says the same, and reading back costs as much as sending
    for block in boto_client.get_object(Bucket=BUCKET, Key=key)["Body"].iter_chunks(MIB):
        found.update(block)
    assert found.hexdigest() == md5, key


@pytest.mark.parametrize("checksum", CHECKSUMS)
@pytest.mark.parametrize("chunk_size", [8 * KIB, 64 * KIB, 1 * MIB], ids=["8K", "64K", "1M"])
def test_every_class(server: RunningServer, boto_client: Any, chunk_size: int, checksum: str | None) -> None:
    """Each class of whole chunks; over the trailers every rest meets every class, above four and below."""
    shift = CHECKSUMS.index(checksum)
    for i, count in enumerate(COUNTS):
        if chunk_size > 8 * KIB and i // 4 != shift % 2:
            continue  # the other half of the counts comes with the next trailer
        rest = RESTS[(i + i // 4 + shift) % len(RESTS)]
        length = length_of(chunk_size, count, rest)
        check_taken(
            server, boto_client, f"chunks/{chunk_size}-{checksum}-{length}", length, chunk_size, checksum
        )


@pytest.mark.parametrize(
    ("checksum", "count", "rest"),
    [
        (None, 2, 1),
        ("crc32", 1, 0),
        ("crc32c", 1, 1),
        ("crc64nvme", 3, 0),
        ("sha1", 0, -1),
        ("sha256", 2, -1),
    ],
)
def test_largest_chunks(
    server: RunningServer, boto_client: Any, checksum: str | None, count: int, rest: int
) -> None:
    """16 MiB: one, two and three chunks, with and without a rest; groups hold one chunk of this size."""
    chunk_size = 16 * MIB
    length = length_of(chunk_size, count, rest)
    check_taken(server, boto_client, f"chunks/16M-{checksum}", length, chunk_size, checksum)


def test_four_of_the_largest_chunks(server: RunningServer, boto_client: Any) -> None:
    length = 3 * 16 * MIB + 9000
    check_taken(server, boto_client, "chunks/16M-four", length, 16 * MIB, "crc64nvme")


@pytest.mark.parametrize(
    ("count", "where"),
    [
        (1, "first"),
        (1, "last"),
        (2, "middle"),
        (2, "last"),
        (3, "first"),
        (3, "last"),
        (4, "middle"),
        (4, "last"),
    ],
)
@pytest.mark.parametrize("chunk_size", [8 * KIB, 64 * KIB, 1 * MIB], ids=["8K", "64K", "1M"])
def test_one_bit_of_the_data_is_refused(
    server: RunningServer, boto_client: Any, chunk_size: int, count: int, where: str
) -> None:
    """In whichever chunk it is: the first, one in the middle, or the last, which is short."""
    key = f"chunks/flipped-{chunk_size}-{count}-{where}"
    length = count * chunk_size + 100
    stream, body = make(server, key, length, chunk_size, "crc64nvme")
    header = len(f"{chunk_size:x}") + len(";chunk-signature=") + 64 + 2
    chunk = {"first": 0, "middle": count // 2, "last": count}[where]
    begin = chunk * (header + chunk_size + 2) + (header if chunk < count else len("64;chunk-signature=") + 66)
    size = chunk_size if chunk < count else 100
    assert body[begin : begin + size] == POOL[chunk * chunk_size :][:size], "the data begin here"
    body[begin + size // 2] ^= 0x10
    answer = put(server, key, stream, body)
    assert (answer.status, answer.element("Code")) == (403, "SignatureDoesNotMatch"), answer.body
    listed = boto_client.list_objects_v2(Bucket=BUCKET, Prefix=key)
    assert listed["KeyCount"] == 0


def test_one_bit_of_the_largest_chunk_is_refused(server: RunningServer, boto_client: Any) -> None:
    key = "chunks/flipped-16M"
    stream, body = make(server, key, 16 * MIB + 7, 16 * MIB, "crc32c")
    body[-400_000] ^= 0x01
    answer = put(server, key, stream, body)
    assert (answer.status, answer.element("Code")) == (403, "SignatureDoesNotMatch"), answer.body
    assert boto_client.list_objects_v2(Bucket=BUCKET, Prefix=key)["KeyCount"] == 0
