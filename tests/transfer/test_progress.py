"""Progress events: in order, never above the total, and honest about what was lost."""

from __future__ import annotations

import threading

import pytest

from s3accel.errors import UploadError
from s3accel.transfer.progress import ProgressTracker

MIB = 1024 * 1024


def collect():
    events = []
    return events, events.append


def check_monotone(events):
    done = 0
    for event in events:
        if event.kind == "retry":
            done -= event.bytes_lost
        assert event.bytes_done >= done
        assert event.bytes_total is None or event.bytes_done <= event.bytes_total
        done = event.bytes_done


def test_events_are_throttled():
    events, callback = collect()
    now = [0.0]
    tracker = ProgressTracker(callback, "b", "k", 1000, monotonic=lambda: now[0], interval=0.1)
    tracker.started()
    meter = tracker.meter(1000)
    for _ in range(100):
        now[0] += 0.01
        meter.add(10)
    tracker.finished()
    assert [events[0].kind, events[-1].kind] == ["started", "done"]
    assert 8 <= len(events) - 2 <= 11
    assert events[-1].bytes_done == 1000
    check_monotone(events)


def test_a_failed_attempt_gives_its_bytes_back():
    events, callback = collect()
    tracker = ProgressTracker(callback, "b", "k", 100, interval=0)
    meter = tracker.meter(100)
    meter.add(70)
    tracker.failed_attempt(meter, part=3, attempt=1, reason="500 InternalError")
    meter.add(60)
    meter.complete()
    meter.complete()
    assert [(e.kind, e.bytes_done, e.bytes_lost) for e in events] == [
        ("progress", 70, 0),
        ("retry", 0, 70),
        ("progress", 60, 0),
        ("progress", 100, 0),
    ]
    assert events[1].part == 3
    assert events[1].reason == "500 InternalError"


def test_more_bytes_than_there_are_are_not_counted():
    _, callback = collect()
    tracker = ProgressTracker(callback, "b", "k", 100, interval=0)
    meter = tracker.meter(100)
    meter.add(90)
    meter.add(90)
    assert tracker.done == 100


def test_many_threads():
    events, callback = collect()
    tracker = ProgressTracker(callback, "b", "k", 8000, interval=0)

    def work():
        meter = tracker.meter(1000)
        for _ in range(100):
            meter.add(10)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tracker.done == 8000
    check_monotone(events)


def test_events_of_a_multipart_upload_with_a_retry(new_client, s3, s3_error):
    s3.faults = [lambda *_: None, lambda *_: s3_error("InternalError", 500)]
    events, callback = collect()
    client = new_client(part_size=5 * MIB, multipart_threshold=0, max_concurrency=2)
    client.upload(bytes(12 * MIB), "bkt", "k", progress=callback)
    kinds = [event.kind for event in events]
    assert kinds[0] == "started"
    assert kinds[-1] == "done"
    assert kinds.count("part") == 3
    assert kinds.count("retry") == 1
    retry = next(event for event in events if event.kind == "retry")
    assert retry.bytes_lost > 0
    assert retry.part in (1, 2)
    assert "500 InternalError" in retry.reason
    assert events[-1].bytes_done == events[-1].bytes_total == 12 * MIB
    assert events[-1].parts == 3
    check_monotone(events)


def test_a_stream_has_no_total_until_the_end(new_client):
    events, callback = collect()
    new_client(part_size=5 * MIB).upload([bytes(3 * MIB)] * 4, "bkt", "k", progress=callback)
    assert events[0].bytes_total is None
    assert events[-1].bytes_total == 12 * MIB


def test_an_exception_in_the_callback_ends_the_upload(new_client, s3):
    class EnoughError(Exception):
        pass

    def callback(event):
        if event.kind == "part":
            raise EnoughError

    client = new_client(part_size=5 * MIB, max_concurrency=2)
    with pytest.raises(UploadError) as caught:
        client.upload(bytes(30 * MIB), "bkt", "k", progress=callback)
    assert isinstance(caught.value.__cause__, EnoughError)
    assert caught.value.aborted
    assert s3.uploads == {}


def test_failure_is_told(client, s3, s3_error):
    events, callback = collect()
    s3.hook = lambda *_: s3_error("AccessDenied", 403)
    with pytest.raises(UploadError):
        client.upload(b"x", "bkt", "k", progress=callback)
    assert [event.kind for event in events] == ["started", "failed"]
    assert "AccessDenied" in events[-1].reason
