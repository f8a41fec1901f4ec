"""What must be uploaded, what has been, and how it ended: kept in one file that survives kill -9 and power cuts.

A job is accepted once `Journal.accept` has returned: then it is on the disk. It has exactly one outcome, or none yet.
Only paths can be journaled (bytes and streams cannot be read again after a crash), and nothing secret is written.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from s3accel.errors import JournalError
from s3accel.redact import redact_text
from s3accel.transfer.journalfile import JournalFile
from s3accel.transfer.journaljob import (
    FAILED,
    PENDING,
    STORED,
    Job,
    JournalOutcome,
    JournalUpload,
    NewJob,
    new_job,
)
from s3accel.transfer.s3xml import CompletedPart

__all__ = [
    "FAILED",
    "PENDING",
    "STORED",
    "Job",
    "Journal",
    "JournalOutcome",
    "JournalUpload",
    "NewJob",
    "new_job",
]

#: Jobs read at once when many are walked through.
PAGE = 500

_JOB = (
    "id, bucket, key, path, size, mtime_ns, inode, options, seal, accepted, begun, runs, trouble, state, finished,"
    " outcome, watch"
)


class Journal:
    """The journal. Thread-safe; one process at a time may write, any number may look (``readonly``).

    Every method that writes returns when its change is on the disk, or raises JournalError and changed nothing.
    """

    def __init__(self, path: str | os.PathLike[str], *, readonly: bool = False) -> None:
        self._file = JournalFile(path, readonly=readonly)
        self.path = self._file.path

    # -- jobs

    def accept(self, jobs: Iterable[NewJob]) -> list[int]:
        """Take jobs on, all of them or none; their ids in order. A job that is pending already keeps its id.

        Raises JournalError if they cannot be written down, or if so little room is left on the disk that the outcomes
        of jobs accepted before might not be: then none of these is accepted.
        """
        rows = [(job, job.options_text(), job.seal()) for job in jobs]
        self._file.check_room()

        def work(db: sqlite3.Connection) -> list[int]:
            now = time.time()
            found = []
            for job, options, seal in rows:
                identity = (job.bucket, job.key, job.path, job.size, job.mtime_ns, job.inode, options)
                # Of several jobs for one key the newest decides what the object will be: an older twin is no match.
                newest = db.execute(
                    "SELECT id, bucket, key, path, size, mtime_ns, inode, options FROM jobs"
                    " WHERE state = 'pending' AND bucket = ? AND key = ? ORDER BY id DESC LIMIT 1",
                    (job.bucket, job.key),
                ).fetchone()
                if newest is not None and newest[1:] == identity:
                    found.append(int(newest[0]))
                    continue
                cursor = db.execute(
                    "INSERT INTO jobs (bucket, key, path, size, mtime_ns, inode, options, seal, accepted)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (*identity, seal, now),
                )
                found.append(int(cursor.lastrowid or 0))
            return found

        return self._file.write(work, last_room=False)

    def pending(self) -> Iterator[Job]:
        """Jobs without an outcome, oldest first, in pages: what is accepted meanwhile comes too."""
        return self._walk("state = 'pending'")

    def following(self, number: int, count: int) -> list[Job]:
        """The next ``count`` jobs without an outcome after job ``number``."""
        return self._page("state = 'pending'", number, count)

    def finished(self) -> Iterator[Job]:
        """Jobs with an outcome, in the order they were accepted."""
        return self._walk("state <> 'pending'")

    def _walk(self, condition: str) -> Iterator[Job]:
        last = 0
        while found := self._page(condition, last, PAGE):
            yield from found
            last = found[-1].id

    def _page(self, condition: str, after: int, count: int) -> list[Job]:
        sql = f"SELECT {_JOB} FROM jobs WHERE id > ? AND {condition} ORDER BY id LIMIT ?"  # noqa: S608
        return [self._job(row) for row in self._file.read(sql, (after, count))]

    def job(self, number: int) -> Job:
        rows = self._file.read(f"SELECT {_JOB} FROM jobs WHERE id = ?", (number,))  # noqa: S608
        if not rows:
            raise JournalError(f"journal {self.path} has no job {number}")
        return self._job(rows[0])

    def counts(self) -> dict[str, int]:
        """How many jobs are pending, stored and failed."""
        rows = self._file.read("SELECT state, count(*) FROM jobs GROUP BY state")
        return {PENDING: 0, STORED: 0, FAILED: 0, **dict(rows)}

    def _job(self, row: tuple[Any, ...]) -> Job:
        number, bucket, key, path, size, mtime_ns, inode, options, seal, *rest = row
        accepted, begun, runs, trouble, state, finished, outcome, watch = rest
        try:
            job = Job(
                bucket, key, bytes(path), size, mtime_ns, inode, json.loads(options), number, accepted, begun,
                runs, trouble, state, finished, json.loads(outcome) if outcome else {}, watch,
            )  # fmt: skip
            sealed = job.seal() == seal
        except (TypeError, ValueError):
            sealed = False
        if not sealed:
            raise JournalError(
                f"journal {self.path} is damaged: job {number} is not what was accepted; restore the file from a copy,"
                " or move it away and submit the jobs again; nothing was sent for that job"
            )
        return job

    # -- progress and end

    def begin(self, numbers: Sequence[int], watch: Mapping[int, float] | None = None) -> None:
        """Note, in one commit, that something is about to be sent for these jobs.

        ``watch``: until when some of them are to be watched, see `Job`.
        """
        now = time.time()
        rows = [(now, (watch or {}).get(number), number) for number in numbers]
        sql = (
            "UPDATE jobs SET begun = coalesce(begun, ?), watch = coalesce(?, watch), runs = runs + 1"
            " WHERE id = ? AND state = 'pending'"
        )
        self._file.write(lambda db: db.executemany(sql, rows))

    def watched(self) -> Iterator[Job]:
        """Jobs, ended or not, of which something may still reach S3."""
        return self._walk("watch IS NOT NULL")

    def unwatch(self, number: int) -> None:
        self._file.write(lambda db: db.execute("UPDATE jobs SET watch = NULL WHERE id = ?", (number,)))

    def leave(self, number: int, trouble: str) -> None:
        """Note why the job could not be finished this time; it stays pending."""
        self._file.write(self._updating(number, "trouble = ?", (redact_text(trouble),)))

    def finish(
        self, number: int, outcome: JournalOutcome, completed: str = "", watch: float | None = None
    ) -> None:
        """Record the outcome.

        Args:
            completed: the upload that made the object, of which nothing is left then.
            watch: until when the job is to be watched, see `Job`; None leaves that as it is.

        Raises JournalError if the job has an outcome already.
        """
        self._file.write(self._finishing(number, outcome, completed, watch))

    def finish_all(self, ended: Iterable[tuple[int, JournalOutcome]]) -> None:
        """Record several outcomes, in one commit. Raises JournalError if one could not be; the others are, then."""
        self._file.write_all([self._finishing(number, outcome) for number, outcome in ended])

    def _finishing(
        self, number: int, outcome: JournalOutcome, completed: str = "", watch: float | None = None
    ) -> Callable[[sqlite3.Connection], None]:
        values = {name: value for name, value in vars(outcome).items() if value not in ("", None, False)}
        values.pop("state")
        if outcome.error:
            values["error"] = redact_text(outcome.error)
        text = json.dumps(values, sort_keys=True)
        changes = "state = ?, finished = ?, outcome = ?, trouble = '', watch = coalesce(?, watch)"
        return self._updating(number, changes, (outcome.state, time.time(), text, watch), completed)

    def _updating(
        self, number: int, changes: str, values: tuple[Any, ...], completed: str = ""
    ) -> Callable[[sqlite3.Connection], None]:
        def work(db: sqlite3.Connection) -> None:
            sql = f"UPDATE jobs SET {changes} WHERE id = ? AND state = 'pending'"  # noqa: S608
            if db.execute(sql, (*values, number)).rowcount != 1:
                raise JournalError(
                    f"journal {self.path}: job {number} has its outcome already, or is not there; nothing was changed"
                )
            if completed:
                db.execute("DELETE FROM uploads WHERE job = ? AND upload_id = ?", (number, completed))

        return work

    # -- multipart uploads

    def add_upload(
        self, number: int, upload_id: str, part_size: int, checksum: str | None, route: str = ""
    ) -> None:
        row = (number, upload_id, part_size, checksum or "", route, time.time())
        self._file.write(lambda db: db.execute("INSERT INTO uploads VALUES (?, ?, ?, ?, ?, ?)", row))

    def add_part(self, number: int, upload_id: str, part: CompletedPart) -> None:
        row = (number, upload_id, part.number, part.etag, part.size, part.checksum)
        self._file.write(lambda db: db.execute("INSERT OR REPLACE INTO parts VALUES (?, ?, ?, ?, ?, ?)", row))

    def drop_upload(self, number: int, upload_id: str) -> None:
        """The upload is completed or aborted: S3 holds nothing of it any more."""
        where = (number, upload_id)
        self._file.write(lambda db: db.execute("DELETE FROM uploads WHERE job = ? AND upload_id = ?", where))

    def uploads(self, number: int | None = None) -> list[JournalUpload]:
        """Uploads that were begun and neither completed nor aborted, of one job or of all, oldest first."""
        condition, values = ("", ()) if number is None else (" WHERE job = ?", (number,))
        sql = f"SELECT job, upload_id, part_size, checksum, route FROM uploads{condition} ORDER BY created"  # noqa: S608
        found = []
        for job, upload_id, part_size, checksum, route in self._file.read(sql, values):
            parts = {
                row[0]: CompletedPart(*row)
                for row in self._file.read(
                    "SELECT number, etag, size, checksum FROM parts WHERE job = ? AND upload_id = ?",
                    (job, upload_id),
                )
            }
            found.append(JournalUpload(job, upload_id, part_size, checksum or None, route, parts))
        return found

    def upload_ids(self) -> set[str]:
        """Of the same uploads, their ids alone."""
        return {str(row[0]) for row in self._file.read("SELECT upload_id FROM uploads")}

    # -- the file

    def note(self, name: str, value: str) -> None:
        """Keep a value of the user's own beside the jobs."""
        self._file.write(lambda db: db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value)))

    def noted(self, name: str) -> str:
        """The value, or ""."""
        rows = self._file.read("SELECT value FROM meta WHERE name = ?", (name,))
        return str(rows[0][0]) if rows else ""

    def forget(self, *, before: float) -> int:
        """Delete jobs that ended before that epoch time and can have left nothing behind; how many these were."""
        return self._file.write(
            lambda db: (
                db.execute(
                    "DELETE FROM jobs WHERE state <> 'pending' AND finished < ? AND watch IS NULL"
                    " AND NOT EXISTS (SELECT 1 FROM uploads WHERE job = jobs.id)",
                    (before,),
                ).rowcount
            )
        )

    def close(self) -> None:
        """Give the file free for others; may be called again."""
        self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Journal {self.path}>"
