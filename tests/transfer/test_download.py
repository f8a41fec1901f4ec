"""Downloads from a server that does not do what it says, and the arithmetic of pieces."""

from __future__ import annotations

import hashlib
import io
import os
import re

import pytest

from s3accel import checksums
from s3accel.errors import (
    ChecksumMismatch,
    ConfigError,
    ConnectionLost,
    DownloadError,
    ObjectChanged,
    TransportError,
)
from s3accel.transfer.messages import Headers, Response
from s3accel.transfer.objectinfo import ObjectInfo
from s3accel.transfer.pieces import Expected, Got, Pieces, combined, expected_of, tiled

DATA = os.urandom(100_000)
STEP = 30_000
PARTS = [40_000, 5_000, 55_000]


def value(name, data):
    running = checksums.new(name)
    running.update(data)
    return checksums.encode(running.digest())


class Server:
    """Answers as S3 does, and then as ``change(headers, body, request headers)`` says."""

    def __init__(self, stated=None, change=None):
        self.stated = stated if stated is not None else {"crc32c": value("crc32c", DATA)}
        self.change = change
        self.parts = None
        self.requests = []

    def headers(self):
        items = {"etag": '"e1"', "content-length": str(len(DATA))}
        for name, text in self.stated.items():
            items[f"x-amz-checksum-{name}"] = text
            items["x-amz-checksum-type"] = "COMPOSITE" if "-" in text else "FULL_OBJECT"
        return items

    def send(self, request):
        asked = {name.lower(): text for name, text in request.headers}
        self.requests.append((request.method, request.url, asked))
        headers, data, status = self.headers(), DATA, 200
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", asked.get("range", ""))
        part = re.search(r"partNumber=(\d+)", request.url)
        start, stop = 0, len(DATA)
        if found:
            start, stop = int(found[1]), int(found[2]) + 1
        if part:
            start = sum(self.parts[: int(part[1]) - 1])
            stop = start + self.parts[int(part[1]) - 1]
            headers["x-amz-mp-parts-count"] = str(len(self.parts))
        if found or part:
            data, status = DATA[start:stop], 206
            headers["content-range"] = f"bytes {start}-{stop - 1}/{len(DATA)}"
            headers["content-length"] = str(len(data))
            for name in self.stated:
                del headers[f"x-amz-checksum-{name}"]
                if part:
                    headers[f"x-amz-checksum-{name}"] = value(name, data)
        if request.method == "HEAD":
            return Response(status, Headers(headers.items()))
        if self.change is not None:
            answer = self.change(headers, data, asked)
            if isinstance(answer, Response):
                return answer
            if answer is not None:
                headers, data = answer
        answered = Response(status, Headers(headers.items()))
        write = request.sink(answered.headers)
        for position in range(0, len(data), 7_000):
            write(data[position : position + 7_000])
        return answered


def fetch(new_client, server, target, **options):
    client = new_client(transport=server)
    return client.download("bkt", "k", target, **{"part_size": STEP, "concurrency": 2, **options})


