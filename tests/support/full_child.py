"""An upload daemon whose journal runs out of room; `test_full_disk.py` runs it.

On standard input: a JSON object with the journal, the folder with the files, the bucket, the endpoint, and how the room
ends. It accepts all files, lets the room end after a few outcomes, works on until it cannot, frees the room, and goes on
with a new journal object. On standard output: what happened, as JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from s3accel import Credentials
from s3accel.errors import JournalError
from s3accel.transfer import Client
from s3accel.transfer.journal import Journal
from s3accel.transfer.journaled import JournaledUploader

#: Outcomes before the room ends.
BEFORE = 5


def fill(journal: Journal) -> Callable[[], None]:
    """Another program takes all that the disk has, to the last byte."""
    path = journal.path.with_name("fill")
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1 << 8, 1):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)) == size:
                    pass
    return path.unlink


def limit(size: int) -> Callable[[], None]:
    """No file of this process may become larger (EFBIG, as a quota is EDQUOT)."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def limit_log(journal: Journal) -> Callable[[], None]:
    """The log may not grow; what it has can be used again."""
    return limit(max(os.path.getsize(f"{journal.path}-wal"), os.path.getsize(journal.path)))


def limit_all(_journal: Journal) -> Callable[[], None]:
    """Nothing can be written at all."""
    return limit(0)


def pages(journal: Journal) -> Callable[[], None]:
    """The database may have no page more: SQLITE_FULL."""
    [(count,)] = journal._file.read("PRAGMA page_count")
    journal._file.read(f"PRAGMA max_page_count = {count}")
    return lambda: None  # only for that connection


ENDS = {"fill": fill, "limit_log": limit_log, "limit_all": limit_all, "pages": pages}


def work(uploads: JournaledUploader, end: Callable[[Journal], Callable[[], None]] | None) -> dict[str, Any]:
    """Everything that is pending; the states in order, and the error that ended it."""
    states: list[str] = []
    free: Callable[[], None] = lambda: None  # noqa: E731
    error = ""
    try:
        for report in uploads.run(concurrency=2):
            states.append(report.state)
            if end is not None and len(states) == BEFORE:
                free = end(uploads.journal)
    except JournalError as caught:
        error = str(caught)
    free()
    return {"states": states, "error": error, **uploads.journal.counts()}


def main() -> int:
    settings = json.loads(sys.stdin.readline())
    client = Client(
        region="us-east-1",
        credentials=Credentials(settings["id"], settings["secret"]),
        connect_to={"*": settings["address"]},
        ca_file=settings["ca_file"],
        part_size=5 * 1024 * 1024,
        multipart_threshold=5 * 1024 * 1024,
    )
    path = Path(settings["journal"])
    with client:
        with JournaledUploader(client, path) as uploads:
            files = sorted(Path(settings["folder"]).iterdir())
            uploads.submit_many((file, settings["bucket"], file.name) for file in files)
            full = work(uploads, ENDS[settings["end"]])
        with JournaledUploader(client, path) as uploads:
            later = work(uploads, None)
    shutil.copy(path, settings["copy"])
    print(json.dumps({"full": full, "later": later}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
