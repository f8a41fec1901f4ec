"""put_many, submit and their asyncio forms, over the fake S3 (threads) and over a lane that is played by hand."""

from __future__ import annotations

import asyncio
import threading

import pytest

from s3accel.errors import ConfigError, SourceError, UploadError
from s3accel.transfer import Response
from s3accel.transfer.engine import GROUP
from s3accel.transfer.messages import ConnectionInfo, Headers
from s3accel.transfer.small import SMALL, small_data


class HandLane:
    """Runs each job at once in the thread that submits it, against a FakeS3."""

    def __init__(self, s3):
        self.s3 = s3
        self.limit = 0
        self.jobs = 0
        self.pause = None
        self.hold = None
        self.closed = False

    def submit(self, job):
        if self.closed:
            raise ConfigError("the client is closed")
        self.jobs += 1
        try:
            _, url, lines, body = job.prepare()
        except Exception as error:
            job.failed(error)
        else:
            answer = self.s3.send(_Request(url, lines, body))
            head = f"HTTP/1.1 {answer.status} X\r\n".encode()
            head += b"".join(f"{name}: {value}\r\n".encode() for name, value in answer.headers)
            job.answered(answer.status, head, answer.body, answer.connection)
        self.pause(True)

    def close(self):
        self.closed = True


class _Request:
    method = "PUT"
    host = "fake"

    def __init__(self, url, lines, body):
        self.url = url
        self.headers = [tuple(line.split(": ", 1)) for line in lines if ": " in line]
        self.body = self
        self.length = len(body)
        self._body = body

    def frames(self):
        yield self._body


@pytest.fixture
def lane_client(s3, new_client):
    lanes = []

    def make(**options):
        s3.lane = lambda limit: lanes.append(HandLane(s3)) or lanes[-1]
        return new_client(**options), lanes[-1]

    return make


@pytest.mark.parametrize("mode", ["auto", "signed", "unsigned", "signed-chunks", "unsigned-trailer"])
def test_small_objects_take_the_lane(lane_client, s3, tmp_path, mode):
    client, lane = lane_client(payload=mode)
    path = tmp_path / "file"
    path.write_bytes(b"from a file")
    items = [
        ("bytes", b"abc"),
        ("empty", b""),
        ("view", memoryview(b"abcd")[1:]),
        ("path", path),
        ("typed", b"x", {"content_type": "text/plain", "metadata": {"a": "b"}}),
        ("large", bytes(SMALL + 1)),
    ]
    outcomes = {outcome.key: outcome for outcome in client.put_many(items, bucket="bkt")}
    assert {key: o.error for key, o in outcomes.items()} == dict.fromkeys([item[0] for item in items])
    assert lane.jobs == 5
    assert s3.objects["view"] == b"bcd"
    assert s3.objects["path"] == b"from a file"
    assert s3.objects["empty"] == b""
    assert s3.info["typed"]["content-type"] == "text/plain"
    assert s3.info["typed"]["x-amz-meta-a"] == "b"
    result = outcomes["bytes"].result
    assert (result.size, result.attempts, result.parts, result.kind) == (3, 1, 0, "accelerate")
    assert result.version_id == "v1"
    assert result.etag.startswith('"')
    assert result.checksum_algorithm == "crc64nvme"
    assert result.payload_mode == ("signed" if mode == "auto" else mode)
    # The same fields as along the long way, the connection aside.
    same = client.upload(b"abc", "bkt", "bytes")
    for name in ("etag", "checksum", "host", "kind", "size", "retries", "version_id", "route"):
        assert getattr(same, name) == getattr(result, name)
    assert repr(same).split("seconds")[0] == repr(result).split("seconds")[0]


def test_what_the_lane_cannot_finish_is_retried_with_its_attempt_counted(lane_client, s3, s3_error):
    client, _ = lane_client()
    s3.faults = [lambda *_: s3_error("SlowDown", 503)]
    (outcome,) = client.put_many([("k", b"abc")], bucket="bkt")
    assert outcome.result.attempts == 2
    assert outcome.result.retries == ("503 SlowDown",)
    s3.hook = lambda *_: s3_error("InternalError", 500)
    (outcome,) = client.put_many([("k", b"abc")], bucket="bkt")
    assert isinstance(outcome.error, UploadError)
    assert outcome.error.attempts == 3
    assert outcome.error.history == ("500 InternalError", "500 InternalError")
    assert s3.operations().count("Put") == 5


def test_errors_inside_200_and_wrong_checksums_are_no_success(lane_client, s3):
    client, _ = lane_client()
    inside = b"<?xml version='1.0'?><Error><Code>InternalError</Code></Error>"
    s3.faults = [lambda *_: Response(200, Headers(), inside, ConnectionInfo())]
    (outcome,) = client.put_many([("k", b"abc")], bucket="bkt")
    assert outcome.result.attempts == 2
    s3.faults = [lambda *_: Response(200, Headers([("x-amz-checksum-crc64nvme", "AAAAAAAAAAA=")]))]
    (outcome,) = client.put_many([("k", b"abc")], bucket="bkt")
    assert "is stored with checksum AAAAAAAAAAA=" in str(outcome.error)


