"""Bodies of small puts are hashed together with those that wait: each gets its own digest, whoever waits."""

from __future__ import annotations

import hashlib
from collections import deque

import pytest

from s3accel import Credentials
from s3accel.transfer.calls import Site
from s3accel.transfer.headers import ObjectHeaders
from s3accel.transfer.s3 import S3
from s3accel.transfer.small import COMPANY, SmallPut, SmallWay


@pytest.fixture
def way():
    def make(mode="auto"):
        site = Site("us-east-1", accelerate=False)
        return SmallWay(S3(None, site, Credentials("AKID", "secret")), mode, None, 65_536)

    return make


def puts(way, sizes):
    return [
        SmallPut(way, "bucket", f"k{n}", bytes([n]) * size, ObjectHeaders()) for n, size in enumerate(sizes)
    ]


def digest_sent(put, waiting=()):
    lines = put.prepare(waiting)[2]
    (found,) = [line.partition(": ")[2] for line in lines if line.lower().startswith("x-amz-content-sha256")]
    return found


@pytest.mark.parametrize("count", [1, 2, 3, COMPANY - 1, COMPANY, COMPANY + 1, 3 * COMPANY])
def test_each_body_has_its_own_digest(way, count):
    waiting = deque(puts(way(), [(n * 9973) % 65_537 for n in range(count)]))
    while waiting:
        put = waiting.popleft()
        assert digest_sent(put, waiting) == hashlib.sha256(put.data).hexdigest()


def test_one_group_is_hashed_at_a_time(way):
    first, *waiting = puts(way(), [100] * (2 * COMPANY))
    first.prepare(waiting)
    assert [bool(put._digest) for put in waiting] == [True] * (COMPANY - 1) + [False] * COMPANY


def test_others_in_the_queue_are_left_alone(way):
    put, ours = puts(way(), [10, 20])
    (unsigned,) = puts(way("unsigned"), [30])
    assert digest_sent(put, [object(), ours]) == hashlib.sha256(put.data).hexdigest()
    assert ours._digest == hashlib.sha256(ours.data).hexdigest()
    assert digest_sent(unsigned, [ours]) == "UNSIGNED-PAYLOAD"


def test_a_queue_that_shrinks_meanwhile(way):
    class Shrinking(list):
        def __len__(self):
            return 5  # as it was a moment ago

    put, other = puts(way(), [10, 20])
    assert digest_sent(put, Shrinking([other])) == hashlib.sha256(put.data).hexdigest()
