"""`Client(accelerate="auto")` over real connections: both host names lead to the local endpoint, which can be made slow,
refuse acceleration, or be out of reach under one of them."""

from __future__ import annotations

import os
import socket
import time
from collections import Counter

import pytest

pytest.importorskip("pycurl")
pytest.importorskip("uvicorn")
pytest.importorskip("cryptography")

from s3accel.errors import AccelerationUnavailable, ConfigError, NoSuchKey, S3Error, UploadError
from s3accel.local import Answer, Cut, Slow
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
            **{"accelerate": "auto", "retry": QUICK, **options},
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


# -- what one route loses, the other brings


@pytest.mark.parametrize("blocks", [10, 20_000])
def test_a_stream_falls_back_too(new, s3accel_server, s3accel_bucket, blocks):
    """Its first part is buffered, so the refusal of its first request costs nothing."""
    suspend(s3accel_server, s3accel_bucket)
    client = new()
    result = client.upload((bytes([n % 251]) * 1000 for n in range(blocks)), s3accel_bucket, "k")
    assert (result.route, result.size) == (REGIONAL, blocks * 1000)
    assert stored(new, s3accel_bucket, "k") == b"".join(bytes([n % 251]) * 1000 for n in range(blocks))
    assert client._budget.held == 0


def test_a_stream_that_is_partly_sent_does_not(new, wire, s3accel_server, s3accel_bucket):
    count = Counter()

    def lost(route, request):
        count[request.operation] += 1
        return DISABLED if route == ACCELERATE and count["UploadPart"] > 1 else None

    wire.action = lost
    client = new(part_size=5 * MIB)
    with pytest.raises(UploadError, match="upload aborted, no parts left behind"):
        client.upload(iter([b"x" * MIB] * 16), s3accel_bucket, "k")
    assert s3accel_server._app.services.uploads._open == {}
    assert client._budget.held == 0


def test_streams_are_not_measured(new, s3accel_bucket):
    """They may come more slowly than they could be sent."""
    router = Router()
    client = new(router=router)
    for _ in range(8):
        assert client.upload(iter([b"x" * 1000]), s3accel_bucket, "k").route == ACCELERATE
    shown = router.snapshot(s3accel_bucket)[ACCELERATE]
    assert (shown["requests"], shown["bytes"], shown["round_trip"]) == (8, 8000, None)


def test_small_objects_are_measured_from_their_turn_on(new, s3accel_bucket):
    """Not from when they were queued: one at a time, their times cannot sum up to more than all took."""
    router = Router()
    started = time.monotonic()
    for _ in new(router=router).put_many(
        [(f"k{n}", b"x") for n in range(40)], bucket=s3accel_bucket, concurrency=1
    ):
        pass
    took = time.monotonic() - started
    assert 0 < sum(use.seconds for use in router.use(s3accel_bucket).values()) <= took


def test_an_unreachable_host_is_not_tried_again_while_the_other_works(new, s3accel_bucket):
    client = new(connect={f"{s3accel_bucket}.{FAST}:443": "127.0.0.1:1"})
    assert len(client.upload(b"x" * 300_000, s3accel_bucket, "k").retries) == 1
    # As the only route it is tried as often as the policy says.
    always = new(accelerate="always", connect={f"{s3accel_bucket}.{FAST}:443": "127.0.0.1:1"})
    with pytest.raises(UploadError, match="failed after 2 tries"):
        always.upload(b"x" * 300_000, s3accel_bucket, "k")


def test_an_unreachable_host_that_comes_back_is_used_again(new, now, s3accel_server, s3accel_bucket):
    router = Router(clock=lambda: now.seconds)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        dead = f"127.0.0.1:{listener.getsockname()[1]}"
        broken = new(router=router, connect={f"{s3accel_bucket}.{FAST}:443": dead})
        assert broken.upload(b"x" * 1000, s3accel_bucket, "k").route == REGIONAL
    mended = new(router=router)
    assert mended.upload(b"x" * 1000, s3accel_bucket, "k").route == REGIONAL
    now.seconds += 31
    result = mended.upload(b"x" * 1000, s3accel_bucket, "k")
    assert (result.route, result.retries) == (ACCELERATE, ())
    assert "tried again, 31 s after" in result.route_reason
    assert router.available(s3accel_bucket, ACCELERATE)


