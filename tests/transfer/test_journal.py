"""The journal's promises: what was accepted is kept, ends once, and damage is never taken for emptiness."""

from __future__ import annotations

import io
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from s3accel.errors import ConfigError, JournalError, SourceError
from s3accel.transfer.journal import FAILED, PENDING, STORED, Journal, JournalOutcome, new_job
from s3accel.transfer.s3xml import CompletedPart


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "uploads.journal"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "source"
    file.write_bytes(b"content")
    return file


@pytest.fixture
def journal(path: Path):
    with Journal(path) as found:
        yield found


def child(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs it in a process of its own, which may kill itself."""
    head = "import os, sys\nfrom s3accel.transfer.journal import *\n"
    return subprocess.run(
        [sys.executable, "-c", head + textwrap.dedent(script), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
    )


# -- jobs


def test_a_job_is_what_was_given(journal, source):
    options = {"content_type": "text/plain", "metadata": {"a": "b"}, "headers": {"Cache-Control": "no-store"}}
    [number] = journal.accept([new_job(source, "bucket", "key/ü", **options)])
    job = journal.job(number)
    status = os.stat(source)
    assert (job.bucket, job.key, job.source) == ("bucket", "key/ü", str(source))
    assert (job.size, job.mtime_ns, job.inode) == (7, status.st_mtime_ns, status.st_ino)
    assert job.options == options
    assert (job.state, job.begun, job.runs, job.finished) == (PENDING, None, 0, None)
    assert [found.id for found in journal.pending()] == [number]


def test_relative_paths_become_absolute(journal, source, monkeypatch):
    monkeypatch.chdir(source.parent)
    assert new_job("source", "b", "k").source == str(source)


def test_file_names_need_not_be_text(journal, tmp_path):
    name = os.fsencode(tmp_path) + b"/\xff\xfe"
    with open(name, "wb") as file:
        file.write(b"x")
    [number] = journal.accept([new_job(os.fsdecode(name), "b", "k")])
    job = journal.job(number)
    assert job.path == name
    job.check_unchanged()


def test_one_outcome(journal, source):
    [number] = journal.accept([new_job(source, "b", "k")])
    journal.begin([number])
    journal.leave(number, "503 SlowDown")
    assert journal.job(number).trouble == "503 SlowDown"
    outcome = JournalOutcome(STORED, etag='"e"', checksum="c", checksum_algorithm="crc64nvme", parts=3)
    journal.finish(number, outcome)
    with pytest.raises(JournalError, match="has its outcome already"):
        journal.finish(number, JournalOutcome(FAILED, error="x"))
    with pytest.raises(JournalError, match="has its outcome already"):
        journal.leave(number, "x")
    [job] = journal.finished()
    assert JournalOutcome(job.state, **job.outcome) == outcome
    assert (job.runs, job.trouble) == (1, "")
    assert journal.counts() == {PENDING: 0, STORED: 1, FAILED: 0}
    assert list(journal.pending()) == []


def test_the_database_itself_guards_jobs_and_outcomes(path, source):
    with Journal(path) as journal:
        first, second = journal.accept([new_job(source, "b", "k"), new_job(source, "b", "l")])
        journal.finish(first, JournalOutcome(STORED))
    db = sqlite3.connect(path, isolation_level=None)
    for statement in (
        f"UPDATE jobs SET state = 'failed' WHERE id = {first}",
        f"UPDATE jobs SET outcome = '' WHERE id = {first}",
        f"UPDATE jobs SET key = 'other' WHERE id = {second}",
        f"DELETE FROM jobs WHERE id = {second}",
    ):
        with pytest.raises(sqlite3.IntegrityError):
            db.execute(statement)
    db.close()


def test_the_same_job_again_is_the_same_job(journal, source):
    job = new_job(source, "b", "k")
    [first] = journal.accept([job])
    assert journal.accept([job, job]) == [first, first]
    [other] = journal.accept([new_job(source, "b", "k", content_type="a/b")])
    assert other != first
    # The newest job for a key decides what the object will be, so the first content has to be asked for anew.
    [again] = journal.accept([job])
    assert again not in (first, other)
    journal.finish(again, JournalOutcome(STORED))
    journal.finish(other, JournalOutcome(STORED))
    journal.finish(first, JournalOutcome(STORED))
    assert journal.accept([job])[0] > again


def test_many_jobs_come_in_order(journal, source):
    numbers = journal.accept([new_job(source, "b", f"k{i}") for i in range(1234)])
    assert [job.id for job in journal.pending()] == numbers == sorted(numbers)


def test_all_or_none(journal, source):
    jobs = [new_job(source, "b", "k"), new_job(source, "b", "k\ud800")]
    with pytest.raises(Exception, match="surrogate"):
        journal.accept(jobs)
    assert journal.counts()[PENDING] == 0


def test_only_what_can_be_read_again(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for source in (b"bytes", io.BytesIO(b""), iter([b""]), fifo, tmp_path):
        with pytest.raises(ConfigError, match="could not be read again"):
            new_job(source, "b", "k")
    with pytest.raises(SourceError, match="No such file"):
        new_job(tmp_path / "missing", "b", "k")


@pytest.mark.parametrize("change", ["grown", "touched", "replaced", "gone"])
def test_a_changed_source_is_noticed(source, change):
    job = new_job(source, "b", "k")
    job.check_unchanged()
    if change == "grown":
        source.write_bytes(b"content and more")
        os.utime(source, ns=(job.mtime_ns, job.mtime_ns))
        expected = r"changed since the job was accepted \(size\)"
    elif change == "touched":
        os.utime(source, ns=(1, 1))
        expected = r"\(modification time\)"
    elif change == "replaced":
        other = source.with_name("other")
        other.write_bytes(b"CONTENT")
        os.utime(other, ns=(job.mtime_ns, job.mtime_ns))
        other.replace(source)
        expected = r"\(inode\)"
    else:
        source.unlink()
        expected = "cannot be read any more"
    with pytest.raises(SourceError, match=expected):
        job.check_unchanged()


def test_no_secret_is_written(path, source):
    secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I="
    with Journal(path) as journal:
        for options in (
            {"headers": {"x-amz-server-side-encryption-customer-key": secret}},
            {"headers": {"X-Amz-Security-Token": secret}},
            {"metadata": {"authorization": secret}},
            {"metadata": {"link": f"https://h/?X-Amz-Signature={secret}"}},
        ):
            with pytest.raises(ConfigError, match="nothing secret is written") as caught:
                new_job(source, "b", "k", **options)
            assert secret not in str(caught.value)
        [number] = journal.accept([new_job(source, "b", "k")])
        journal.leave(number, f"refused: X-Amz-Signature={secret}")
        journal.finish(number, JournalOutcome(FAILED, error=f"x-amz-security-token: {secret}"))
        for file in path.parent.iterdir():
            assert secret.encode() not in file.read_bytes()


def test_forget_keeps_what_matters(journal, source):
    first, second, third = journal.accept([new_job(source, "b", key) for key in "abc"])
    journal.finish(first, JournalOutcome(STORED))
    journal.add_upload(second, "u", 5, None)
    journal.finish(second, JournalOutcome(FAILED, error="x"))
    assert journal.forget(before=0) == 0
    assert journal.forget(before=2e10) == 1  # not the one whose upload S3 may still hold, not the pending one
    assert [job.id for job in journal.finished()] == [second]
    assert [job.id for job in journal.pending()] == [third]


# -- uploads and parts


def test_uploads_and_parts(journal, source):
    [number] = journal.accept([new_job(source, "b", "k")])
    journal.add_upload(number, "u1", 5, "crc64nvme", "accelerate")
    for part in (
        CompletedPart(2, '"b"', 5, "c"),
        CompletedPart(1, '"a"', 5, "c"),
        CompletedPart(2, '"z"', 5, "d"),
    ):
        journal.add_part(number, "u1", part)
    [upload] = journal.uploads(number)
    assert (upload.upload_id, upload.part_size, upload.checksum, upload.route) == (
        "u1",
        5,
        "crc64nvme",
        "accelerate",
    )
    assert upload.parts == {1: CompletedPart(1, '"a"', 5, "c"), 2: CompletedPart(2, '"z"', 5, "d")}
    with pytest.raises(JournalError, match="FOREIGN KEY"):
        journal.add_part(number, "unknown", CompletedPart(1, "a", 5, ""))
    journal.drop_upload(number, "u1")
    assert journal.uploads() == []
    assert journal._file.read("SELECT count(*) FROM parts") == [(0,)]


# -- durability


def test_every_commit_is_synced(journal):
    assert journal._file.read("PRAGMA synchronous") == [(2,)]  # FULL
    assert journal._file.read("PRAGMA journal_mode") == [("wal",)]


def test_what_was_accepted_survives_kill(path, source):
    ran = child(
        """
        journal = Journal(sys.argv[1])
        [number] = journal.accept([new_job(sys.argv[2], "b", "k")])
        journal.begin([number])
        journal.add_upload(number, "u", 5242880, "crc64nvme")
        journal.add_part(number, "u", __import__("s3accel.transfer.s3xml").transfer.s3xml.CompletedPart(1, "e", 5, "c"))
        print(number, flush=True)
        os.kill(os.getpid(), 9)
        """,
        path,
        source,
    )
    assert ran.returncode == -9, ran.stderr
    with Journal(path) as journal:  # the dead process's lock is gone with it
        [job] = journal.pending()
        assert job.id == int(ran.stdout)
        assert job.begun is not None
        [upload] = journal.uploads()
        assert list(upload.parts) == [1]


def test_a_log_torn_anywhere_by_a_power_cut(path, source, tmp_path):
    """Whatever the disk had of the log after the last sync: all jobs synced by then are there, none is half there."""
    sizes = []
    with Journal(path) as journal:
        for number in range(12):
            journal.accept([new_job(source, "b", f"k{number}")])
            sizes.append(os.path.getsize(f"{path}-wal"))
        log = Path(f"{path}-wal").read_bytes()
        copy = tmp_path / "copy.journal"
        for length in [0, 31, 32, *range(4000, len(log), 1733), len(log)]:
            shutil.copy(path, copy)
            Path(f"{copy}-wal").write_bytes(log[:length])
            Path(f"{copy}-shm").unlink(missing_ok=True)
            with Journal(copy, readonly=True) as torn:
                keys = [job.key for job in torn.pending()]
            synced = sum(size <= length for size in sizes)
            assert keys[:synced] == [f"k{i}" for i in range(synced)]
            assert keys == [f"k{i}" for i in range(len(keys))]


def test_many_threads_share_commits(journal, source):
    done = []

    def work(index):
        [number] = journal.accept([new_job(source, "b", f"{index}")])
        journal.finish(number, JournalOutcome(STORED))
        done.append(number)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(done)) == 40
    assert journal.counts() == {PENDING: 0, STORED: 40, FAILED: 0}


# -- a full disk


def test_full_refuses_the_new_and_keeps_the_old(journal, source):
    [first] = journal.accept([new_job(source, "b", "first")])
    pages = journal._file.read("PRAGMA page_count")[0][0]
    journal._file.read(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(
        JournalError, match=r"no space is left for it.*what it holds already is safe, this was refused"
    ):
        journal.accept([new_job(source, "b", f"k{i}") for i in range(5000)])
    assert [job.id for job in journal.pending()] == [first]
    journal.finish(first, JournalOutcome(STORED, etag="e"))  # in the row's own page
    journal._file.read("PRAGMA max_page_count = 1000000")
    assert len(journal.accept([new_job(source, "b", "later")])) == 1


def test_a_file_size_limit_keeps_what_was_accepted(path, source):
    """EFBIG, as EDQUOT and some full disks, arrives as an I/O error in the middle of a write."""
    ran = child(
        """
        import resource
        from s3accel.errors import JournalError
        journal = Journal(sys.argv[1])
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
        accepted = []
        try:
            for index in range(100_000):
                accepted += journal.accept([new_job(sys.argv[2], "b", f"{index}-" + "x" * 900)])
        except JournalError as error:
            print(error)
        # The log's own room is used again, so what runs already can still be recorded.
        for number in accepted[:20]:
            journal.finish(number, JournalOutcome(STORED, etag="e"))
        print(len(accepted), flush=True)
        os.kill(os.getpid(), 9)
        """,
        path,
        source,
    )
    assert ran.returncode == -9, ran.stderr
    refusal, count = ran.stdout.splitlines()
    assert "no space is left for it" in refusal
    assert "free space and try again" in refusal
    with Journal(path) as journal:
        assert journal.counts() == {PENDING: int(count) - 20, STORED: 20, FAILED: 0}
        assert int(count) > 30


def test_new_jobs_leave_room_for_the_outcomes_of_old_ones(journal, source, monkeypatch):
    [first] = journal.accept([new_job(source, "b", "k")])
    monkeypatch.setattr(os, "statvfs", lambda _path: SimpleNamespace(f_bavail=1000, f_frsize=4096))
    with pytest.raises(JournalError, match=r"4096000 bytes are left on its disk.*new jobs are refused"):
        journal.accept([new_job(source, "b", "other")])
    journal.finish(first, JournalOutcome(STORED))


def test_the_spare_room_is_used_for_outcomes(journal, path, source, monkeypatch):
    [first] = journal.accept([new_job(source, "b", "k")])
    spare = path.with_name("uploads.journal.spare")
    assert spare.stat().st_size == 1024 * 1024

    real = journal._file._transaction

    def transaction(db, batch):
        if spare.exists():
            raise sqlite3.OperationalError("database or disk is full")
        real(db, batch)

    monkeypatch.setattr(journal._file, "_transaction", transaction)
    monkeypatch.setattr(journal._file, "_open_db", lambda: Checkpointless(journal._file._db, spare))
    with pytest.raises(JournalError, match="no space"):
        journal.accept([new_job(source, "b", "other")])
    assert spare.exists()  # new jobs do not get it
    journal.finish(first, JournalOutcome(STORED))
    assert not spare.exists()
    monkeypatch.undo()
    journal.accept([new_job(source, "b", "other")])
    assert spare.exists()  # as soon as there is room again


class Checkpointless:
    """A connection whose log cannot be moved into the database while the spare file holds the room for that."""

    def __init__(self, db, spare):
        self._db, self._spare = db, spare

    def __getattr__(self, name):
        return getattr(self._db, name)

    def execute(self, sql, *values):
        if "checkpoint" in sql and self._spare.exists():
            raise sqlite3.OperationalError("database or disk is full")
        return self._db.execute(sql, *values)


# -- the file


def test_nobody_else_may_read_it(path, source):
    old = os.umask(0)
    try:
        with Journal(path) as journal:
            journal.accept([new_job(source, "b", "k")])
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.glob("uploads*")}
    finally:
        os.umask(old)
    assert {name.removeprefix("uploads.journal") for name in modes} == {"", "-wal", "-shm", ".lock", ".spare"}
    assert set(modes.values()) == {0o600}


def test_one_writer_many_readers(path, source):
    with Journal(path) as journal:
        journal.accept([new_job(source, "b", "k")])
        with pytest.raises(JournalError, match=f"in use by another process .process {os.getpid()}"):
            Journal(path)
        ran = child("Journal(sys.argv[1])", path)
        assert "in use by another process" in ran.stderr
        with Journal(path, readonly=True) as reader:
            assert reader.counts()[PENDING] == 1
            journal.accept([new_job(source, "b", "l")])
            assert reader.counts()[PENDING] == 2
            with pytest.raises(JournalError, match="readonly"):
                reader.accept([new_job(source, "b", "m")])
        link = path.with_name("link")
        link.symlink_to(path)
        with pytest.raises(JournalError, match="in use by another process"):
            Journal(link)
        # A refused try must not have freed the lock (closing a descriptor drops POSIX locks).
        assert "in use by another process" in child("Journal(sys.argv[1])", path).stderr
    Journal(path).close()


def test_missing_places(tmp_path):
    with pytest.raises(JournalError, match=r"folder .* is not there"):
        Journal(tmp_path / "no" / "journal")
    with pytest.raises(JournalError, match="No such file"):
        Journal(tmp_path / "none", readonly=True)
    assert list(tmp_path.iterdir()) == []


def test_a_closed_journal_says_so(path, source):
    journal = Journal(path)
    journal.close()
    journal.close()
    with pytest.raises(JournalError, match="is closed"):
        journal.accept([new_job(source, "b", "k")])
    with pytest.raises(JournalError, match="is closed"):
        journal.counts()


def test_what_is_no_journal_is_left_alone(path):
    path.write_bytes(b"notes of mine" * 100)
    with pytest.raises(JournalError, match=r"damaged|not a database"):
        Journal(path)
    assert path.read_bytes() == b"notes of mine" * 100
    path.unlink()
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE mine (x)")
    db.commit()
    db.close()
    with pytest.raises(JournalError, match="no journal of s3accel"):
        Journal(path)


def test_an_empty_file_is_a_loss_not_a_beginning(path):
    path.touch()
    with pytest.raises(JournalError, match="is damaged: the file is empty"):
        Journal(path)
    assert path.stat().st_size == 0


def test_another_version(path):
    Journal(path).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(JournalError, match="schema version 99"):
        Journal(path)


def test_a_damaged_page_is_noticed(path, source):
    with Journal(path) as journal:
        journal.accept([new_job(source, "b", f"k{i}") for i in range(2000)])
    data = bytearray(path.read_bytes())
    for page in range(5, 12):
        data[page * 4096 : page * 4096 + 100] = os.urandom(100)
    path.write_bytes(data)
    with pytest.raises(JournalError, match="is damaged"):
        Journal(path)
    assert path.read_bytes() == data


def test_a_cut_file_is_noticed(path, source):
    with Journal(path) as journal:
        journal.accept([new_job(source, "b", f"k{i}") for i in range(2000)])
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(JournalError, match="is damaged"):
        Journal(path)


def test_a_changed_letter_in_a_job_is_noticed(path, source):
    """SQLite has no sums over its pages: without one of ours the wrong key would be written to."""
    with Journal(path) as journal:
        journal.accept([new_job(source, "b", "key-of-the-job")])
    data = path.read_bytes()
    assert data.count(b"key-of-the-job") == 2  # the row and an index
    path.write_bytes(data.replace(b"key-of-the-job", b"key-of-the-jub"))
    with Journal(path) as journal, pytest.raises(JournalError, match="job 1 is not what was accepted"):
        list(journal.pending())
