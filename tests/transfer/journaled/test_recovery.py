"""What a run makes of the jobs an earlier process left: nothing sent twice, nothing left behind, one outcome each."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
import time

import pytest

from s3accel.errors import ConfigError, JournalError, SourceError
from s3accel.transfer.hooks import JobInfo
from s3accel.transfer.journal import FAILED, PENDING, STORED, JournalOutcome
from s3accel.transfer.journaled import JournaledUploader, Stopped
from s3accel.transfer.messages import Request
from s3accel.transfer.recorder import Recorder
from s3accel.transfer.s3xml import CompletedPart

from ..conftest import FakeS3, error
from .conftest import BUCKET, MIB, begun, crc, interrupted, losing_part, lost

# -- what goes well


def test_jobs_are_done_and_recorded(uploads, s3, make):
    one = uploads()
    small, big = make("small", 1000), make("big")
    numbers = one.submit_many([(small, BUCKET, "s", {"metadata": {"a": "b"}}), (big, BUCKET, "b")])
    assert [job.id for job in one.pending()] == numbers
    reports = {report.job.id: report for report in one.run()}
    assert {report.state for report in reports.values()} == {STORED}
    assert s3.objects == {"s": small.read_bytes(), "b": big.read_bytes()}
    assert s3.info["s"]["x-amz-meta-a"] == "b"
    assert one.pending() == one.journal.uploads() == []
    outcomes = {job.key: outcome for job, outcome in one.outcomes()}
    assert outcomes["b"].parts == 4
    assert outcomes["b"].checksum == crc(s3.objects["b"])
    assert outcomes["s"].etag == f'"{hashlib.md5(s3.objects["s"]).hexdigest()}"'
    assert list(one.run()) == []
    assert not [name for name in s3.operations() if name in ("Get", "Head", "ListParts", "Abort")]


def test_jobs_accepted_while_it_runs_are_taken_along(uploads, s3, make):
    one = uploads()
    one.submit(make("a", 10), BUCKET, "a")
    keys = []
    for report in one.run():
        keys.append(report.job.key)
        if len(keys) < 5:
            one.submit(make("a", 10), BUCKET, f"a{len(keys)}")
    assert keys == ["a", "a1", "a2", "a3", "a4"]


def test_what_cannot_be_is_not_accepted(uploads, make):
    one = uploads()
    file = make("f", 5)
    for job in (
        (b"bytes", BUCKET, "k"),
        (file, "bucket.with.dots", "k"),
        (file, BUCKET, ""),
        (file, BUCKET, "k", {"headers": {"Content-Length": "1"}}),
        (file, BUCKET, "k", {"nonsense": 1}),
    ):
        with pytest.raises(ConfigError):
            one.submit_many([(file, BUCKET, "good"), job])
    with pytest.raises(SourceError):
        one.submit(file.with_name("none"), BUCKET, "k")
    assert one.pending() == []


# -- parts


def test_finished_parts_are_not_sent_again(uploads, s3, make):
    source = make()
    job = interrupted(uploads, s3, source)
    again = uploads()
    [upload] = again.journal.uploads()
    assert sorted(upload.parts) == [1, 2]
    assert "kept" in again.journal.job(job).trouble
    [report] = again.run()
    assert report.state == STORED
    assert report.result.resumed == 2
    assert (s3.count("Create"), s3.count("Part"), s3.count("Complete")) == (0, 2, 1)
    assert s3.objects["big"] == source.read_bytes()
    assert again.journal.uploads() == []
    assert again.journal.job(job).runs == 2


def test_parts_that_only_s3_knows_are_adopted(uploads, s3, make, path):
    source = make()
    interrupted(uploads, s3, source)
    again = uploads()
    again.journal._file.write(lambda db: db.execute("DELETE FROM parts"))
    [report] = again.run()
    assert report.result.resumed == 2
    assert s3.count("Part") == 2
    assert s3.objects["big"] == source.read_bytes()


@pytest.mark.parametrize("known", [True, False])
def test_parts_with_other_bytes_are_sent_again(uploads, s3, make, known):
    source = make()
    interrupted(uploads, s3, source)
    again = uploads()
    if not known:
        again.journal._file.write(lambda db: db.execute("DELETE FROM parts"))
    s3.uploads["upload-1"][1] = b"x" * 5 * MIB  # right size, wrong bytes
    s3.uploads["upload-1"][2] = b"short"
    [report] = again.run()
    assert report.result.resumed == 0
    assert s3.count("Part") == 4
    assert s3.objects["big"] == source.read_bytes()


def test_parts_that_s3_lost_are_sent_again(uploads, s3, make):
    source = make()
    interrupted(uploads, s3, source)
    del s3.uploads["upload-1"][1]
    [report] = uploads().run()
    assert (report.result.resumed, s3.count("Part")) == (1, 3)
    assert s3.objects["big"] == source.read_bytes()


def test_an_upload_s3_does_not_know_starts_anew(uploads, s3, make):
    source = make()
    interrupted(uploads, s3, source)
    s3.uploads.clear()
    [report] = uploads().run()
    assert (report.state, s3.count("Create"), s3.count("Part")) == (STORED, 1, 4)
    assert s3.objects["big"] == source.read_bytes()


def test_an_upload_that_ends_between_look_and_part_starts_anew(uploads, s3, make):
    source = make()
    interrupted(uploads, s3, source)

    def vanish(request: Request, fake: FakeS3) -> None:
        if "partNumber" in request.url and "upload-1" in request.url:
            fake.uploads.pop("upload-1", None)

    s3.hook = vanish
    [report] = uploads().run()
    assert (report.state, s3.count("Create")) == (STORED, 1)
    assert s3.objects["big"] == source.read_bytes()


@pytest.mark.parametrize("change", ["checksum", "part_size"])
def test_other_settings_after_the_restart(uploads, s3, make, change):
    source = make()
    interrupted(uploads, s3, source)
    [report] = uploads(**({"checksum": "crc32"} if change == "checksum" else {"part_size": 6 * MIB})).run()
    assert report.state == STORED
    # The parts keep their size; a checksum of another kind cannot be mixed in, so that starts anew.
    assert s3.count("Create") == (1 if change == "checksum" else 0)
    assert s3.objects["big"] == source.read_bytes()
    assert s3.uploads == {}


def test_without_the_right_to_list_parts_it_starts_anew(uploads, s3, make):
    source = make()
    interrupted(uploads, s3, source)
    s3.hook = lambda request, _s3: (
        error("AccessDenied", 403) if request.method == "GET" and "uploadId" in request.url else None
    )
    [report] = uploads().run()
    assert report.state == STORED
    assert s3.objects["big"] == source.read_bytes()
    assert s3.uploads == {}


def test_acceleration_that_is_gone_after_the_restart(uploads, s3, make):
    """Parts stay on the host they were begun on; where that is refused for good, the other one gets the whole."""
    source = make()
    one = uploads(accelerate="auto", max_concurrency=1)
    one.submit(source, BUCKET, "big")
    s3.hook = losing_part(3)
    assert [report.state for report in one.run()] == [PENDING]
    [upload] = one.journal.uploads()
    assert (upload.route, len(upload.parts)) == ("accelerate", 2)
    s3.hook = lambda request, _s3: (
        error("InvalidRequest", 400, "S3 Transfer Acceleration is disabled on this bucket")
        if "s3-accelerate" in request.url
        else None
    )
    s3.seen.clear()
    [report] = uploads(accelerate="auto").run()
    assert report.state == STORED, report.error
    assert report.result.route == "regional"
    assert s3.objects["big"] == source.read_bytes()
    assert s3.uploads == {}
    assert uploads().journal.uploads() == []


# -- answers that were lost


def complete(s3, source):
    """What the dead process's CompleteMultipartUpload did."""
    s3.uploads.pop("upload-1")
    data = source.read_bytes()
    parts = [data[start : start + 5 * MIB] for start in range(0, len(data), 5 * MIB)]
    md5 = hashlib.md5(b"".join(hashlib.md5(part).digest() for part in parts)).hexdigest()
    s3.objects["big"] = data
    s3.info["big"] = {"etag": f'"{md5}-{len(parts)}"'}
    s3.modified["big"] = time.time()


