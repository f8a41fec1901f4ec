"""The client's other calls, many jobs, and what it refuses at once."""

from __future__ import annotations

import io
import sys
import threading

import pytest

from s3accel.errors import (
    AccessDenied,
    ChecksumMismatch,
    ConfigError,
    ConnectionLost,
    EndpointError,
    NoSuchKey,
    TransportError,
)
from s3accel.transfer import Client
from s3accel.transfer.messages import Headers, Response


@pytest.mark.parametrize(
    ("options", "kind", "word"),
    [
        ({"payload": "plain"}, ConfigError, "payload"),
        ({"checksum": "crc16"}, ConfigError, "crc16"),
        ({"payload": "unsigned-trailer", "checksum": None}, ConfigError, "needs a checksum"),
        ({"chunk_size": 100}, ConfigError, "chunk_size"),
        ({"part_size": 1}, ConfigError, "5 MiB"),
        ({"multipart_threshold": 6 << 30}, ConfigError, "5 GiB"),
        ({"max_concurrency": 0}, ConfigError, "at least 1"),
        ({"endpoint_url": "https://minio.example"}, EndpointError, "exclude each other"),
        ({"endpoint_url": "http://minio.example", "accelerate": False}, EndpointError, "plain HTTP"),
        ({"region": "cn-north-1"}, EndpointError, "aws-cn"),
        ({"connect_to": {"a:1": "b:2"}}, ConfigError, "transport"),
    ],
)
def test_combinations_that_cannot_be(new_client, options, kind, word):
    with pytest.raises(kind, match=word):
        new_client(**options)


@pytest.mark.parametrize("mode", ["unsigned", "unsigned-trailer"])
def test_plain_http_is_never_unsigned(new_client, mode):
    options = {"accelerate": False, "endpoint_url": "http://127.0.0.1:9", "allow_http_host": "127.0.0.1"}
    new_client(**options)
    with pytest.raises(ConfigError, match="plain HTTP"):
        new_client(**options, payload=mode)


def test_get_head_delete(client, s3):
    s3.objects["a/k"] = bytes(range(256)) * 20
    assert client.get("bkt", "a/k") == s3.objects["a/k"]
    assert client.get("bkt", "a/k", (10, 20)) == bytes(range(10, 20))
    assert client.get("bkt", "a/k", (5000, None)) == s3.objects["a/k"][5000:]
    assert client.head("bkt", "a/k").size == 5120
    client.delete("bkt", "a/k")
    for call in (client.get, client.head):
        with pytest.raises(NoSuchKey):
            call("bkt", "a/k")
    with pytest.raises(ConfigError, match="byte range"):
        client.get("bkt", "a/k", (5, 5))


def test_head_denied(client, s3):
    s3.hook = lambda *_: Response(403, Headers([("x-amz-request-id", "R1")]))
    with pytest.raises(AccessDenied, match=r"HeadObject s3://bkt/k: 403 \(request id R1\)"):
        client.head("bkt", "k")


def test_listing_goes_over_pages_and_decodes_names(client, s3):
    s3.objects = {f"p/a b{number}": b"x" * number for number in range(5)}
    found = list(client.list("bkt", "p/"))
    assert [entry.key for entry in found] == sorted(s3.objects)
    assert [entry.size for entry in found] == [0, 1, 2, 3, 4]
    assert len(s3.seen) == 3
    assert s3.seen[0].query["encoding-type"] == "url"


def test_get_to_a_path_is_all_or_nothing(client, s3, tmp_path):
    s3.objects["k"] = bytes(5000)
    path = tmp_path / "out"
    path.write_bytes(b"old")
    assert client.get_to("bkt", "k", path).size == 5000
    assert path.read_bytes() == bytes(5000)
    with pytest.raises(NoSuchKey):
        client.get_to("bkt", "absent", path)
    assert path.read_bytes() == bytes(5000)
    assert [item.name for item in tmp_path.iterdir()] == ["out"]


