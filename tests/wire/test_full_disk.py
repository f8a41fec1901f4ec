"""A journal that runs out of room while uploads run: nothing is lost, nothing recorded twice, and the user is told.

A disk that is really full needs a small file system of its own: a tmpfs in a namespace of its own, where the system lets
us make one. File size limits and SQLite's own limit need nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("pycurl")
pytest.importorskip("resource", reason="file size limits are a matter of POSIX")

from s3accel.local import LocalServer
from s3accel.transfer import Client
from s3accel.transfer.journal import FAILED, PENDING, STORED, Journal

MIB = 1024 * 1024
CHILD = Path(__file__).resolve().parents[1] / "support" / "full_child.py"
#: Room for the journal, its log and the spare file, and little else.
MOUNT = 'mount -t tmpfs -o size=8m tmpfs "$0" && exec "$@"'
FILES = 40


def own_disk(folder: Path) -> list[str]:
    """What starts a command that has a small disk at ``folder``; skips where the system does not allow that."""
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("no unshare(1): no disk of our own")
    start = [unshare, "--user", "--map-root-user", "--mount", "sh", "-c", MOUNT, str(folder)]
    tried = subprocess.run([*start, "true"], capture_output=True, text=True, timeout=30)
    if tried.returncode:
        pytest.skip(f"no disk of our own: {tried.stderr.strip()}")
    return start


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    for index in range(FILES):
        size = 6 * MIB if index % 8 == 7 else 1000 * index
        (folder / f"{index:03}").write_bytes(os.urandom(size))
    return folder


@pytest.fixture
def settings(s3accel_server: LocalServer, s3accel_bucket: str, files: Path, tmp_path: Path) -> dict[str, str]:
    return {
        "folder": str(files),
        "bucket": s3accel_bucket,
        "address": s3accel_server.address,
        "ca_file": str(s3accel_server.ca_file),
        "id": s3accel_server.access_key_id,
        "secret": s3accel_server.secret_access_key,
        "copy": str(tmp_path / "copy.journal"),
    }


@pytest.fixture
def client(s3accel_server: LocalServer):
    with Client(
        credentials=s3accel_server.credentials,
        connect_to={"*": s3accel_server.address},
        ca_file=s3accel_server.ca_file,
    ) as made:
        yield made


@pytest.mark.parametrize("end", ["fill", "limit_log", "limit_all", "pages"])
def test_no_job_is_lost_when_the_room_ends(
    s3accel_server: LocalServer,
    client: Client,
    settings: dict[str, str],
    files: Path,
    tmp_path: Path,
    end: str,
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    start = own_disk(disk) if end == "fill" else []
    ran = subprocess.run(
        [*start, sys.executable, str(CHILD)],
        input=json.dumps({**settings, "journal": str(disk / "journal"), "end": end}) + "\n",
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout)
    full, later = found["full"], found["later"]
    assert set(full["states"]) <= {STORED, PENDING}
    if end in ("limit_all", "pages"):
        assert "no space is left for it" in full["error"]
        assert "what it holds already is safe" in full["error"]
        assert full[PENDING] > 0
    else:  # there was room for what counts: the log's own, and the spare file's
        assert full["error"] == ""
        assert (full[STORED], full[PENDING], full[FAILED]) == (FILES, 0, 0)
    assert later["error"] == ""
    assert (later[STORED], later[PENDING], later[FAILED]) == (FILES, 0, 0)
    with Journal(settings["copy"], readonly=True) as journal:
        assert Counter(job.key for job in journal.finished()) == Counter(f.name for f in files.iterdir())
    for file in files.iterdir():
        assert client.get(settings["bucket"], file.name) == file.read_bytes()
    assert s3accel_server._app.services.uploads._open == {}
    print(end, full["error"] or "no error", {name: full[name] for name in (STORED, PENDING)})


AS_MANY_AS_FIT = """
import contextlib, sys
from pathlib import Path
from s3accel.errors import JournalError
from s3accel.transfer.journal import STORED, Journal, JournalOutcome, new_job

disk, source = Path(sys.argv[1]), sys.argv[2]
with Journal(disk / "journal") as journal:
    accepted = []
    with contextlib.suppress(JournalError):
        while True:
            accepted += journal.accept([new_job(source, "b", f"{len(accepted)}-" + "x" * 500)])
    with contextlib.suppress(OSError), open(disk / "fill", "wb", buffering=0) as file:
        while file.write(b"x" * 4096) == 4096:
            pass
    for number in accepted:
        journal.finish(number, JournalOutcome(STORED, etag='"d41d8cd98f00b204e9800998ecf8427e"'))
with Journal(disk / "journal") as journal:
    counts = journal.counts()
assert (counts["stored"], counts["pending"]) == (len(accepted), 0), counts
print(len(accepted))
"""


def test_outcomes_of_as_many_jobs_as_fit_can_be_recorded(tmp_path: Path) -> None:
    """New jobs are refused in time, whoever takes the rest of the disk then."""
    disk, source = tmp_path / "disk", tmp_path / "source"
    disk.mkdir()
    source.write_bytes(b"content")
    ran = subprocess.run(
        [*own_disk(disk), sys.executable, "-c", AS_MANY_AS_FIT, str(disk), str(source)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) > 100