@pytest.mark.parametrize("parts", ["all", "none"])
def test_complete_was_answered_to_nobody(uploads, s3, make, parts):
    source = make()
    interrupted(uploads, s3, source, number=4)
    again = uploads()
    if parts == "all":
        last = source.read_bytes()[15 * MIB :]
        part = CompletedPart(4, f'"{hashlib.md5(last).hexdigest()}"', len(last), crc(last))
        again.journal.add_part(1, "upload-1", part)
        source.write_bytes(b"")  # not needed any more
    complete(s3, source if parts == "none" else make("twin"))
    [report] = again.run()
    assert report.outcome == JournalOutcome(
        STORED,
        etag=s3.info["big"]["etag"],
        checksum=crc(s3.objects["big"]),
        checksum_algorithm="crc64nvme",
        parts=4 if parts == "all" else 3,
        found=True,
    )
    assert (s3.count("Part"), s3.count("Create"), s3.count("Put")) == (0, 0, 0)
    assert again.journal.uploads() == []


def test_complete_arrives_while_the_next_process_works(uploads, s3, make):
    source = make()
    interrupted(uploads, s3, source)

    def hook(request: Request, fake: FakeS3) -> None:
        if request.method == "POST" and "upload-1" in request.url and "upload-1" in s3.uploads:
            complete(s3, source)

    s3.hook = hook
    [report] = uploads().run()
    assert report.outcome.found
    assert s3.count("Create") == 0


