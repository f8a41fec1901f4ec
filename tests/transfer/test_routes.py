"""`Client(accelerate="auto")` over real connections: both host names lead to the local endpoint, which can be made slow,
refuse acceleration, or be out of reach under one of them."""

from __future__ import annotations

import os
import socket
from collections import Counter

import pytest

pytest.importorskip("pycurl")
pytest.importorskip("uvicorn")
pytest.importorskip("cryptography")

from s3accel.errors import AccelerationUnavailable, ConfigError, UploadError
from s3accel.local import Answer, Slow
from s3accel.transfer import Client, RetryPolicy
from s3accel.transfer.route import ACCELERATE, REGIONAL, RoutePolicy, Router

MIB = 1 << 20
FAST, PLAIN = "s3-accelerate.amazonaws.com", "s3.us-east-1.amazonaws.com"
QUICK = RetryPolicy(max_attempts=2, base_delay=0.01)
DISABLED = Answer(400, "InvalidRequest", "S3 Transfer Acceleration is disabled on this bucket")


class Wire:
    """What reached the endpoint, by host name; and what it is told to do."""

    def __init__(self):
        self.seen = []
        self.action = None

    def __call__(self, request):
        route = ACCELERATE if FAST in request.host else REGIONAL
        self.seen.append((route, request.operation, request.key))
        return None if self.action is None else self.action(route, request)

    def routes(self, key=None):
        return Counter(route for route, _, found in self.seen if key is None or found == key)


@pytest.fixture
def wire(s3accel_server):
    made = Wire()
    s3accel_server.set_fault(made)
    yield made
    s3accel_server.set_fault(None)


@pytest.fixture
def now():
    class Now:
        seconds = 0.0

    return Now()


@pytest.fixture
def new(s3accel_server, s3accel_bucket, wire):
    clients = []

    def make(bucket=s3accel_bucket, connect=None, **options):
        hosts = [f"{bucket}.{FAST}", f"{bucket}.{PLAIN}", PLAIN]
        client = Client(
            region="us-east-1",
            credentials=s3accel_server.credentials,
            connect_to={**s3accel_server.connect_to(*hosts), **(connect or {})},
            ca_file=s3accel_server.ca_file,
            retry=QUICK,
            **{"accelerate": "auto", **options},
        )
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()


def stored(new, bucket, key):
    return new(accelerate=False).get(bucket, key)


def suspend(server, bucket):
    server.empty_bucket(bucket, delete=True)
    server.create_bucket(bucket, acceleration="Suspended")


def test_both_are_probed_and_the_faster_is_taken(new, wire, s3accel_bucket):
    data = os.urandom(MIB)
    client = new()
    for route, slow in ((ACCELERATE, REGIONAL), (REGIONAL, ACCELERATE)):
        wire.action = lambda found, request, slow=slow: (
            Slow(per_mebibyte=0.08) if found == slow and request.method == "PUT" else None
        )
        client = new()
        results = [client.upload(data, s3accel_bucket, f"{route}/{number}") for number in range(10)]
        assert [result.route for result in results[:6]] == [ACCELERATE, REGIONAL] * 3
        assert {result.route for result in results[6:]} == {route}
        assert "to measure the regional route" in results[1].route_reason
        assert "MB/s accelerated, " in results[-1].route_reason
        for result in results:
            assert result.host == f"{s3accel_bucket}.{FAST if result.route == ACCELERATE else PLAIN}"


def test_like_speed_does_not_pay(new, s3accel_bucket):
    """Acceleration has to be faster by the margin; here both are the same server."""
    client = new(router=Router(RoutePolicy(margin=9.0)))
    results = [client.upload(b"x" * 300_000, s3accel_bucket, f"k{number}") for number in range(9)]
    assert {result.route for result in results[6:]} == {REGIONAL}
    assert "it has to be 10.00 times" in results[-1].route_reason


@pytest.mark.parametrize("size", [10, 3 * MIB, 11 * MIB])
def test_suspended_falls_back_and_returns(new, wire, now, s3accel_server, s3accel_bucket, size):
    suspend(s3accel_server, s3accel_bucket)
    router = Router(clock=lambda: now.seconds)
    client = new(router=router, part_size=5 * MIB, multipart_threshold=10 * MIB)
    data = os.urandom(size)
    result = client.upload(data, s3accel_bucket, "a")
    assert result.route == REGIONAL
    assert "disabled on this bucket" in result.route_reason
    assert any("accelerate" in reason for reason in result.retries)
    assert stored(new, s3accel_bucket, "a") == data
    # For ten minutes nobody asks again.
    wire.seen.clear()
    now.seconds += 500
    result = client.upload(data, s3accel_bucket, "b")
    assert wire.routes() == {REGIONAL: len(wire.seen)}
    assert "avoided" in result.route_reason
    # Then one does, first in vain, then with success.
    for accelerated, route in (("Suspended", REGIONAL), ("Enabled", ACCELERATE)):
        s3accel_server._app.services.store.bucket(s3accel_bucket).record.acceleration = accelerated
        now.seconds += 601
        assert client.upload(data, s3accel_bucket, "c").route == route
        assert stored(new, s3accel_bucket, "c") == data
    assert router.available(s3accel_bucket, ACCELERATE)


