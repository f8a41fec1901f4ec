"""Which way an object goes: by measurement, with a margin, around what is broken, and back again. No I/O, no sleep."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s3accel.errors import (
    AccelerationUnavailable,
    AccessDenied,
    ConfigError,
    ConnectError,
    ConnectionLost,
    S3Error,
    SlowDown,
    SourceError,
    TlsError,
    TransferTimeout,
)
from s3accel.transfer.route import ACCELERATE, REGIONAL, RoutePolicy, Router, fault_of

MB = 1_000_000
SUSPENDED = AccelerationUnavailable(
    "InvalidRequest", 400, "S3 Transfer Acceleration is disabled on this bucket"
)
REFUSED = ConnectError("no connection", host="edge", phase="connect")


class Now:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def now():
    return Now()


@pytest.fixture
def router(now):
    return Router(clock=now)


def upload(router, now, speeds, size=8 * MB, bucket="b"):
    """One object at these bytes per second by route; a speed that is an exception is how the try ends."""
    decision = router.choose(bucket, size)
    speed = speeds[decision.route]
    if isinstance(speed, BaseException):
        router.report(bucket, decision.route, 0, 0.0, speed)
    else:
        now.seconds += size / speed
        router.report(bucket, decision.route, size, size / speed)
    return decision


def learn(router, now, accelerate, regional, size=8 * MB):
    """The probes of an unknown bucket; afterwards the routes were compared once."""
    probes = [upload(router, now, {ACCELERATE: accelerate, REGIONAL: regional}, size) for _ in range(6)]
    router.choose("b", size)
    now.seconds += 1
    return probes


# -- measuring


def test_both_are_probed_with_real_objects_in_turn(router, now):
    probes = learn(router, now, 50 * MB, 10 * MB)
    assert [probe.route for probe in probes] == [ACCELERATE, REGIONAL] * 3
    assert all(probe.probe and "to measure" in probe.reason for probe in probes)
    decision = router.choose("b", 8 * MB)
    assert (decision.route, decision.probe) == (ACCELERATE, False)
    assert decision.reason == "50.0 MB/s accelerated, 10.0 MB/s regional: 5.00 times as fast"


def test_probes_at_the_same_time_go_both_ways(router):
    assert [router.choose("b", 8 * MB).route for _ in range(6)] == [ACCELERATE, REGIONAL] * 3
    # Enough are out; the rest does not pile up on a route of which nothing is known.
    decision = router.choose("b", 8 * MB)
    assert (decision.route, decision.reason) == (
        ACCELERATE,
        "not enough is measured yet to compare the routes",
    )
    router.report("b", REGIONAL, 8 * MB, 1.0)
    assert router.choose("b", 8 * MB).route == REGIONAL


@pytest.mark.parametrize(
    ("accelerate", "regional", "route", "words"),
    [
        (11.9, 10, REGIONAL, "1.19 times as fast does not pay (it has to be 1.20 times)"),
        (12.1, 10, ACCELERATE, "1.21 times as fast"),
        (5, 10, REGIONAL, "acceleration is not faster here"),
    ],
)
def test_acceleration_has_to_pay(router, now, accelerate, regional, route, words):
    learn(router, now, accelerate * MB, regional * MB)
    decision = router.choose("b", 8 * MB)
    assert decision.route == route
    assert words in decision.reason


def test_routes_of_like_speed_do_not_take_turns(router, now):
    learn(router, now, 13 * MB, 10 * MB)
    speeds = {ACCELERATE: 11.5 * MB, REGIONAL: 10 * MB}  # less than the margin, more than half of it
    assert {upload(router, now, speeds).route for _ in range(20)} == {ACCELERATE}
    speeds[ACCELERATE] = 10.5 * MB
    for _ in range(20):
        last = upload(router, now, speeds)
    assert last.route == REGIONAL


def test_small_objects_are_compared_by_the_time_of_a_request(router, now):
    def small(count, accelerate, regional, reused=True):
        for _ in range(count):
            decision = router.choose("b", 4096)
            seconds = accelerate if decision.route == ACCELERATE else regional
            now.seconds += 1
            router.report("b", decision.route, 4096, seconds, reused=reused)
        return router.choose("b", 4096)

    assert small(6, 0.010, 0.050).reason == (
        "10.0 ms a request accelerated, 50.0 ms a request regional: 5.00 times as fast"
    )
    # Large ones are another matter.
    assert router.choose("b", 8 * MB).probe


def test_new_connections_are_not_compared_with_open_ones(router, now):
    for route, seconds in ((ACCELERATE, 0.030), (REGIONAL, 0.060)):
        for _ in range(3):
            router.report("b", route, 100, seconds, reused=False)
    assert router.choose("b", 100).route == ACCELERATE
    for _ in range(3):
        router.report("b", ACCELERATE, 100, 0.010)
    # Open connections on one side only: still new with new.
    assert "30.0 ms" in router.choose("b", 100).reason
    now.seconds += 1
    for _ in range(3):
        router.report("b", REGIONAL, 100, 0.009)
    assert router.choose("b", 100).route == REGIONAL


def test_up_and_down_are_measured_apart(router, now):
    learn(router, now, 50 * MB, 10 * MB)
    assert router.choose("b", 8 * MB, download=True).probe
    for _ in range(3):
        router.report("b", ACCELERATE, 8 * MB, 1, download=True)
        router.report("b", REGIONAL, 8 * MB, 0.1, download=True)
    assert router.choose("b", 8 * MB, download=True).route == REGIONAL
    assert router.choose("b", 8 * MB).route == ACCELERATE


def test_buckets_are_apart(router, now):
    learn(router, now, 50 * MB, 10 * MB)
    assert router.choose("c", 8 * MB).probe


def test_large_objects_are_not_spent_on_measuring(router, now):
    decision = router.choose("b", 1000 * MB)
    assert (decision.route, decision.probe) == (ACCELERATE, False)
    learn(router, now, 50 * MB, 10 * MB)
    now.seconds += 10_000
    assert not router.choose("b", 1000 * MB).probe
    assert router.choose("b", 8 * MB).probe


def test_the_idle_route_is_measured_again_and_taken_when_it_got_better(router, now):
    learn(router, now, 50 * MB, 10 * MB)
    speeds = {ACCELERATE: 50 * MB, REGIONAL: 100 * MB}  # the regional one has become fast
    now.seconds += 290
    assert upload(router, now, speeds).route == ACCELERATE
    now.seconds += 20
    probe = upload(router, now, speeds)
    assert (probe.route, probe.probe) == (REGIONAL, True)
    assert "measure the regional route again after 3" in probe.reason
    assert router.choose("b", 8 * MB).route == REGIONAL


def test_one_probe_for_each_time_it_is_due(router, now):
    learn(router, now, 50 * MB, 10 * MB)
    now.seconds += 301
    assert [router.choose("b", 8 * MB).route for _ in range(50)].count(REGIONAL) == 1
    router.report("b", REGIONAL, 8 * MB, 0.8)
    now.seconds += 1
    assert not any(router.choose("b", 8 * MB).probe for _ in range(50))


def test_the_estimate_moves(router, now):
    learn(router, now, 50 * MB, 10 * MB)
    for _ in range(8):
        now.seconds += 1
        router.report("b", ACCELERATE, 8 * MB, 1.0)
    estimate = router.snapshot("b")[ACCELERATE]["upload_bytes_per_second"]
    assert 8 * MB < estimate < 9.5 * MB


def test_what_cannot_be_measured_is_not_spent_on_measuring(router, now):
    for _ in range(20):
        decision = router.choose("b", None, measure=False)
        assert (decision.route, decision.probe) == (ACCELERATE, False)
        router.report("b", decision.route, 8 * MB, 100.0, measure=False)
    assert router.snapshot("b")[ACCELERATE]["upload_bytes_per_second"] is None
    learn(router, now, 10 * MB, 50 * MB)
    assert router.choose("b", None, measure=False).route == REGIONAL
    # It may still find that a route is back.
    router.report("b", REGIONAL, 0, 0.1, REFUSED)
    now.seconds += 31
    trial = router.choose("b", None, measure=False)
    assert (trial.route, trial.probe) == (REGIONAL, True)
    now.seconds += 1
    router.report("b", REGIONAL, 0, 0.1, measure=False)
    assert router.available("b", REGIONAL)
    assert router.choose("b", None, measure=False).route == REGIONAL


# -- what is broken


def test_refused_acceleration_falls_back_and_returns(router, now):
    learn(router, now, 50 * MB, 10 * MB)
    first = router.choose("b", 8 * MB)
    router.report("b", ACCELERATE, 0, 0.1, SUSPENDED)
    other = router.fallback("b", first.route, SUSPENDED)
    assert other is not None
    assert other.route == REGIONAL
    assert "disabled on this bucket" in other.reason
    for _ in range(9):
        now.seconds += 60
        decision = router.choose("b", 8 * MB)
        assert decision.route == REGIONAL
        assert "avoided: 400 InvalidRequest: S3 Transfer Acceleration is disabled" in decision.reason
    now.seconds += 61
    trial = router.choose("b", 8 * MB)
    assert (trial.route, trial.probe) == (ACCELERATE, True)
    assert "tried again, 601 s after" in trial.reason
    # One tries; the others stay where it works.
    assert {router.choose("b", 8 * MB).route for _ in range(10)} == {REGIONAL}
    now.seconds += 1
    router.report("b", ACCELERATE, 8 * MB, 0.16)
    # The regional route was the one in use, but had nothing to report for ten minutes.
    assert router.choose("b", 8 * MB).reason.startswith("to measure the regional route again")
    assert router.choose("b", 8 * MB).route == ACCELERATE


def test_unreachable_waits_longer_each_time(router, now):
    waits = []
    for _ in range(7):
        router.report("b", ACCELERATE, 0, 0.0, REFUSED)
        start = now.seconds
        while router.choose("b", 8 * MB).route != ACCELERATE:
            now.seconds += 1
        waits.append(now.seconds - start)
    assert waits == [30, 60, 120, 240, 480, 600, 600]
    now.seconds += 1
    router.report("b", ACCELERATE, 0, 0.01, measure=False)
    router.report("b", ACCELERATE, 0, 0.0, REFUSED)
    now.seconds += 30
    assert router.choose("b", 8 * MB).route == ACCELERATE


def test_many_failures_of_one_outage_count_once(router, now):
    for _ in range(10):
        router.report("b", ACCELERATE, 0, 0.0, REFUSED)
    now.seconds += 30
    assert router.choose("b", 8 * MB).route == ACCELERATE


def test_what_was_under_way_does_not_unblock(router, now):
    router.report("b", ACCELERATE, 0, 0.1, SUSPENDED)
    now.seconds += 5
    router.report("b", ACCELERATE, 8 * MB, 20.0)  # began before the refusal
    assert router.choose("b", 8 * MB).route == REGIONAL
    router.report("b", ACCELERATE, 8 * MB, 4.0)
    assert router.available("b", ACCELERATE)


def test_a_few_lost_connections_are_not_the_route(router):
    lost = ConnectionLost("broken", host="edge", phase="send")
    for _ in range(2):
        router.report("b", ACCELERATE, 100, 1.0, lost)
        assert router.fallback("b", ACCELERATE, lost).route == REGIONAL  # this object; others still go there
        assert router.available("b", ACCELERATE)
    router.report("b", ACCELERATE, 8 * MB, 1.0)
    for _ in range(3):
        router.report("b", ACCELERATE, 100, 1.0, lost)
    assert not router.available("b", ACCELERATE)


def test_a_trial_that_fails_otherwise_counts_at_once(router, now):
    router.report("b", ACCELERATE, 0, 0.0, REFUSED)
    now.seconds += 31
    assert router.choose("b", 8 * MB).route == ACCELERATE
    failed = S3Error("InternalError", 500)
    router.report("b", ACCELERATE, 0, 0.0, failed)
    assert router.fallback("b", ACCELERATE, failed).route == REGIONAL


def test_the_regional_route_may_be_the_broken_one(router):
    router.report("b", REGIONAL, 0, 0.0, REFUSED)
    assert router.choose("b", 8 * MB).route == ACCELERATE
    assert "regional route is avoided" in router.choose("b", 8 * MB).reason
    router.report("b", ACCELERATE, 0, 0.0, REFUSED)
    assert router.fallback("b", ACCELERATE, REFUSED) is None
    assert "both routes fail" in router.choose("b", 8 * MB).reason


def test_ruled_out_costs_no_request(router, now):
    router.rule_out("b.c", "bucket name 'b.c' has a dot")
    now.seconds += 1e6
    decision = router.choose("b.c", 8 * MB)
    assert (decision.route, decision.probe) == (REGIONAL, False)
    assert "has a dot" in decision.reason
    assert not router.available("b.c", ACCELERATE)


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (SUSPENDED, "refused"),
        (REFUSED, "unreachable"),
        (TlsError("certificate of another name", retryable=False), "unreachable"),
        (TransferTimeout("slow", phase="connect"), "unreachable"),
        (TransferTimeout("slow", phase="send"), "faulty"),
        (ConnectionLost("reset"), "faulty"),
        (S3Error("InternalError", 500), "faulty"),
        (SlowDown("SlowDown", 503), ""),  # S3 itself has too much to do
        (AccessDenied("AccessDenied", 403), ""),
        (SourceError("the file is gone"), ""),
        (KeyError("x"), ""),
    ],
)
def test_what_an_error_says_of_the_route(error, fault):
    assert fault_of(error) == fault


def test_errors_that_say_nothing_change_nothing(router, now):
    learn(router, now, 50 * MB, 10 * MB)
    before = router.choose("b", 8 * MB)
    for _ in range(20):
        router.report("b", before.route, 0, 0.0, AccessDenied("AccessDenied", 403))
    assert router.fallback("b", before.route, AccessDenied("AccessDenied", 403)) is None
    assert router.choose("b", 8 * MB) == before


# -- accounts


def test_every_byte_and_second_is_accounted(router, now):
    router.report("b", ACCELERATE, 8 * MB, 2.0)
    router.report("b", ACCELERATE, 1 * MB, 0.5, ConnectionLost("reset"))
    router.report("b", REGIONAL, 100, 0.1)
    router.report("b", REGIONAL, 0, 0.2, measure=False)
    use = router.use("b")
    assert (use[ACCELERATE].requests, use[ACCELERATE].bytes, use[ACCELERATE].seconds) == (2, 9 * MB, 2.5)
    assert (use[REGIONAL].requests, use[REGIONAL].bytes) == (2, 100)
    assert use[REGIONAL].seconds == pytest.approx(0.3)
    shown = router.snapshot("b")
    assert shown[ACCELERATE]["upload_bytes_per_second"] == 4 * MB
    assert shown[REGIONAL]["round_trip"] == pytest.approx(0.1)
    assert shown[REGIONAL]["upload_bytes_per_second"] is None
    use[ACCELERATE].add(5, 5)  # a copy
    assert router.use("b")[ACCELERATE].requests == 2


def test_secrets_do_not_reach_a_reason(router):
    router.report(
        "b", ACCELERATE, 0, 0.0, ConnectError("GET https://h/?X-Amz-Signature=abc123 failed", phase="connect")
    )
    assert "abc123" not in router.choose("b").reason


def test_memory_is_bounded(router):
    for number in range(5000):
        router.choose(f"b{number}", 10)
    assert len(router._buckets) <= 4096


@pytest.mark.parametrize(
    "wrong", [{"margin": -0.1}, {"samples": 0}, {"faults": 0}, {"stale": 0}, {"unreachable_for": -1}]
)
def test_policies_that_cannot_be(wrong):
    with pytest.raises(ConfigError):
        RoutePolicy(**wrong)


# -- as a whole


@settings(max_examples=40)
@given(
    accelerate=st.floats(1, 100),
    regional=st.floats(1, 100),
    noise=st.lists(st.floats(0.9, 1.1), min_size=50, max_size=50),
    size=st.sampled_from([1000, 300_000, 8 * MB]),
)
def test_most_traffic_takes_the_route_that_pays(accelerate, regional, noise, size):
    """Over an hour with an object a second: the right route, but for probes, whatever the noise of a tenth."""
    now = Now()
    router = Router(clock=now)
    speeds = {ACCELERATE: accelerate * MB, REGIONAL: regional * MB}
    taken = {ACCELERATE: 0, REGIONAL: 0}
    for number in range(600):
        decision = router.choose("b", size)
        taken[decision.route] += 1
        now.seconds += 6
        router.report("b", decision.route, size, size / (speeds[decision.route] * noise[number % 50]))
    ratio = accelerate / regional
    if ratio > 1.2 * 1.25:
        assert taken[ACCELERATE] > 540
    if ratio < 1.1 * 0.8:
        assert taken[REGIONAL] > 540


def test_from_many_threads(router):
    errors = []

    def work(number):
        try:
            for turn in range(500):
                decision = router.choose("b", 8 * MB)
                error = REFUSED if (turn + number) % 97 == 0 else None
                router.report("b", decision.route, 1, 0.001, error)
                router.snapshot("b")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    use = router.use("b")
    assert sum(item.requests for item in use.values()) == 4000
    assert sum(item.bytes for item in use.values()) == 4000
