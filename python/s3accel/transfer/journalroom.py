"""Room for the journal: new jobs are refused while there is still some for the outcomes of old ones.

Two guards, since neither does alone. New jobs are not accepted when the disk is nearly full. And a file beside the
journal holds room that is given up when another program has filled the disk all the same.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from s3accel.errors import JournalError

__all__ = ["Room"]

#: Bytes of the disk that new jobs leave free.
RESERVE = 4 * 1024 * 1024
#: Bytes held by the file beside the journal. Moving the log into the database frees the log's own room then, which
#: serves again and again; measured on a full disk, the outcomes of all jobs that fit before could be recorded.
SPARE = 1024 * 1024


class Room:
    """The room of the journal at ``path``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._spare = path.with_name(path.name + ".spare")

    def hold(self) -> None:
        """Make the spare file, if there is room for it."""
        with contextlib.suppress(OSError):
            if self._spare.exists() and self._spare.stat().st_size == SPARE:
                return
        try:
            number = os.open(self._spare, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
            with open(number, "wb", buffering=0) as file:
                file.write(os.urandom(SPARE))  # zeros may be compressed away, and then hold nothing
                os.fsync(number)
        except OSError:
            self.give_up()

    def give_up(self) -> bool:
        """Free what the spare file holds; False if there was nothing."""
        try:
            os.unlink(self._spare)
        except OSError:
            return False
        return True

    def check(self) -> None:
        """Raises JournalError if the disk is so full that new jobs would endanger the records of old ones."""
        try:
            found = os.statvfs(self._path.parent)
        except (
            AttributeError,
            OSError,
        ):  # not on Windows; a file system that does not tell is not held to it
            return
        free = found.f_bavail * found.f_frsize
        if free < RESERVE:
            raise JournalError(
                f"journal {self._path}: {free} bytes are left on its disk, and {RESERVE} are kept for the jobs accepted"
                " before; new jobs are refused, nothing is lost; free space and try again"
            )
        self.hold()