def calls(client, bucket, tmp_path):
    return {
        "HeadObject": lambda: client.head(bucket, "k"),
        "GetObject": lambda: client.get(bucket, "k"),
        "GetObject to a file": lambda: client.get_to(bucket, "k", tmp_path / "f"),
        "ListObjectsV2": lambda: list(client.list(bucket)),
        "HeadBucket": lambda: client.bucket_region(bucket),
        "DeleteObject": lambda: client.delete(bucket, "k"),
        "DeleteObjects": lambda: list(client.delete_many(bucket, ["k", "l"])),
        "download": lambda: client.download(bucket, "k", tmp_path / "g"),
    }


@pytest.mark.parametrize("how", ["suspended", "unreachable"])
@pytest.mark.parametrize("name", calls(None, "", None))
def test_other_calls_fall_back_too(new, wire, s3accel_server, s3accel_bucket, tmp_path, name, how):
    """Each as the first that meets the broken route. (A HEAD is refused without a word of why.)"""
    new().upload(b"x", s3accel_bucket, "k")
    connect = {f"{s3accel_bucket}.{FAST}:443": "127.0.0.1:1"} if how == "unreachable" else None
    if how == "suspended":
        s3accel_server._app.services.store.bucket(s3accel_bucket).record.acceleration = "Suspended"
    router = Router()
    client = new(router=router, connect=connect)
    calls(client, s3accel_bucket, tmp_path)[name]()
    assert not router.available(s3accel_bucket, ACCELERATE)
    wire.seen.clear()
    client.upload(b"y", s3accel_bucket, "k")
    assert wire.routes() == {REGIONAL: 1}  # what one call met, all know


def test_a_head_that_both_routes_refuse_says_nothing_of_the_route(new, wire, s3accel_bucket):
    wire.action = lambda route, request: Answer(400, "ExpiredToken") if request.method == "HEAD" else None
    router = Router()
    with pytest.raises(S3Error):
        new(router=router).head(s3accel_bucket, "k")
    assert wire.routes() == {ACCELERATE: 1, REGIONAL: 1}
    assert router.available(s3accel_bucket, ACCELERATE)


def test_a_missing_key_is_asked_for_once(new, wire, s3accel_bucket):
    with pytest.raises(NoSuchKey):
        new().head(s3accel_bucket, "absent")
    assert wire.routes() == {ACCELERATE: 1}


def test_a_name_that_cannot_be_accelerated_in_other_calls(new, wire, s3accel_server):
    s3accel_server.create_bucket("with.dots", acceleration=None)
    try:
        client = new("with.dots")
        assert list(client.list("with.dots")) == []
        assert client.endpoint("with.dots").host == "s3.us-east-1.amazonaws.com"
    finally:
        s3accel_server.empty_bucket("with.dots", delete=True)
    assert set(wire.routes()) == {REGIONAL}


@pytest.mark.parametrize("faults", [1, 3])
def test_a_host_lost_in_the_middle_leaves_no_parts(new, wire, s3accel_server, s3accel_bucket, faults):
    """The abort cannot go the way the upload was begun on, so it goes the other way."""
    count = Counter()

    def lost(route, request):
        count[route] += 1
        return Cut() if route == ACCELERATE and count[route] > 2 else None

    wire.action = lost
    client = new(
        part_size=5 * MIB,
        multipart_threshold=5 * MIB,
        max_concurrency=2,
        router=Router(RoutePolicy(faults=faults)),
    )
    assert client.upload(b"x" * (16 * MIB), s3accel_bucket, "k").route == REGIONAL
    # One upload that fails does not mean the route.
    assert client.s3.router.available(s3accel_bucket, ACCELERATE) == (faults == 3)
    assert s3accel_server._app.services.uploads._open == {}


def test_parts_that_are_kept_are_not_sent_twice(new, wire, s3accel_server, s3accel_bucket):
    count = Counter()

    def lost(route, request):
        count[request.operation] += 1
        return DISABLED if route == ACCELERATE and count["UploadPart"] > 1 else None

    wire.action = lost
    client = new(part_size=5 * MIB, multipart_threshold=5 * MIB, max_concurrency=1)
    data = os.urandom(11 * MIB)
    with pytest.raises(UploadError, match="parts are kept"):
        client.upload(data, s3accel_bucket, "k", keep_parts=True)
    assert len(s3accel_server._app.services.uploads._open) == 1
    assert REGIONAL not in wire.routes()
    # Before there is anything to keep, the other route is as good as ever.
    assert client.upload(data, s3accel_bucket, "l", keep_parts=True).route == REGIONAL
    s3accel_server._app.services.uploads._open.clear()