@pytest.mark.parametrize("size", [10, 3 * MIB, 11 * MIB])
def test_an_unreachable_accelerated_host(new, wire, s3accel_bucket, size):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        dead = f"127.0.0.1:{listener.getsockname()[1]}"
        client = new(
            connect={f"{s3accel_bucket}.{FAST}:443": dead}, part_size=5 * MIB, multipart_threshold=10 * MIB
        )
        data = os.urandom(size)
        result = client.upload(data, s3accel_bucket, "k")
        assert result.route == REGIONAL
        assert "no connection" in result.route_reason
        assert client.upload(data, s3accel_bucket, "l").retries == ()
    assert stored(new, s3accel_bucket, "k") == data


def test_many_small_objects(new, wire, s3accel_server, s3accel_bucket):
    suspend(s3accel_server, s3accel_bucket)
    client = new()
    jobs = [(f"object {number}".encode(), s3accel_bucket, f"k{number}") for number in range(200)]
    outcomes = list(client.upload_many(jobs))
    assert [outcome.error for outcome in outcomes if outcome.error] == []
    assert {outcome.result.route for outcome in outcomes} == {REGIONAL}
    # Those in flight when the first refusal came were refused too, no others.
    assert wire.routes()[ACCELERATE] < 100


def test_one_upload_stays_on_one_host(new, wire, s3accel_bucket):
    client = new(part_size=5 * MIB, multipart_threshold=5 * MIB)
    data = os.urandom(12 * MIB)
    for number in range(4):
        result = client.upload(data, s3accel_bucket, f"k{number}")
        assert wire.routes(f"k{number}") == {result.route: 5}
    assert {ACCELERATE, REGIONAL} == set(wire.routes())


def test_acceleration_lost_in_the_middle_of_an_upload(new, wire, s3accel_server, s3accel_bucket):
    """The upload is aborted and sent whole through the other host; nothing is left, nothing counted twice."""
    parts = Counter()

    def lost(route, request):
        parts[route] += request.operation == "UploadPart"
        return (
            DISABLED
            if route == ACCELERATE and request.operation == "UploadPart" and parts[route] > 1
            else None
        )

    wire.action = lost
    events = []
    client = new(part_size=5 * MIB, multipart_threshold=5 * MIB, max_concurrency=2)
    data = os.urandom(16 * MIB)
    result = client.upload(data, s3accel_bucket, "k", progress=events.append)
    assert (result.route, result.parts, result.size) == (REGIONAL, 4, len(data))
    assert stored(new, s3accel_bucket, "k") == data
    made = [(route, name) for route, name, key in wire.seen if key == "k"]
    assert (ACCELERATE, "CreateMultipartUpload") in made
    assert (ACCELERATE, "AbortMultipartUpload") in made
    assert (ACCELERATE, "CompleteMultipartUpload") not in made
    assert (REGIONAL, "CompleteMultipartUpload") in made
    assert events[-1].kind == "done"
    assert events[-1].bytes_done == len(data)
    assert all(event.bytes_done <= len(data) for event in events)
    assert s3accel_server._app.services.uploads._open == {}


def test_always_and_never(new, wire, s3accel_server, s3accel_bucket):
    for accelerate, route in (
        ("always", ACCELERATE),
        (True, ACCELERATE),
        ("never", REGIONAL),
        (False, REGIONAL),
    ):
        wire.seen.clear()
        result = new(accelerate=accelerate).upload(b"x", s3accel_bucket, "k")
        assert (result.route, result.route_reason) == (route, "")
        assert set(wire.routes()) == {route}
    suspend(s3accel_server, s3accel_bucket)
    wire.seen.clear()
    with pytest.raises(UploadError) as caught:
        new(accelerate="always").upload(b"x", s3accel_bucket, "k")
    assert isinstance(caught.value.__cause__, AccelerationUnavailable)
    assert set(wire.routes()) == {ACCELERATE}


def test_a_name_that_cannot_be_accelerated(new, wire, s3accel_server):
    bucket = "with.dots"
    s3accel_server.create_bucket(bucket, acceleration=None)
    try:
        result = new(bucket).upload(b"x", bucket, "k")
    finally:
        s3accel_server.empty_bucket(bucket, delete=True)
    assert result.route == REGIONAL
    assert "has a dot" in result.route_reason
    assert set(wire.routes()) == {REGIONAL}


@pytest.mark.parametrize("options", [{"accelerate": "sometimes"}, {"accelerate": True, "router": Router()}])
def test_options_that_cannot_be(options):
    with pytest.raises(ConfigError):
        Client(**options)