def test_one_outcome_for_whatever_is_given(lane_client, tmp_path):
    client, _ = lane_client()
    items = [
        ("ok", b"x"),
        ("", b"x"),
        ("none", tmp_path / "missing"),
        ("option", b"x", {"colour": "red"}),
        ("four", b"x", {}, 1),
        "text",
        ("object", 5),
        (5, b"x"),
    ]
    outcomes = sorted(client.put_many(items, bucket="bkt"), key=lambda outcome: outcome.index)
    assert [outcome.index for outcome in outcomes] == list(range(8))
    assert [outcome.error is None for outcome in outcomes] == [True] + [False] * 7
    assert isinstance(outcomes[2].error, SourceError)
    assert "'colour' is no option" in str(outcomes[3].error)
    assert "give (key, source[, options])" in str(outcomes[4].error)


def test_jobs_wait_while_nobody_takes_outcomes(lane_client):
    client, _ = lane_client(max_concurrency=4)
    taken = []
    items = (taken.append(n) or (f"k{n}", b"x") for n in range(1000))
    outcomes = client.put_many(items, bucket="bkt")
    next(outcomes)
    assert len(taken) <= 4 + 2 * GROUP
    outcomes.close()
    assert len(taken) <= 4 + 2 * GROUP


def test_a_file_that_grows_while_it_is_read(tmp_path, monkeypatch):
    path = tmp_path / "grows"
    path.write_bytes(b"abc")
    import os

    real = os.read
    monkeypatch.setattr(os, "read", lambda fd, n: real(fd, n) + b"d")
    with pytest.raises(SourceError, match="changed while it was read"):
        small_data(path, 100)
    monkeypatch.undo()
    assert small_data(path, 100) == b"abc"
    assert small_data(path, 2) is None
    assert small_data(tmp_path, 100) is None
    assert small_data(tmp_path / "nothing", 100) is None


def test_submit_gives_futures(client, s3, s3_error):
    futures = [client.submit(b"%d" % n, "bkt", f"k{n}") for n in range(50)]
    assert sorted(future.result(10).key for future in futures) == sorted(f"k{n}" for n in range(50))
    s3.hook = lambda *_: s3_error("AccessDenied", 403)
    with pytest.raises(UploadError, match="AccessDenied"):
        client.submit(b"x", "bkt", "k").result(10)
    with pytest.raises(ConfigError, match="no option"):
        client.submit(b"x", "bkt", "k", colour="red").result(10)
    client.close()
    with pytest.raises(ConfigError, match="closed"):
        client.submit(b"x", "bkt", "k")


def test_close_waits_for_what_was_submitted(new_client, s3):
    client = new_client()
    gate = threading.Event()
    s3.hook = lambda *_: gate.wait(10) and None
    future = client.submit(b"x", "bkt", "k")
    closer = threading.Thread(target=client.close)
    closer.start()
    gate.set()
    closer.join(10)
    assert future.result(0).key == "k"


def test_submit_waits_while_too_many_are_unfinished(new_client, s3, monkeypatch):
    monkeypatch.setattr("s3accel.transfer.engine.MAX_WAITING", 2)
    client = new_client()
    gate = threading.Event()
    s3.hook = lambda *_: gate.wait(10) and None
    first = [client.submit(b"x", "bkt", f"k{n}") for n in range(2)]
    third = []
    thread = threading.Thread(target=lambda: third.append(client.submit(b"x", "bkt", "third")))
    thread.start()
    thread.join(0.05)
    assert thread.is_alive()
    gate.set()
    thread.join(10)
    assert [future.result(10).size for future in [*first, *third]] == [1, 1, 1]


def test_from_asyncio(client, s3, s3_error):
    async def produce():
        for number in range(30):
            await asyncio.sleep(0)
            yield f"k{number}", b"%d" % number

    async def main():
        result = await client.upload_async(b"abc", "bkt", "one", content_type="text/plain")
        assert result.key == "one"
        found = [outcome async for outcome in client.put_many_async(produce(), bucket="bkt")]
        assert sorted(outcome.index for outcome in found) == list(range(30))
        plain = [o.key async for o in client.put_many_async([("a", b"1"), ("b", b"2")], bucket="bkt")]
        assert sorted(plain) == ["a", "b"]
        left = client.put_many_async(produce(), bucket="bkt", concurrency=2)
        assert (await left.__anext__()).error is None
        await left.aclose()
        s3.hook = lambda *_: s3_error("AccessDenied", 403)
        with pytest.raises(UploadError):
            await client.upload_async(b"abc", "bkt", "one")

    asyncio.run(main())
    assert s3.objects["k29"] == b"29"