def test_the_error_of_two_lost_routes_names_both(new, s3accel_bucket):
    dead = {f"{s3accel_bucket}.{host}:443": "127.0.0.1:1" for host in (FAST, PLAIN)}
    with pytest.raises(UploadError) as caught:
        new(connect=dead).upload(b"x" * 300_000, s3accel_bucket, "k")
    assert f"{s3accel_bucket}.{PLAIN}" in str(caught.value)
    assert "before that: over the accelerate route: ConnectError" in str(caught.value)
    assert "over the accelerate route" in caught.value.history[0]


def test_after_its_deadline_an_upload_is_not_begun_again(new, wire, s3accel_bucket):
    wire.action = lambda route, request: Slow(per_mebibyte=5)
    client = new(retry=RetryPolicy(max_attempts=1, deadline=0.5))
    with pytest.raises(UploadError):
        client.upload(b"x" * MIB, s3accel_bucket, "k")
    assert len(wire.routes()) == 1


# -- the account


@pytest.mark.parametrize("size", [10, 300_000, 11 * MIB])
def test_bytes_and_seconds_of_each_route_are_accounted(new, s3accel_server, s3accel_bucket, tmp_path, size):
    router = Router()
    suspend(s3accel_server, s3accel_bucket)
    client = new(router=router, part_size=5 * MIB, multipart_threshold=10 * MIB)
    result = client.upload(b"x" * size, s3accel_bucket, "k")
    assert [used.route for used in result.routes] == [ACCELERATE, REGIONAL]
    assert result.routes[1].bytes == size
    assert all(used.seconds > 0 for used in result.routes)
    assert sum(used.seconds for used in result.routes) <= result.seconds + 0.01
    found = client.download(s3accel_bucket, "k", tmp_path / "f")
    assert [(used.route, used.bytes) for used in found.routes] == [(REGIONAL, size)]
    assert router.use(s3accel_bucket)[REGIONAL].bytes == 2 * size


def test_the_account_of_a_download_that_changes_its_route(new, s3accel_server, s3accel_bucket, tmp_path):
    new().upload(b"x" * 1000, s3accel_bucket, "k")
    client = new(connect={f"{s3accel_bucket}.{FAST}:443": "127.0.0.1:1"})
    result = client.download(s3accel_bucket, "k", tmp_path / "f")
    assert [(used.route, used.bytes) for used in result.routes] == [(ACCELERATE, 0), (REGIONAL, 1000)]
    assert (result.attempts, len(result.retries)) == (2, 1)
    assert "over the accelerate route" in result.retries[0]


@pytest.mark.parametrize("size", [1000, 3 * MIB, 11 * MIB])
@pytest.mark.parametrize("accelerate", ["always", "never", "auto"])
def test_what_was_sent_twice_counts_twice(new, wire, s3accel_bucket, accelerate, size):
    cut = [None, Cut(after_work=True)]
    wire.action = lambda route, request: cut.pop() if cut and request.method == "PUT" else None
    client = new(accelerate=accelerate, part_size=5 * MIB, multipart_threshold=10 * MIB)
    (outcome,) = client.upload_many([(b"x" * size, s3accel_bucket, "k")])
    result = outcome.result
    assert (result.attempts, len(result.retries)) == (2, 1)
    (used,) = result.routes
    assert used.route == result.route
    again = used.bytes - size
    assert min(size, MIB) <= again <= min(size, 5 * MIB)
    assert 0 < used.seconds <= result.seconds + 0.01


def test_a_result_without_trouble_has_its_account_too(new, s3accel_bucket):
    for accelerate, route in (("always", ACCELERATE), ("never", REGIONAL)):
        client = new(accelerate=accelerate)
        results = [client.upload(b"x" * 1000, s3accel_bucket, "k")]
        results += [
            outcome.result for outcome in client.put_many([("k", b"x" * 1000)], bucket=s3accel_bucket)
        ]
        for result in results:
            assert [(used.route, used.bytes) for used in result.routes] == [(route, 1000)]
            assert 0 < result.routes[0].seconds <= result.seconds + 0.01
