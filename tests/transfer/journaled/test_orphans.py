"""Multipart uploads that nobody goes on with are aborted: also those whose id nobody knows, and those that come late."""

from __future__ import annotations

import os
import time

from s3accel import Clock
from s3accel.transfer import recovery
from s3accel.transfer.journal import FAILED, PENDING, STORED, JournalOutcome
from s3accel.transfer.journaled import JournaledUploader
from s3accel.transfer.messages import Request

from ..conftest import FakeS3, error
from .conftest import BUCKET, MIB, begun, interrupted, lost


def test_uploads_of_finished_jobs_are_aborted(uploads, s3, make):
    one = uploads()
    number = one.submit(make(), BUCKET, "big")
    s3.begin("left", "big")
    one.journal.add_upload(number, "left", 5 * MIB, "crc64nvme")
    one.journal.finish(number, JournalOutcome(FAILED, error="x"))
    again = uploads()
    assert again.recover() == []
    assert s3.uploads == {}
    assert again.journal.uploads() == []


def test_an_abort_that_fails_is_tried_again_later(uploads, s3, make):
    source = make()
    interrupted(uploads, s3, source)
    os.utime(source, ns=(1, 1))
    s3.hook = lambda request, _s3: error("AccessDenied", 403) if request.method == "DELETE" else None
    again = uploads()
    [report] = again.run()
    assert report.state == FAILED
    assert [upload.upload_id for upload in again.journal.uploads()] == ["upload-1"]
    s3.hook = None
    assert uploads().recover() == []
    assert s3.uploads == {}


def test_a_create_whose_answer_was_lost_leaves_nothing(uploads, s3, make):
    source = make()
    again = begun(uploads, source)
    s3.begin("ours", "k")
    s3.begin("longer", "k2")
    s3.begin("with-parts", "k")[1] = b"somebody's"
    s3.begin("old", "k", time.time() - 3600)
    [report] = again.run()
    assert report.state == STORED
    assert sorted(s3.uploads) == ["longer", "old", "with-parts"]


def test_a_create_that_arrives_late_leaves_nothing(uploads, s3, make):
    again = begun(uploads, make())

    def hook(request: Request, _s3: FakeS3) -> None:
        if request.method == "HEAD":
            s3.begin("late", "k")

    s3.hook = hook
    [report] = again.run()
    assert report.state == STORED
    assert s3.uploads == {}


# -- those that arrive when nobody is there any more


def test_a_create_that_arrives_after_the_run_is_found_by_the_next_start(uploads, s3, make):
    again = begun(uploads, make())
    assert [report.state for report in again.run()] == [STORED]
    s3.begin("late", "k")
    assert uploads().recover() == []
    assert s3.uploads == {}


def test_a_key_is_watched_until_nothing_can_arrive_any_more(uploads, s3, make, monkeypatch):
    """S3 refuses what was signed more than 15 minutes ago: from then on the key is left alone, whoever uses it."""
    again = begun(uploads, make())
    assert [report.state for report in again.run()] == [STORED]
    [job] = again.journal.watched()
    assert 900 < job.watch - time.time() <= recovery.WATCH
    assert again.journal.forget(before=2e10) == 0
    real, later = time.time, recovery.WATCH + 1
    monkeypatch.setattr(time, "time", lambda: real() + later)
    s3.begin("late", "k", real())
    s3.begin("of another program", "k", real() + later)
    s3.seen.clear()
    uploads().recover()
    assert list(s3.uploads) == ["of another program"]
    last = uploads()
    last.recover()
    assert list(last.journal.watched()) == []
    assert last.journal.forget(before=2e10) == 1
    assert s3.count("Get") == 1  # the list of uploads, once


def test_a_job_that_waits_for_another_run_is_watched_too(uploads, s3, make):
    one = uploads()
    one.submit(make(), BUCKET, "k")
    s3.hook = lost
    assert [report.state for report in one.run()] == [PENDING]
    s3.hook = None
    assert [report.state for report in one.run()] == [STORED]
    s3.begin("late", "k")
    one.recover()
    assert s3.uploads == {}


def test_small_objects_are_not_watched(uploads, s3, make):
    again = begun(uploads, make("s", 1000))
    assert [report.state for report in again.run()] == [STORED]
    assert list(again.journal.watched()) == []
    assert s3.count("Get") == 0


def test_what_a_run_has_just_begun_is_not_taken_for_a_leftover(uploads, s3, make):
    """Between S3's answer and the journal's commit our own upload looks like one."""
    again = begun(uploads, make())
    looked = []

    def hook(request: Request, _s3: FakeS3) -> None:
        if request.method == "PUT" and not looked:
            looked.append(True)
            s3.begin("just begun", "k")
            again.recover()
            assert "just begun" in s3.uploads

    s3.hook = hook
    assert [report.state for report in again.run()] == [STORED]
    assert looked
    assert s3.uploads == {}  # in the end nothing is under way, so what is left is nobody's


def test_without_a_network_not_every_key_is_waited_for(uploads, s3, make):
    one = uploads()
    for index in range(5):
        number = one.submit(make(f"f{index}", 6 * MIB), BUCKET, f"k{index}")
        one.journal.begin([number], {number: time.time() + 60})
        one.journal.finish(number, JournalOutcome(STORED))
    s3.hook = lost
    s3.seen.clear()
    uploads().recover()
    assert len(s3.seen) == 3  # one call, with its two repetitions
    assert len(list(uploads().journal.watched())) == 5


def test_a_loop_of_runs_does_not_list_uploads_all_the_time(uploads, s3, make):
    again = begun(uploads, make())
    list(again.run())
    s3.seen.clear()
    for _ in range(20):
        list(again.run())
    assert s3.seen == []


def test_the_clock_that_was_learned_counts(uploads, new_client, s3, make, path):
    """With ours three hours ahead of S3's, S3's times of our uploads are three hours before our beginnings."""
    begun(uploads, make()).close()
    clock = Clock()
    clock._set(-3 * 3600.0)
    client = new_client(part_size=5 * MIB, multipart_threshold=5 * MIB, clock=clock)
    s3.begin("ours", "k", time.time() - 3 * 3600)
    s3.begin("another's", "k", time.time())
    with JournaledUploader(client, path) as again:
        assert [report.state for report in again.run()] == [STORED]
    assert list(s3.uploads) == ["another's"]


def test_a_create_whose_answer_was_lost_on_the_way_leaves_nothing(uploads, s3, make):
    """S3 carried out both attempts, and only the second one's id is known."""
    one = uploads()
    one.submit(make(), BUCKET, "k")

    def hook(request: Request, fake: FakeS3) -> Exception | None:
        if request.url.endswith("?uploads="):
            s3.hook = None
            s3.begin("first", "k")
            return lost(request, fake)
        return None

    s3.hook = hook
    [report] = one.run()
    assert (report.state, s3.created) == (STORED, 1)
    assert s3.uploads == {}
    assert [job.key for job in one.journal.watched()] == ["k"]