def test_a_download_with_another_checksum(client, s3, tmp_path):
    def damaged(request, fake):
        headers = Headers(
            [("x-amz-checksum-crc64nvme", "AAAAAAAAAAA="), ("x-amz-checksum-type", "FULL_OBJECT")]
        )
        request.sink(headers)(b"damaged")
        return Response(200, headers)

    s3.hook = damaged
    with pytest.raises(ChecksumMismatch, match="discard"):
        client.get("bkt", "k")
    with pytest.raises(ChecksumMismatch):
        client.get_to("bkt", "k", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_download_that_breaks_starts_again_in_a_clean_file(client, s3):
    s3.objects["k"] = bytes(range(100))

    def broken(request, fake):
        request.sink(Headers())(b"half")
        return ConnectionLost("lost", phase="receive")

    s3.faults = [broken]
    file = io.BytesIO(b"head")
    file.seek(4)
    client.get_to("bkt", "k", file)
    assert file.getvalue() == b"head" + bytes(range(100))

    class OneWay(io.RawIOBase):
        def writable(self):
            return True

        def write(self, data):
            return len(data)

    s3.faults = [broken]
    with pytest.raises(TransportError, match="cannot be rewound"):
        client.get_to("bkt", "k", OneWay())
    with pytest.raises(ConfigError, match="cannot write"):
        client.get_to("bkt", "k", 5)


def test_bucket_region(client, s3):
    s3.hook = lambda *_: Response(200, Headers([("x-amz-bucket-region", "sa-east-1")]))
    assert client.bucket_region("bkt") == "sa-east-1"
    assert client.endpoint("bkt").region == "sa-east-1"


def test_many_jobs_one_outcome_each(client, s3, s3_error):
    s3.hook = lambda request, _: s3_error("AccessDenied", 403) if "/bad" in request.url else None
    jobs = [(b"%d" % n, "bkt", f"k{n}") for n in range(50)]
    jobs[7] = (b"x", "bkt", "bad")
    jobs[8] = (b"x", "my.bucket", "k")
    jobs[9] = (b"x", "bkt", "typed", {"content_type": "text/plain"})
    jobs[10] = (b"x", "bkt")
    outcomes = sorted(client.upload_many(jobs), key=lambda outcome: outcome.index)
    assert [outcome.index for outcome in outcomes] == list(range(50))
    assert [o.index for o in outcomes if o.error] == [7, 8, 10]
    assert all((outcome.result is None) != (outcome.error is None) for outcome in outcomes)
    assert s3.objects["k49"] == b"49"
    assert s3.info["typed"]["content-type"] == "text/plain"


def test_jobs_are_taken_only_as_fast_as_they_are_done(client):
    taken = []

    def jobs():
        for number in range(100):
            taken.append(number)
            yield b"x", "bkt", f"k{number}"

    outcomes = client.upload_many(jobs(), concurrency=2)
    assert taken == []
    next(outcomes)
    assert len(taken) <= 8
    outcomes.close()
    assert len(taken) <= 8


def test_jobs_that_fail_to_come(client):
    def jobs():
        yield b"x", "bkt", "a"
        raise ValueError("no more")

    outcomes = client.upload_many(jobs())
    assert next(outcomes).result.key == "a"
    with pytest.raises(ValueError, match="no more"):
        next(outcomes)


def test_many_jobs_with_parts_do_not_block_each_other(new_client, s3):
    client = new_client(part_size=5 << 20, multipart_threshold=5 << 20, max_concurrency=2)
    outcomes = list(client.upload_many((bytes(11 << 20), "bkt", f"k{n}") for n in range(4)))
    assert [outcome.error for outcome in outcomes] == [None] * 4
    assert {len(data) for data in s3.objects.values()} == {11 << 20}


def test_one_client_serves_many_threads(client, s3):
    threads = [
        threading.Thread(target=client.upload, args=(bytes(70_000), "bkt", f"k{n}")) for n in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(s3.objects) == 16


def test_a_closed_client_refuses_parts(client):
    client.close()
    client.close()
    with pytest.raises(Exception, match="closed"):
        client.upload(bytes(20 << 20), "bkt", "k")


def test_region_from_the_environment(monkeypatch, s3):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with Client(transport=s3, accelerate=False) as client:
        assert client.endpoint("bkt").host == "bkt.s3.eu-central-1.amazonaws.com"


def test_without_pycurl_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycurl", None)
    with pytest.raises(ConfigError, match=r"s3accel\[transfer\]"):
        Client(region="us-east-1")
