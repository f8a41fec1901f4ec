"""Memory, bandwidth, concurrency and retries: the limits by themselves, and held by a client."""

from __future__ import annotations

import threading

import pytest

from s3accel.errors import ConfigError, S3Error, UploadError
from s3accel.transfer import RetryPolicy
from s3accel.transfer.attempts import Attempts, History, RetryBudget
from s3accel.transfer.limits import MIN_MEMORY, SEND_COST, Adaptive, MemoryBudget, Throttle

MIB = 1024 * 1024


class Time:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_memory_is_taken_waited_for_and_given_back():
    budget = MemoryBudget(MIN_MEMORY)
    first = budget.take(20 * MIB)
    assert budget.try_take(20 * MIB) == 0
    got = []
    thread = threading.Thread(target=lambda: got.append(budget.take(20 * MIB)))
    thread.start()
    thread.join(0.05)
    assert got == []
    budget.give(first)
    thread.join(5)
    assert got == [20 * MIB]
    budget.give(got[0])
    assert budget.take(1 << 40) == MIN_MEMORY  # more than all is all
    assert budget.most == MIN_MEMORY
    with pytest.raises(ConfigError, match="32 MiB"):
        MemoryBudget(MIN_MEMORY - 1)


def test_a_throttle_keeps_its_mean_whatever_the_sizes():
    time = Time()
    throttle = Throttle(1_000_000, monotonic=time)
    sent = 0
    for size in [10, 500_000, 1, 2_000_000, 70_000] * 20:
        time.now += throttle.take(size)
        sent += size
    assert sent / (time.now - 100) == pytest.approx(1_000_000, rel=0.01)
    throttle.rate = None
    assert throttle.take(1 << 30) == 0
    throttle.rate = 2048
    assert throttle.take(4096) == pytest.approx(2, rel=0.1)
    time.now += 1000  # a pause is no credit
    assert throttle.wait() == 0
    assert throttle.take(4096) > 1.8
    assert throttle.portion(1 << 20) == 16_384
    with pytest.raises(ConfigError, match="1024"):
        throttle.rate = 5


def drive(adaptive, time, rate, windows):
    """Windows of a path that gives ``rate(limit)`` bytes a second."""
    for _ in range(windows):
        time.now += Adaptive.WINDOW
        size = int(rate(adaptive.limit) * Adaptive.WINDOW / (2 * adaptive.limit + 1))
        for _ in range(2 * adaptive.limit + 1):
            adaptive.done(size)


def test_concurrency_grows_while_that_helps_and_no_further():
    time = Time()
    adaptive = Adaptive(8, 256, monotonic=time)
    drive(adaptive, time, lambda limit: 1e8 * min(limit, 40), 12)
    assert 40 <= adaptive.limit <= 60
    bound = Adaptive(8, 16, monotonic=time)
    drive(bound, time, lambda limit: 1e8 * limit, 20)
    assert bound.limit == 16
    flat = Adaptive(8, 256, monotonic=time)
    drive(flat, time, lambda limit: 1e8, 20)
    assert flat.limit <= 12


def test_concurrency_halves_once_for_a_burst_and_recovers():
    time = Time()
    adaptive = Adaptive(8, 64, monotonic=time)
    drive(adaptive, time, lambda limit: 1e8 * limit, 10)
    high = adaptive.limit
    for _ in range(50):
        adaptive.overloaded()
    assert adaptive.limit == high // 2
    time.now += Adaptive.CALM
    for _ in range(10):
        adaptive.overloaded()
        time.now += Adaptive.CALM
    assert adaptive.limit == 1
    drive(adaptive, time, lambda limit: 1e8 * limit, 60)
    assert adaptive.limit >= 60


def test_a_retry_budget_is_spent_and_earned_back():
    budget = RetryBudget(2)
    assert [budget.spend() for _ in range(3)] == [True, True, False]
    for _ in range(10):
        budget.refund()
    assert [budget.spend() for _ in range(2)] == [True, False]


def fail(_attempt):
    raise S3Error("InternalError", 500)


@pytest.mark.parametrize(
    ("policy", "attempts", "why"),
    [
        (RetryPolicy(max_attempts=9, base_delay=0, budget=2), 3, "retry budget is spent"),
        (RetryPolicy(max_attempts=9, base_delay=4), 2, "deadline would pass"),
    ],
)
def test_calls_end_when_the_budget_or_the_deadline_does(policy, attempts, why):
    time = Time()
    loop = Attempts(
        policy, sleep=lambda s: setattr(time, "now", time.now + s), chance=lambda: 0.5, monotonic=time
    )
    history = History()
    with pytest.raises(S3Error):
        loop.run(fail, fix=lambda *_: False, region=str, history=history, deadline=105.0)
    assert history.attempts == attempts
    assert why in history.reasons[-1]


def test_a_policy_is_checked():
    for wrong in ({"budget": -1}, {"deadline": 0}):
        with pytest.raises(ConfigError):
            RetryPolicy(**wrong)


def test_overload_is_told(new_client, s3, s3_error):
    client = new_client()
    told = []
    client.s3.attempts.on_overload = lambda: told.append(1)
    s3.faults = [lambda *_: s3_error("SlowDown", 503), lambda *_: s3_error("InternalError", 500)]
    client.upload(b"x", "bkt", "k")
    assert told == [1]


def blocks(size):
    for _ in range(size // MIB):
        yield bytes(MIB)


def test_streams_side_by_side_stay_under_the_cap(new_client, s3):
    """Four streams of 40 MiB with a cap of 32 MiB: nobody waits for ever, and the cap holds."""
    client = new_client(memory_limit=MIN_MEMORY, part_size=5 * MIB)
    jobs = [(blocks(40 * MIB), "bkt", f"k{n}") for n in range(4)]
    outcomes = list(client.upload_many(jobs))
    assert [outcome.error for outcome in outcomes] == [None] * 4
    assert {len(data) for data in s3.objects.values()} == {40 * MIB}
    assert client._budget.most <= MIN_MEMORY
    assert client._budget.held == 0


def test_a_part_larger_than_the_cap_goes_through_a_file(new_client, s3):
    client = new_client(memory_limit=MIN_MEMORY, part_size=10 * MIB)
    assert client.upload(blocks(25 * MIB), "bkt", "k").parts == 3
    assert client._budget.most <= 4 * SEND_COST
    assert client._budget.held == 0


def test_memory_is_given_back_after_a_failure(new_client, s3, s3_error):
    client = new_client(memory_limit=MIN_MEMORY, part_size=5 * MIB)
    s3.hook = lambda request, _: s3_error("AccessDenied", 403) if "partNumber=3" in request.url else None
    with pytest.raises(UploadError):
        client.upload(blocks(40 * MIB), "bkt", "k")
    assert client._budget.held == 0


def test_large_sources_are_not_taken_all_at_once(new_client, s3):
    client = new_client(memory_limit=MIN_MEMORY, max_concurrency=8)
    taken = []

    def items():
        for number in range(20):
            taken.append(number)
            yield f"k{number}", bytes(8 * MIB)

    outcomes = client.put_many(items(), bucket="bkt")
    next(outcomes)
    assert len(taken) <= 4
    assert len(list(outcomes)) == 19


def test_a_transport_without_a_throttle_has_no_bandwidth_limit(new_client, client):
    assert client.bandwidth_limit is None
    with pytest.raises(ConfigError, match="no bandwidth limit"):
        new_client(bandwidth_limit=1_000_000)
