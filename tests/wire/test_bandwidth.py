"""The bandwidth limit over real connections: it holds, it can be changed meanwhile, and it says what it covers."""

from __future__ import annotations

import os
import threading
import time

import pytest

pytest.importorskip("uvicorn")

from s3accel.transfer import Client

MIB = 1024 * 1024
DATA = os.urandom(4 * MIB)


@pytest.fixture
def client(s3accel_server):
    with Client(
        region=s3accel_server.region,
        credentials=s3accel_server.credentials,
        connect_to={"*": s3accel_server.address},
        ca_file=s3accel_server.ca_file,
        multipart_threshold=100 * MIB,
    ) as made:
        yield made


def timed(work):
    started = time.monotonic()
    work()
    return time.monotonic() - started


def put(client, bucket):
    return lambda: client.upload(DATA, bucket, "k")


def stream(client, bucket):
    return lambda: client.upload(iter([DATA[:MIB]] * 4), bucket, "k")


def small(client, bucket):
    """Over the lane, and every tenth of them on threads."""
    items = [(f"k{n}", DATA[: 48 * 1024] if n % 10 else DATA[: 512 * 1024]) for n in range(60)]
    return lambda: [outcome.result.etag for outcome in client.put_many(items, bucket=bucket)]


@pytest.mark.parametrize("what", [put, stream, small])
def test_uploads_together_are_no_faster(client, s3accel_bucket, what):
    """About 4 MiB at 4 MiB a second, of which a tenth of a second's worth may go at once."""
    work = what(client, s3accel_bucket)
    work()  # connections are open then
    client.bandwidth_limit = 4 * MIB
    assert timed(work) >= 0.8


def test_parts_share_it(s3accel_server, s3accel_bucket):
    with Client(
        region=s3accel_server.region,
        credentials=s3accel_server.credentials,
        connect_to={"*": s3accel_server.address},
        ca_file=s3accel_server.ca_file,
        part_size=5 * MIB,
        multipart_threshold=5 * MIB,
        bandwidth_limit=16 * MIB,
    ) as client:
        assert timed(lambda: client.upload(DATA * 4, s3accel_bucket, "k")) >= 0.8


@pytest.mark.parametrize("rate", [None, 500 * MIB])
def test_raised_while_it_holds_something_back(client, s3accel_bucket, rate):
    """At half a MiB a second it would take eight seconds."""
    client.bandwidth_limit = MIB // 2

    def raise_it():
        client.bandwidth_limit = rate

    timer = threading.Timer(0.5, raise_it)
    timer.start()
    assert 0.5 <= timed(put(client, s3accel_bucket)) < 4
    timer.join()
    assert client.bandwidth_limit == rate
    assert client.get(s3accel_bucket, "k") == DATA


def test_downloads_are_not_held_back(client, s3accel_bucket, tmp_path):
    client.upload(DATA, s3accel_bucket, "k")
    client.bandwidth_limit = 64 * 1024  # a minute for all of it
    assert timed(lambda: client.download(s3accel_bucket, "k", tmp_path / "out")) < 10