def test_ranges_are_aligned_and_conditional(new_client, tmp_path):
    server = Server()
    result = fetch(new_client, server, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == DATA
    assert (result.verified, result.checksum_algorithm, result.ranges) == (True, "crc32c", 4)
    ranges = sorted(asked["range"] for method, _, asked in server.requests if method == "GET")
    assert ranges == ["bytes=0-29999", "bytes=30000-59999", "bytes=60000-89999", "bytes=90000-99999"]
    for method, _, asked in server.requests:
        assert asked.get("if-match") == (None if method == "HEAD" else '"e1"')
        assert asked["x-amz-checksum-mode"] == "ENABLED"
        assert "if-match" not in asked or "range" in asked["authorization"]


@pytest.mark.parametrize("to", ["path", "stream"])
def test_parts_of_any_size(new_client, tmp_path, to):
    digests, start = [], 0
    for length in PARTS:
        running = checksums.new("sha256")
        running.update(DATA[start : start + length])
        digests.append(running.digest())
        start += length
    server = Server({"sha256": checksums.composite("sha256", digests)})
    server.parts = PARTS
    stream = io.BytesIO()
    result = fetch(new_client, server, tmp_path / "out" if to == "path" else stream)
    assert (result.verified, result.ranges) == (True, 3)
    assert ((tmp_path / "out").read_bytes() if to == "path" else stream.getvalue()) == DATA


def test_a_part_that_arrives_wrong_is_named(new_client, tmp_path):
    digests = [hashlib.sha256(DATA[:50_000]).digest(), hashlib.sha256(DATA[50_000:]).digest()]

    def change(headers, data, asked):
        return headers, data[:-1] + bytes([data[-1] ^ 1])

    server = Server({"sha256": checksums.composite("sha256", digests)}, change)
    server.parts = [50_000, 50_000]
    with pytest.raises(ChecksumMismatch, match=r"part [12] arrived"):
        fetch(new_client, server, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("stated", [{}, {"sha1": "abc=-4"}])
def test_what_cannot_be_verified_is_said(new_client, tmp_path, stated):
    server = Server(stated)
    server.parts = [100_000]
    result = fetch(new_client, server, tmp_path / "out")
    assert (result.verified, result.checksum, result.checksum_algorithm) == (False, None, None)
    assert result.verification
    assert (tmp_path / "out").read_bytes() == DATA


@pytest.mark.parametrize(
    ("change", "kind", "says"),
    [
        (lambda h, d, _: ({**h, "etag": '"e2"'}, d), ObjectChanged, 'was "e1", now it is "e2"'),
        (lambda h, d, _: ({**h, "content-range": "bytes 0-29999/99999"}, d), DownloadError, "the answer has"),
        (
            lambda h, d, _: ({**h, "content-range": "bytes 1-30000/100000"}, d),
            DownloadError,
            "the answer has",
        ),
        (lambda h, d, _: ({**h, "content-range": ""}, d), DownloadError, "does not serve ranges"),
        (lambda h, d, _: (h, d + b"x"), DownloadError, "more than the"),
        (lambda h, d, _: (h, d[:-1]), DownloadError, "ended after"),
        (lambda h, d, _: (h, bytes(len(d))), ChecksumMismatch, "crc32c"),
        (lambda h, d, _: Response(412, Headers()), ObjectChanged, "no longer the one"),
        (lambda h, d, _: Response(404, Headers()), ObjectChanged, "it was deleted"),
    ],
)
@pytest.mark.parametrize("to", ["path", "stream"])
def test_answers_that_are_not_what_was_asked_for(new_client, tmp_path, change, kind, says, to):
    server = Server(change=change)
    target = tmp_path / "out" if to == "path" else io.BytesIO()
    with pytest.raises(kind, match=says):
        fetch(new_client, server, target, concurrency=1)
    assert list(tmp_path.iterdir()) == []


def test_a_broken_range_starts_again_at_its_place(new_client, tmp_path):
    broken = []

    def change(headers, data, asked):
        if asked["range"] == "bytes=30000-59999" and len(broken) < 2:
            broken.append(asked)
            raise ConnectionLost("lost", phase="receive")
        return None

    result = fetch(new_client, Server(change=change), tmp_path / "out")
    assert (result.attempts, result.retries) == (3, ("the connection was lost",) * 2)
    assert (tmp_path / "out").read_bytes() == DATA


@pytest.mark.parametrize("limit", [1_000, 70_000, 1 << 20])
def test_a_stream_with_little_memory(new_client, limit):
    stream = io.BytesIO()
    result = fetch(new_client, Server(), stream, part_size=1 << 20, memory_limit=limit)
    assert (stream.getvalue(), result.verified) == (DATA, True)
    assert result.ranges == max(1, -(-len(DATA) // (limit // 2)))


def test_a_stream_that_fails_says_how_much_it_took(new_client):
    class Full(io.BytesIO):
        def write(self, data):
            if self.tell() >= STEP:
                raise OSError(28, "No space left on device")
            return super().write(data)

    with pytest.raises(DownloadError, match="30000 of 100000 bytes were written, discard them") as caught:
        fetch(new_client, Server(), Full())
    assert caught.value.written == STEP


def test_an_exception_of_the_progress_callback_comes_as_it_is(new_client, tmp_path):
    def callback(event):
        if event.kind == "part":
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        fetch(new_client, Server(), tmp_path / "out", progress=callback)
    assert not (tmp_path / "out").exists()


def test_customer_keys_go_with_every_request(new_client, tmp_path):
    server = Server()
    headers = {"x-amz-server-side-encryption-customer-algorithm": "AES256"}
    fetch(new_client, server, tmp_path / "out", headers=headers, version_id="v 1")
    assert all("x-amz-server-side-encryption-customer-algorithm" in asked for _, _, asked in server.requests)
    assert all("versionId=v%201" in url for _, url, _ in server.requests)


# -- arithmetic


def test_plans():
    assert Pieces.plan(0, 10).count == 1
    assert [(p.offset, p.length) for p in Pieces.plan(25, 10)] == [(0, 10), (10, 10), (20, 5)]
    large = Pieces.plan(48 << 40, 16 << 20)
    assert large.count <= 10_000
    assert large.step % (1 << 20) == 0
    with pytest.raises(ConfigError):
        Pieces.plan(10, 0)


def test_combination_and_tiling():
    got, start = {}, 0
    for number, length in enumerate([1, 2_000, 0x8001], 1):
        running = checksums.new("crc64nvme")
        running.update(DATA[start : start + length])
        got[number] = Got(start, length, running.digest())
        start += length
    assert combined(Expected("crc64nvme", ""), got) == value("crc64nvme", DATA[:start])
    assert tiled(got.values(), start)
    assert not tiled(got.values(), start + 1)
    assert not tiled([got[1], got[3]], start)


def test_which_checksum_is_looked_at():
    def info(kind, **found):
        return ObjectInfo("b", "k", 1, '"e"', None, "", "", {}, found, kind)

    assert expected_of(info(""))[0] is None
    assert expected_of(info("FULL_OBJECT", sha256="x", crc32="y"))[0] == Expected("crc32", "y")
    composite = expected_of(info("COMPOSITE", crc32="y-12"))[0]
    assert (composite.composite, composite.parts, composite.combinable) == (True, 12, False)


def test_transport_errors_before_the_first_byte_are_plain(new_client, tmp_path):
    class Dead:
        def send(self, request):
            raise TransportError("nobody there", retryable=False)

    with pytest.raises(TransportError, match="nobody there"):
        fetch(new_client, Dead(), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