def stored(s3, data, **info):
    s3.objects["k"] = data
    s3.info["k"] = info
    s3.modified["k"] = time.time()


def test_a_put_was_answered_to_nobody(uploads, s3, make):
    source = make("s", 1000)
    again = begun(uploads, source, metadata={"a": "b"}, content_type="text/plain")
    stored(s3, source.read_bytes(), **{"x-amz-meta-a": "b", "content-type": "text/plain"})
    [report] = again.run()
    assert report.outcome.found
    assert report.result is None
    assert s3.count("Put") == 0


@pytest.mark.parametrize("other", ["bytes", "size", "metadata", "type", "old", "absent"])
def test_what_is_not_shown_to_be_the_object_is_sent(uploads, s3, make, other):
    source = make("s", 1000)
    again = begun(uploads, source, metadata={"a": "b"}, content_type="text/plain")
    data = {"bytes": b"x" * 1000, "size": b"x"}.get(other, source.read_bytes())
    info = {"x-amz-meta-a": "b", "content-type": "text/plain"}
    if other == "metadata":
        info["x-amz-meta-a"] = "c"
    if other == "type":
        del info["content-type"]
    if other != "absent":
        stored(s3, data, **info)
    if other == "old":
        s3.modified["k"] -= 60  # it was there before the job began
    [report] = again.run()
    assert (report.state, report.outcome.found, s3.count("Put")) == (STORED, False, 1)
    assert s3.objects["k"] == source.read_bytes()


# -- sources


def test_a_source_that_changed_is_an_outcome(uploads, s3, make):
    source = make()
    interrupted(uploads, s3, source)
    os.utime(source, ns=(1, 1))
    [report] = uploads().run()
    assert report.state == FAILED
    assert isinstance(report.error, SourceError)
    assert "changed since the job was accepted (modification time)" in report.outcome.error
    assert "submit it again" in report.outcome.error
    assert s3.uploads == {}
    assert s3.count("Part") == 0


def test_a_source_that_changed_before_anything_was_sent(uploads, s3, make):
    one = uploads()
    source = make("s", 10)
    one.submit(source, BUCKET, "k")
    source.unlink()
    [report] = one.run()
    assert (report.state, report.outcome.error_type) == (FAILED, "SourceError")
    assert s3.seen == []


def test_a_source_that_changes_just_before_it_is_opened(uploads, s3, make):
    one = uploads()
    source = make("s", 10)
    job = one.journal.job(one.submit(source, BUCKET, "k"))
    info = JobInfo("1", BUCKET, "k", str(source), stamp=(job.size, job.mtime_ns + 1))
    with pytest.raises(SourceError, match="changed since the job was accepted"):
        Recorder(one.journal, job).accepted(info)


# -- order


def test_jobs_for_one_key_go_in_order(uploads, s3, make):
    one = uploads()
    for index in range(12):
        one.submit(make(f"f{index}", 100 + index), BUCKET, "k")
    assert [report.job.size for report in one.run()] == [100 + index for index in range(12)]
    assert len(s3.objects["k"]) == 111


def test_what_is_behind_a_pending_job_waits(uploads, s3, make):
    one = uploads()
    first, second = (one.submit(make(name, size), BUCKET, "k") for name, size in (("a", 10), ("b", 20)))
    other = one.submit(make("c", 30), BUCKET, "other")
    s3.hook = lambda request, _s3: error("SlowDown", 503) if "/k" in request.url else None
    states = {report.job.id: report.state for report in one.run()}
    assert states == {first: PENDING, other: STORED}
    s3.hook = None
    assert [(r.job.id, r.state) for r in uploads().run()] == [(first, STORED), (second, STORED)]
    assert len(s3.objects["k"]) == 20


# -- how errors end


