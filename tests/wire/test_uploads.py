"""The client against the local endpoint, which verifies every byte: the main job, and what disturbs it."""

from __future__ import annotations

import itertools
import os
import re
import threading
import time

import pytest

pytest.importorskip("uvicorn")

from s3accel import Clock, Credentials
from s3accel.errors import AccelerationUnavailable, SignatureMismatch, UploadError
from s3accel.local import LocalServer
from s3accel.local.faults import Answer, Cut
from s3accel.transfer import Client, RetryPolicy
from s3accel.transfer.messages import Request
from s3accel.transfer.transport import CurlTransport

MIB = 1024 * 1024
DATA = bytes(range(251)) * (12 * MIB // 251)
PARTS = {"part_size": 5 * MIB, "multipart_threshold": 5 * MIB}
KEYS = [
    "plain",
    "a//./b/../c",
    "/lead",
    "é ü/日本",
    "+ &=?#%41%",
    "~!*'();:@$,[]",
    "tail/",
    "new\nline",
    "..",
    "a\x7f",
]


@pytest.fixture
def new_client(s3accel_server):
    clients = []

    def make(server=s3accel_server, **options):
        defaults = {
            "region": server.region,
            "credentials": server.credentials,
            "retry": RetryPolicy(base_delay=0, throttle_delay=0),
        }
        if "transport" not in options and "endpoint_url" not in options:
            defaults["connect_to"] = {"*": server.address}
        if "transport" not in options and "allow_http_host" not in options:
            defaults["ca_file"] = server.ca_file
        clients.append(Client(**{**defaults, **options}))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def faults(s3accel_server):
    """``faults(predicate, action, times)``: the next requests that match get the action."""

    def arm(predicate, action, times=1):
        left = itertools.count(times, -1)
        s3accel_server.set_fault(lambda r: action if predicate(r) and next(left) > 0 else None)

    yield arm
    s3accel_server.set_fault(None)


@pytest.mark.parametrize("mode", ["auto", "signed-chunks", "signed", "unsigned-trailer", "unsigned"])
@pytest.mark.parametrize("checksum", ["crc64nvme", "crc32", "crc32c", "sha256", None])
def test_every_mode_and_checksum_is_verified_and_stored(new_client, s3accel_bucket, mode, checksum, tmp_path):
    if (mode, checksum) == ("unsigned-trailer", None):
        pytest.skip("an unsigned trailer needs a checksum")
    path = tmp_path / "f"
    path.write_bytes(DATA)
    client = new_client(payload=mode, checksum=checksum, **PARTS)
    for name, source, expected in [
        ("empty", b"", b""),
        ("small", b"hello", b"hello"),
        ("chunks", DATA[:200_000], DATA[:200_000]),
        ("parts", path, DATA),
        ("stream", (DATA[start : start + MIB] for start in range(0, len(DATA), MIB)), DATA),
    ]:
        result = client.upload(source, s3accel_bucket, name)
        assert client.get(s3accel_bucket, name) == expected
        info = client.head(s3accel_bucket, name)
        assert info.size == len(expected)
        if checksum is not None:
            assert info.checksums[checksum] == result.checksum
        assert result.connection.tls_version == "TLSv1.3"
        assert result.host == f"{s3accel_bucket}.s3-accelerate.amazonaws.com"


@pytest.mark.parametrize("route", ["accelerate", "dualstack", "regional", "custom"])
def test_strange_keys_on_every_host(new_client, s3accel_server, s3accel_bucket, route):
    options = {
        "accelerate": {},
        "dualstack": {"dualstack": True},
        "regional": {"accelerate": False},
        "custom": {"accelerate": False, "endpoint_url": s3accel_server.endpoint_url},
    }[route]
    client = new_client(**options)
    for key in KEYS:
        client.upload(key.encode(), s3accel_bucket, key)
        assert client.get(s3accel_bucket, key) == key.encode()
    assert sorted(entry.key for entry in client.list(s3accel_bucket)) == sorted(KEYS)
    for key in KEYS:
        client.delete(s3accel_bucket, key)
    assert list(client.list(s3accel_bucket)) == []


def test_many_small_objects_reuse_connections(new_client, s3accel_bucket):
    client = new_client(max_concurrency=4)
    reused = fresh = 0
    for outcome in client.upload_many((b"%d" % n, s3accel_bucket, f"k{n}") for n in range(200)):
        assert outcome.error is None
        reused += outcome.result.connection.reused
        fresh += not outcome.result.connection.reused
    assert reused + fresh == 200
    # Four in flight need four; on a busy machine one may be opened while another is still being given back.
    assert fresh <= 20


def test_metadata_and_headers_arrive(new_client, s3accel_bucket):
    client = new_client(**PARTS)
    for key, source in [("one", b"x"), ("many", DATA)]:
        client.upload(source, s3accel_bucket, key, content_type="text/x-test", metadata={"a": "b c", "e": ""})
        info = client.head(s3accel_bucket, key)
        assert info.content_type == "text/x-test"
        assert info.metadata["a"] == "b c"


def test_get_to_a_file(new_client, s3accel_bucket, tmp_path):
    client = new_client(**PARTS)
    client.upload(DATA, s3accel_bucket, "k")
    info = client.get_to(s3accel_bucket, "k", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == DATA
    assert info.size == len(DATA)
    assert client.get(s3accel_bucket, "k", (1000, 2000)) == DATA[1000:2000]


# -- disturbances


@pytest.mark.parametrize(
    "action",
    [
        Answer(500),
        Answer(503, "SlowDown", "Please reduce your request rate."),
        Answer(500, read_body=False),
        Cut(),
        Cut(after_bytes=100_000),
        Cut(after_work=True),
    ],
    ids=str,
)
@pytest.mark.parametrize("size", [3000, 3 * MIB])
def test_a_put_survives(new_client, s3accel_bucket, faults, action, size, tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"skip me" + DATA[:size])
    faults(lambda r: r.operation == "PutObject", action)
    with open(path, "rb") as file:
        file.seek(7)
        result = new_client().upload(file, s3accel_bucket, "k")
        assert file.tell() == 7 + size
    assert result.attempts == 2
    assert len(result.retries) == 1
    assert new_client().get(s3accel_bucket, "k") == DATA[:size]


@pytest.mark.parametrize("operation", ["CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"])
@pytest.mark.parametrize("action", [Answer(500), Cut(after_bytes=100), Cut(after_work=True)], ids=str)
def test_a_multipart_upload_survives(new_client, s3accel_bucket, faults, operation, action, tmp_path):
    path = tmp_path / "f"
    path.write_bytes(DATA)
    client = new_client(**PARTS)
    faults(lambda r: r.operation == operation, action)
    result = client.upload(path, s3accel_bucket, "k")
    assert client.get(s3accel_bucket, "k") == DATA
    assert client.head(s3accel_bucket, "k").checksums["crc64nvme"] == result.checksum


def test_a_part_that_never_succeeds_leaves_nothing(new_client, s3accel_bucket, s3accel_server, faults):
    faults(lambda r: r.operation == "UploadPart" and "partNumber=2" in r.target, Answer(500), times=99)
    with pytest.raises(
        UploadError, match=r"part 2 of 3 .* after 3 tries: 500 InternalError.*no parts left"
    ) as caught:
        new_client(**PARTS).upload(DATA, s3accel_bucket, "k")
    assert caught.value.aborted
    assert list(new_client().list(s3accel_bucket)) == []


def test_a_wrong_secret_is_refused_once(new_client, s3accel_server, s3accel_bucket):
    wrong = Credentials(s3accel_server.access_key_id, "wrong" * 8)
    with pytest.raises(UploadError) as caught:
        new_client(credentials=wrong).upload(DATA, s3accel_bucket, "k")
    cause = caught.value.__cause__
    assert isinstance(cause, SignatureMismatch)
    assert cause.extra["CanonicalRequest"]
    assert caught.value.attempts == 1


@pytest.mark.parametrize("acceleration", [None, "Suspended"])
def test_a_bucket_without_acceleration(new_client, s3accel_server, acceleration):
    bucket = f"plain-{os.urandom(4).hex()}"
    s3accel_server.create_bucket(bucket, acceleration=acceleration)
    with pytest.raises(UploadError, match="accelerate=False") as caught:
        new_client().upload(b"x", bucket, "k")
    assert isinstance(caught.value.__cause__, AccelerationUnavailable)
    assert caught.value.attempts == 1
    assert new_client(accelerate=False).upload(b"x", bucket, "k").kind == "regional"


def test_a_wrong_clock_is_corrected(new_client, s3accel_bucket):
    clock = Clock(lambda: time.time() - 3000)
    result = new_client(clock=clock).upload(DATA[:MIB], s3accel_bucket, "k")
    assert result.attempts == 2
    assert 2900 < clock.offset < 3100


def test_a_wrong_region_is_corrected(tmp_path, new_client):
    with LocalServer(region="eu-west-1") as server:
        server.create_bucket("bkt")
        client = new_client(server, region="us-east-1")
        assert client.upload(b"x", "bkt", "k").attempts == 2
        assert client.upload(b"x", "bkt", "k").attempts == 1


def test_plain_http_to_a_named_host(new_client, tmp_path):
    with LocalServer(tls=False) as server:
        client = new_client(
            server,
            accelerate=False,
            endpoint_url=server.endpoint_url,
            allow_http_host="127.0.0.1",
            **PARTS,
        )
        result = client.upload(DATA, "bkt", "k")
        assert result.connection.tls_version is None
        assert client.get("bkt", "k") == DATA


def test_damage_on_the_way_is_noticed_and_repaired(new_client, s3accel_bucket, s3accel_server):
    """A transport that flips one bit of the first body: the endpoint refuses it, the second attempt is right."""

    class Flipping:
        def __init__(self):
            self.curl = CurlTransport(
                ca_file=s3accel_server.ca_file, connect_to={"*": s3accel_server.address}
            )
            self.flip = True

        def send(self, request):
            if self.flip and request.method == "PUT":
                self.flip = False
                body = request.body

                class Damaged:
                    length = body.length

                    def frames(self):
                        for number, frame in enumerate(body.frames()):
                            data = bytearray(frame)
                            data[len(data) // 2] ^= number == 0
                            yield bytes(data)

                request = Request(request.method, request.url, request.headers, Damaged())
            return self.curl.send(request)

    transport = Flipping()
    client = new_client(transport=transport, payload="unsigned-trailer")
    assert client.upload(DATA[:MIB], s3accel_bucket, "k").retries == (
        "400 BadDigest: the bytes were damaged on the way",
    )
    assert client.get(s3accel_bucket, "k") == DATA[:MIB]
    transport.curl.close()


def test_an_interrupt_while_sending_ends_soon(new_client, s3accel_bucket):
    """What Ctrl-C does in the main thread is done here by the progress callback, in the middle of the body."""

    def callback(event):
        if event.kind == "progress":
            raise KeyboardInterrupt

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        new_client(multipart_threshold=1 << 30).upload(
            (memoryview(bytes(64 * MIB))), s3accel_bucket, "k", progress=callback
        )
    assert time.monotonic() - started < 10
    assert list(new_client().list(s3accel_bucket)) == []


# -- rude servers


def chunked_payload(body):
    return b"".join(re.split(rb"[0-9a-f]+;chunk-signature=[0-9a-f]{64}\r\n", body))


def test_the_body_is_rewound_after_a_reset(serve, tls, ca_file, new_client):
    bodies = []

    def handler(connection):
        if connection.number == 1:
            connection.head()
            connection.file.read(500_000)
            connection.reset()
            return
        _, _, headers = connection.head()
        if "expect" in headers:
            connection.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        bodies.append((headers, connection.file.read(int(headers["content-length"]))))
        connection.answer(200, b"", 'ETag: "x"\r\n')

    server = serve(handler, tls)
    client = new_client(connect_to={"*": server.address}, ca_file=ca_file)
    result = client.upload(DATA[: 2 * MIB], "bkt", "k")
    assert result.attempts == 2
    headers, body = bodies[0]
    assert headers["expect"] == "100-continue"
    assert headers["x-amz-decoded-content-length"] == str(2 * MIB)
    assert DATA[:60_000] in chunked_payload(body)


def test_a_refusal_hidden_by_a_reset_is_found_by_asking_first(serve, tls, ca_file, new_client):
    """The server answers 403 and resets at once, over TLS, where the answer cannot be saved. The second attempt
    asks with Expect: 100-continue and hears the refusal."""

    def handler(connection):
        _, _, headers = connection.head()
        if "expect" not in headers:
            connection.file.read(300_000)
            connection.reset()
            return
        connection.answer(403, b"<Error><Code>AccessDenied</Code></Error>", "Connection: close\r\n")

    server = serve(handler, tls)
    # Large bodies are asked for at the first attempt already, smaller ones only after one that broke.
    for size, attempts in ((10 * MIB, 1), (MIB, 2)):
        client = new_client(connect_to={"*": server.address}, ca_file=ca_file)
        with pytest.raises(UploadError, match="403 AccessDenied") as caught:
            client.upload(DATA[:size], "bkt", "k")
        assert caught.value.attempts == attempts


def test_many_threads_on_one_client(new_client, s3accel_bucket):
    client = new_client(max_concurrency=4, **PARTS)
    errors = []

    def work(number):
        try:
            size = 6 * MIB if number % 4 == 0 else 70_000
            client.upload(DATA[number : number + size], s3accel_bucket, f"t{number}")
            assert client.get(s3accel_bucket, f"t{number}") == DATA[number : number + size]
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
