"""The journal's file: one SQLite database in WAL mode, one writer at a time, every commit on the disk before it counts.

Writers of many threads share commits: whoever comes while another one waits for the disk is taken along by the next
commit, so the cost of an fsync is shared by all that wait for it.

A trap that shapes this file: POSIX drops all locks a process holds on a file as soon as the process closes any
descriptor of it. So neither the database nor its lock file is ever opened here except through SQLite.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from s3accel.errors import JournalError
from s3accel.transfer.journalroom import Room
from s3accel.transfer.journalschema import APPLICATION_ID, SCHEMA, VERSION

__all__ = ["JournalFile"]

T = TypeVar("T")


class _Write(Generic[T]):
    """One thing to be written, with what came of it."""

    def __init__(self, work: Callable[[sqlite3.Connection], T], last_room: bool) -> None:
        self.work = work
        self.last_room = last_room
        self.done = False
        self.value: T | None = None
        self.error: BaseException | None = None


class JournalFile:
    """Opens the file (and makes it, if it is not there), keeps other processes out, writes durably.

    Args:
        path: the database; beside it lie ``-wal`` and ``-shm`` of SQLite and a ``.lock``.
        readonly: only look, also while another process writes. The file must be there.

    Raises JournalError: it cannot be made, is no journal, is damaged, comes from a newer s3accel, or is in use.
    """

    def __init__(self, path: str | os.PathLike[str], *, readonly: bool = False) -> None:
        self.path = Path(os.path.realpath(path))  # one lock, whatever links lead here
        self.readonly = readonly
        self._room = Room(self.path)
        self._commit_lock = threading.RLock()
        self._queue_lock = threading.Lock()
        self._queue: list[_Write[Any]] = []
        self._lock: sqlite3.Connection | None = None
        self._db: sqlite3.Connection | None = None
        if not self.path.parent.is_dir():
            raise JournalError(f"journal {self.path}: the folder {self.path.parent} is not there")
        try:
            if not readonly:
                self._lock = self._claim()
                if not self.path.exists():
                    self._make()
                self._db = self._open()
                self._room.hold()
                self._note_owner()
            else:
                self._db = self._open()
        except sqlite3.Error as error:
            self.close()
            raise self.translated(error, "be opened") from error
        except BaseException:
            self.close()
            raise

    # -- opening

    def _claim(self) -> sqlite3.Connection:
        """Holds an exclusive lock on an empty database beside the journal; the kernel frees it when we die."""
        lock = self.path.with_name(self.path.name + ".lock")
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_CLOEXEC", 0), 0o600))
        except FileExistsError:
            pass  # never opened by hand again: closing it would free a lock this process may hold
        except OSError as error:
            raise JournalError(
                f"journal {self.path}: {lock} cannot be made: {error.strerror or error}"
            ) from error
        held = sqlite3.connect(lock, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            held.execute("PRAGMA journal_mode = OFF")  # nothing is ever written to it
            held.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as error:
            held.close()
            if "locked" not in str(error):
                raise
            raise JournalError(
                f"journal {self.path} is in use by another process{self._owner()}; wait until that has ended, or"
                " give this one a journal of its own"
            ) from error
        return held

    def _owner(self) -> str:
        with contextlib.suppress(Exception):
            db = self._connect(readonly=True)
            try:
                row = db.execute("SELECT value FROM meta WHERE name = 'owner'").fetchone()
            finally:
                db.close()
            return f" ({row[0]})" if row else ""
        return ""

    def _make(self) -> None:
        """Makes the database under another name first: a journal is whole from its first moment, or not there."""
        try:
            number, name = tempfile.mkstemp(
                prefix=f".{self.path.name}-", dir=self.path.parent
            )  # mode 0600, kept by SQLite for -wal and -shm
            os.close(number)
        except OSError as error:
            raise JournalError(f"journal {self.path} cannot be made: {error.strerror or error}") from error
        try:
            with contextlib.closing(sqlite3.connect(name, isolation_level=None)) as db:
                db.executescript(
                    f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION};"
                    f"PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; BEGIN; {SCHEMA} COMMIT;"
                )
            os.rename(name, self.path)
            self._sync_folder()
        except sqlite3.Error as error:
            raise self.translated(error, "be made") from error
        finally:
            for suffix in ("", "-wal", "-shm"):
                with contextlib.suppress(OSError):
                    os.unlink(name + suffix)

    def _sync_folder(self) -> None:
        """Makes the new name durable; a journal that a power cut removes is none."""
        number = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)

    def _connect(self, *, readonly: bool) -> sqlite3.Connection:
        mode = "ro" if readonly else "rw"  # never "rwc": a journal that went away must not come back empty
        return sqlite3.connect(
            f"file:{quote(str(self.path))}?mode={mode}",
            uri=True,
            timeout=10,
            isolation_level=None,
            check_same_thread=False,
        )

    def _open(self) -> sqlite3.Connection:
        try:
            size = self.path.stat().st_size
        except OSError as error:
            raise JournalError(f"journal {self.path}: {error.strerror or error}") from error
        if size == 0:
            # Ours are never empty, and SQLite would take an empty file for a new database: jobs lost in silence.
            raise JournalError(
                f"journal {self.path} is damaged: the file is empty; restore it, or delete it to start anew (what was"
                " accepted before is not known then)"
            )
        db = self._connect(readonly=self.readonly)
        try:
            application = db.execute("PRAGMA application_id").fetchone()[0]
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if application != APPLICATION_ID:
                raise JournalError(f"{self.path} is a database, but no journal of s3accel; it is left alone")
            if version != VERSION:
                raise JournalError(
                    f"journal {self.path} has schema version {version}, this s3accel knows {VERSION}; use the s3accel"
                    " that made it"
                )
            problems = [row[0] for row in db.execute("PRAGMA quick_check(3)")]
            if problems != ["ok"]:
                raise JournalError(f"journal {self.path} is damaged: {'; '.join(problems)}; {_RESTORE}")
            db.execute("PRAGMA foreign_keys = ON")
            if not self.readonly:
                os.chmod(self.path, 0o600)
                db.execute("PRAGMA journal_mode = WAL")
                # FULL: the WAL is synced at every commit, so that what was said to be kept survives a power cut.
                db.execute("PRAGMA synchronous = FULL")
                db.execute("PRAGMA fullfsync = ON")  # on macOS a plain fsync stops at the drive's cache
                db.execute("PRAGMA checkpoint_fullfsync = ON")
        except BaseException:
            db.close()
            raise
        return db

    def _note_owner(self) -> None:
        started = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime())
        with contextlib.suppress(
            JournalError
        ):  # only for another process's error text; a full disk may refuse it
            self.write(
                lambda db: db.execute(
                    "INSERT OR REPLACE INTO meta VALUES ('owner', ?)", (f"process {os.getpid()}, {started}",)
                )
            )

    # -- reading and writing

    def _open_db(self) -> sqlite3.Connection:
        if self._db is None:
            raise JournalError(f"journal {self.path} is closed")
        return self._db

    def read(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows. Raises JournalError."""
        with self._commit_lock:
            try:
                return self._open_db().execute(sql, values).fetchall()
            except sqlite3.Error as error:
                raise self.translated(error, "be read") from error

    def write(self, work: Callable[[sqlite3.Connection], T], *, last_room: bool = True) -> T:
        """Run ``work`` in a transaction; what it returns is returned once it is on the disk.

        ``work`` may be run twice (a commit shared with others is taken apart when one of them fails). With a full
        disk ``last_room`` lets it use what room the log has left; new jobs leave that to the outcomes of old ones.

        Raises JournalError: nothing of this ``work`` was kept.
        """
        return self.write_all([work], last_room=last_room)[0]

    def write_all(
        self, works: Sequence[Callable[[sqlite3.Connection], T]], *, last_room: bool = True
    ) -> list[T]:
        """The same for several that may each fail alone, in one commit if none does. Raises the first error."""
        items = [_Write(work, last_room) for work in works]
        with self._queue_lock:
            self._queue += items
        with self._commit_lock:
            if not all(item.done for item in items):
                with self._queue_lock:
                    batch, self._queue = self._queue, []
                self._commit(batch)
        for item in items:
            if item.error is not None:
                raise item.error
        return [item.value for item in items]  # type: ignore[misc]

    def _commit(self, batch: list[_Write[Any]]) -> None:
        try:
            db = self._open_db()
            try:
                self._transaction(db, batch)
            except Exception:  # noqa: BLE001 (each is tried again alone and gets its own error)
                for item in batch:
                    self._alone(db, item)
        except BaseException as error:
            for item in batch:
                if not item.done:
                    item.error, item.done = error, True
            if not isinstance(error, Exception):
                raise

    def _alone(self, db: sqlite3.Connection, item: _Write[Any]) -> None:
        for again in (True, False):
            try:
                self._transaction(db, [item])
                return
            except sqlite3.Error as error:
                if again and item.last_room and _is_full(error) and self._reuse_wal(db):
                    continue
                item.error = self.translated(error, "be written")
            except Exception as error:  # noqa: BLE001 (raised to who asked for this write)
                item.error = error
            item.done = True
            return

    def _transaction(self, db: sqlite3.Connection, batch: list[_Write[Any]]) -> None:
        try:
            db.execute("BEGIN IMMEDIATE")
            for item in batch:
                item.value = item.work(db)
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
            raise
        for item in batch:
            item.error, item.done = None, True

    def _reuse_wal(self, db: sqlite3.Connection) -> bool:
        """With the disk full, the log's own space may do: after a checkpoint it is written from its start again."""
        while True:
            with contextlib.suppress(sqlite3.Error):
                busy, frames, moved = db.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
                if not busy and frames == moved:
                    return True
            if not self._room.give_up():
                return False

    def check_room(self) -> None:
        """Raises JournalError if there is too little room to take on more."""
        self._room.check()

    # -- ends

    def translated(self, error: sqlite3.Error, what: str) -> JournalError:
        """SQLite's words -> what it means for the one who uses the journal."""
        text = str(error)
        if _is_full(error):
            why = "" if "is full" in text else "; a quota, a file size limit, or a failing disk"
            return JournalError(
                f"journal {self.path} could not {what}: no space is left for it ({text}{why}); what it holds already"
                " is safe, this was refused; free space and try again"
            )
        if "malformed" in text or "not a database" in text:
            return JournalError(f"journal {self.path} is damaged ({text}); {_RESTORE}")
        return JournalError(f"journal {self.path} could not {what}: {text}")

    def close(self) -> None:
        """Ends; may be called again."""
        with self._commit_lock:
            for connection in (self._db, self._lock):
                if connection is not None:
                    with contextlib.suppress(sqlite3.Error):
                        connection.close()
            self._db = self._lock = None


_RESTORE = "restore it with its -wal file from a copy, or move it away and submit the jobs again; nothing in it was changed"


def _is_full(error: BaseException) -> bool:
    # A quota or a file size limit arrives as an I/O error; both mean that there is no room.
    return isinstance(error, sqlite3.Error) and ("is full" in str(error) or "disk I/O error" in str(error))