@pytest.mark.parametrize(
    ("fault", "state"),
    [
        (lost, PENDING),
        (lambda *_: error("SlowDown", 503), PENDING),
        (lambda *_: error("InternalError", 500), PENDING),
        (lambda *_: error("BadDigest", 400), PENDING),
        (lambda *_: error("ExpiredToken", 400), PENDING),
        (lambda *_: error("InvalidRequest", 400, "S3 Transfer Acceleration is not configured"), PENDING),
        (lambda *_: RuntimeError("surprise"), PENDING),
        (lambda *_: error("AccessDenied", 403), FAILED),
        (lambda *_: error("NoSuchBucket", 404), FAILED),
        (lambda *_: error("InvalidArgument", 400), FAILED),
    ],
)
@pytest.mark.parametrize("size", [1000, 6 * MIB])
def test_passing_troubles_leave_the_job_pending(uploads, s3, make, fault, state, size):
    one = uploads()
    source = make("f", size)
    number = one.submit(source, BUCKET, "k")
    s3.hook = fault
    [report] = one.run()
    assert report.state == state
    job = one.journal.job(number)
    assert job.state == state
    assert job.trouble if state == PENDING else job.outcome["error"]
    if state == FAILED:
        assert list(uploads().run()) == []
    else:
        s3.hook = None
        assert [found.state for found in uploads().run()] == [STORED]
        assert s3.objects["k"] == source.read_bytes()
    assert s3.uploads == {}


def test_with_bad_credentials_the_others_are_not_tried(uploads, s3, make):
    one = uploads(max_concurrency=1)
    for index in range(20):
        one.submit(make(f"f{index}", 10), BUCKET, f"k{index}")
    s3.hook = lambda *_: error("InvalidAccessKeyId", 403)
    assert len(list(one.run())) <= 2
    assert len(one.pending()) == 20
    s3.hook = None
    assert len(list(uploads().run())) == 20


def test_stopped_jobs_stay_with_their_parts(uploads, s3, make):
    source = make()
    one = uploads(max_concurrency=1)
    one.submit(source, BUCKET, "big")
    one.submit(make("s", 10), BUCKET, "small")
    stop = threading.Event()
    s3.hook = lambda request, _s3: stop.set() if "partNumber=3" in request.url else None
    reports = list(one.run(stop=stop))
    assert {report.state for report in reports} <= {PENDING, STORED}
    big = next(report for report in reports if report.job.key == "big")
    assert isinstance(big.error.__cause__ or big.error, Stopped)
    s3.hook = None
    again = uploads()
    assert len(again.journal.uploads()[0].parts) >= 2
    assert {report.state for report in again.run()} == {STORED}
    assert s3.objects["big"] == source.read_bytes()
    assert s3.created == 1


def test_leaving_the_iteration_loses_nothing(uploads, s3, make):
    one = uploads(max_concurrency=2)
    for index in range(30):
        one.submit(make(f"f{index}", 10), BUCKET, f"k{index}")
    for _report in one.run():
        break
    states = one.journal.counts()
    assert states[STORED] >= 1
    assert sum(states.values()) == 30
    assert states[STORED] + len(list(uploads().run())) == 30


@pytest.mark.parametrize("size", [10, 100_000])
def test_a_client_that_is_closed_meanwhile_fails_no_job(uploads, make, size):
    one = uploads(max_concurrency=1)
    for index in range(20):
        one.submit(make(f"f{index}", size), BUCKET, f"k{index}")
    for report in one.run():
        one._client.close()
        assert report.state in (STORED, PENDING)
    counts = one.journal.counts()
    assert (counts[FAILED], counts[STORED] + counts[PENDING]) == (0, 20)
    assert {report.state for report in uploads().run()} <= {STORED}
    assert len(uploads().pending()) == 0


def test_small_objects_share_their_commits(uploads, make, monkeypatch):
    one = uploads()
    one.submit_many([(make(f"f{index}", index), BUCKET, f"k{index}") for index in range(300)])
    commits = []
    real = one.journal._file._transaction
    monkeypatch.setattr(
        one.journal._file, "_transaction", lambda db, batch: (commits.append(len(batch)), real(db, batch))
    )
    assert [report.state for report in one.run()] == [STORED] * 300
    assert sum(commits) >= 300
    assert len(commits) < 250


def test_a_small_file_that_changes_before_it_is_read(uploads, s3, make):
    one = uploads()
    source = make("s", 1000)
    one.submit(source, BUCKET, "k")
    source.write_bytes(b"x" * 1001)
    [report] = one.run()
    assert (report.state, report.outcome.error_type) == (FAILED, "SourceError")
    assert "changed since the job was accepted" in report.outcome.error
    assert s3.seen == []


