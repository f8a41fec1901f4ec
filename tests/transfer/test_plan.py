"""Size -> one put or parts, within S3's limits for every size."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3accel.errors import ConfigError
from s3accel.transfer import plan as p

MIB = 1024 * 1024


@given(
    size=st.integers(0, p.MAX_SIZE) | st.integers(0, 200 * MIB),
    part_size=st.none() | st.integers(p.MIN_PART_SIZE, p.MAX_PART_SIZE),
    threshold=st.integers(0, p.MAX_PUT_SIZE),
)
def test_every_plan_is_one_s3_takes(size, part_size, threshold):
    plan = p.make_plan(size, part_size=part_size, multipart_threshold=threshold)
    if not plan.multipart:
        assert plan.size <= p.MAX_PUT_SIZE
        assert plan.part(1) == p.PartRange(1, 0, size)
        return
    assert 1 <= plan.count <= p.MAX_PARTS
    assert p.MIN_PART_SIZE <= plan.part_size <= p.MAX_PART_SIZE
    assert plan.part_size >= (part_size or 0)
    first, last = plan.part(1), plan.part(plan.count)
    assert first.offset == 0
    assert last.offset + last.length == size
    assert 0 < last.length <= plan.part_size
    if plan.count > 1:
        middle = plan.part(plan.count - 1)
        assert middle.offset + middle.length == last.offset
        assert middle.length == plan.part_size


def test_parts_follow_each_other():
    plan = p.make_plan(50 * MIB + 1, part_size=5 * MIB)
    parts = list(plan.parts())
    assert len(parts) == plan.count == 11
    assert [part.offset for part in parts[1:]] == [part.offset + part.length for part in parts[:-1]]
    assert parts[-1].length == 1


def test_the_largest_object_there_can_be():
    plan = p.make_plan(p.MAX_SIZE)
    assert (plan.count, plan.part_size) == (10_000, p.MAX_PART_SIZE)
    assert p.MAX_SIZE == 53_687_091_200_000
    with pytest.raises(ConfigError, match="10,000 parts"):
        p.make_plan(p.MAX_SIZE + 1)


def test_part_size_grows_to_whole_mebibytes():
    plan = p.make_plan(1024**4, part_size=8 * MIB)
    assert plan.part_size == 105 * MIB
    assert plan.count <= 10_000


def test_threshold():
    assert not p.make_plan(p.DEFAULT_MULTIPART_THRESHOLD - 1).multipart
    assert p.make_plan(p.DEFAULT_MULTIPART_THRESHOLD).multipart
    assert not p.make_plan(p.MAX_PUT_SIZE - 1, multipart_threshold=p.MAX_PUT_SIZE).multipart
    assert not p.make_plan(0, multipart_threshold=0).multipart


@pytest.mark.parametrize("part_size", [p.MIN_PART_SIZE - 1, p.MAX_PART_SIZE + 1, 0, -1])
def test_part_sizes_s3_does_not_take(part_size):
    with pytest.raises(ConfigError, match="5 MiB"):
        p.make_plan(1, part_size=part_size)


def test_negative_sizes_and_unknown_parts():
    with pytest.raises(ConfigError, match="negative"):
        p.make_plan(-1)
    with pytest.raises(ConfigError, match="not one of"):
        p.make_plan(1).part(2)


@given(base=st.integers(p.MIN_PART_SIZE, p.MAX_PART_SIZE), number=st.integers(1, p.MAX_PARTS - 1))
def test_stream_parts_never_shrink_and_never_pass_the_limit(base, number):
    size, following = p.stream_part_size(number, base), p.stream_part_size(number + 1, base)
    assert base <= size <= following <= p.MAX_PART_SIZE


def test_streams_reach_far_enough():
    assert p.stream_reach() > 40 * 1024**4
    assert p.stream_reach(p.MAX_PART_SIZE) == p.MAX_SIZE
    assert [p.stream_part_size(n) // MIB for n in (1, 1000, 1001, 1100, 1101, 10_000)] == [
        8,
        8,
        16,
        16,
        32,
        5120,
    ]