def test_one_run_at_a_time(uploads, make):
    one = uploads()
    one.submit(make("s", 10), BUCKET, "k")
    first = one.run()
    next(first)
    with pytest.raises(ConfigError, match="one run at a time"):
        next(one.run())
    first.close()
    assert list(one.run()) == []


def test_a_server_in_trouble_during_recovery_leaves_the_job(uploads, s3, make):
    source = make()
    again = begun(uploads, source)
    s3.begin("ours", "k")
    s3.hook = lambda request, _s3: error("InternalError", 500) if request.method == "GET" else None
    assert [report.state for report in again.run()] == [PENDING]
    s3.hook = None
    assert [report.state for report in uploads().run()] == [STORED]
    assert s3.uploads == {}


def test_recovery_without_the_right_to_list_uploads(uploads, s3, make):
    again = begun(uploads, make())
    s3.hook = lambda request, _s3: (
        error("AccessDenied", 403) if request.method == "GET" and "uploads=" in request.url else None
    )
    assert [report.state for report in again.run()] == [STORED]


# -- a journal that is full


class Full:
    """Makes the journal's database refuse to grow; what it holds stays."""

    def __init__(self, uploads: JournaledUploader, monkeypatch: pytest.MonkeyPatch, tables: tuple[str, ...]):
        file = uploads.journal._file
        real = file.write

        def write(work, **options):
            def guarded(db):
                db.set_authorizer(
                    lambda action, name, *_: (
                        sqlite3.SQLITE_DENY
                        if action in (sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE) and name in tables
                        else sqlite3.SQLITE_OK
                    )
                )
                try:
                    return work(db)
                except sqlite3.DatabaseError as refused:
                    raise sqlite3.OperationalError("database or disk is full") from refused
                finally:
                    db.set_authorizer(None)

            return real(guarded, **options)

        monkeypatch.setattr(file, "write", write)


def test_parts_that_cannot_be_noted_do_not_stop_the_upload(uploads, s3, make, monkeypatch):
    source = make()
    one = uploads()
    one.submit(source, BUCKET, "k")
    Full(one, monkeypatch, ("parts",))
    [report] = one.run()
    assert report.state == STORED
    assert s3.objects["k"] == source.read_bytes()


def test_an_upload_that_cannot_be_noted_is_aborted(uploads, s3, make, monkeypatch):
    one = uploads()
    one.submit(make(), BUCKET, "k")
    Full(one, monkeypatch, ("uploads",))
    [report] = one.run()
    assert report.state == PENDING
    assert "no space is left for it" in one.pending()[0].trouble
    assert s3.uploads == {}
    assert s3.count("Part") == 0


def test_an_outcome_that_cannot_be_noted_is_found_later(uploads, s3, make, monkeypatch):
    source = make("s", 1000)
    one = uploads()
    number = one.submit(source, BUCKET, "k")
    one.journal.begin([number])
    with monkeypatch.context() as patch:
        Full(one, patch, ("jobs",))
        with pytest.raises(JournalError, match="no space is left for it"):
            list(one.run())
    s3.objects["k"] = source.read_bytes()
    s3.modified["k"] = time.time()
    puts = s3.count("Put")
    [report] = uploads().run()
    assert report.outcome.found
    assert s3.count("Put") == puts


# -- whose journal it is


def test_a_journal_belongs_to_one_service(uploads, new_client, make, path):
    one = uploads()
    one.submit(make("s", 10), BUCKET, "k")
    one.close()
    elsewhere = new_client(accelerate=False, endpoint_url="https://s3.example.com")
    with pytest.raises(ConfigError, match="has jobs for aws, but the client goes to https"):
        JournaledUploader(elsewhere, path)
    assert [report.state for report in uploads().run()] == [STORED]
    uploads().close()
    JournaledUploader(elsewhere, path).close()  # nothing is pending any more


def test_checksums_need_not_be_of_the_journal(uploads, s3, make):
    """Without checksums, parts and objects are compared by MD5."""
    source = make()
    interrupted(uploads, s3, source)
    s3.uploads.clear()
    one = uploads(checksum=None, max_concurrency=1)
    s3.hook = losing_part(3)
    assert [report.state for report in one.run()] == [PENDING]
    s3.hook = None
    s3.seen.clear()
    again = uploads(checksum=None)
    again.journal._file.write(lambda db: db.execute("DELETE FROM parts"))
    [report] = again.run()
    assert (report.result.resumed, s3.count("Part")) == (2, 2)
    assert s3.objects["big"] == source.read_bytes()
