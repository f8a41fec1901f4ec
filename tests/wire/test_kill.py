"""kill -9 at random moments of an upload daemon, and a new one on the same journal, until everything is done.

``S3ACCEL_KILLS=200`` for the long run; ``S3ACCEL_KILL_SEED`` repeats one.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("pycurl")

from s3accel.local import FaultRequest, LocalServer, Slow
from s3accel.transfer import Client
from s3accel.transfer.journal import STORED, Journal

MIB = 1024 * 1024
KILLS = int(os.environ.get("S3ACCEL_KILLS", "6"))
CHILD = Path(__file__).resolve().parents[1] / "support" / "kill_child.py"
#: Seconds after its start within which a daemon is killed; an undisturbed one needs about as long.
LATEST = 1.2
#: Seconds that the slowest requests take.
LATE = 3.0


def add_files(folder: Path, chance: random.Random, count: int) -> None:
    """A mixed workload: empty, small, just below and above one chunk, and a fifth of them in parts."""
    for index in range(count):
        size = chance.choice([0, 1, 1000, 65_536, 65_537, 300_000])
        if index % 5 == 0:
            size = chance.randrange(5 * MIB, 17 * MIB)
        (folder / f"{len(list(folder.iterdir())):05}").write_bytes(chance.randbytes(size))


def slow_turns(chance: random.Random) -> Callable[[FaultRequest], Slow | None]:
    """Some of the requests that begin and end objects take a while: most kills shall fall into them.

    They are carried out even if who asked is dead by then, as S3 does it. Some uploads begin so late that the next
    daemon has looked for them, and may have ended, before they are there.
    """

    def fault(request: FaultRequest) -> Slow | None:
        turns = ("CreateMultipartUpload", "CompleteMultipartUpload", "PutObject")
        if request.operation not in turns:
            return None
        number = chance.random()
        if request.operation == turns[0] and number < 0.1:
            return Slow(seconds=LATE)
        return Slow(seconds=0.3) if number < 0.2 else None

    return fault


class Daemons:
    """Starts daemons, kills them, counts."""

    def __init__(self, settings: dict[str, str], chance: random.Random) -> None:
        self.settings = settings
        self.chance = chance
        self.kills = 0
        self.finished = 0

    def run(self, kill: bool, moment: threading.Event | None = None) -> bool:
        """One daemon's life; True if it came to its end. It is killed at that moment, or at any."""
        process = subprocess.Popen(
            [sys.executable, str(CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(self.settings) + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "ready\n"
        if kill:
            if moment is not None:
                assert moment.wait(60)
            else:
                # Early moments (opening, recovering, accepting) are hit as often as late ones.
                time.sleep(self.chance.choice([0.1, 0.4, 1.0]) * LATEST * self.chance.random())
            process.send_signal(signal.SIGKILL)
        try:
            out, err = process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        if process.returncode == -signal.SIGKILL:
            self.kills += 1
            return False
        assert process.returncode == 0, err
        assert out == "done 0\n", (out, err)
        self.finished += 1
        return True


@pytest.fixture
def settings(s3accel_server: LocalServer, s3accel_bucket: str, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "files").mkdir()
    return {
        "journal": str(tmp_path / "uploads.journal"),
        "folder": str(tmp_path / "files"),
        "bucket": s3accel_bucket,
        "address": s3accel_server.address,
        "ca_file": str(s3accel_server.ca_file),
        "id": s3accel_server.access_key_id,
        "secret": s3accel_server.secret_access_key,
    }


def test_nothing_is_lost_and_nothing_left(
    s3accel_server: LocalServer, s3accel_bucket: str, settings: dict[str, str]
) -> None:
    seed = int(os.environ.get("S3ACCEL_KILL_SEED", "0")) or random.randrange(1, 1 << 30)
    chance = random.Random(seed)
    folder, journal = Path(settings["folder"]), Path(settings["journal"])
    server = s3accel_server
    daemons = Daemons(settings, chance)
    print(f"seed {seed}")
    server.set_fault(slow_turns(random.Random(seed)))
    try:
        while daemons.kills < KILLS:
            add_files(folder, chance, 30)
            while not daemons.run(kill=daemons.kills < KILLS):
                pass
    finally:
        server.set_fault(None)
    time.sleep(
        LATE
    )  # whatever a dead daemon has sent has arrived now; the next start is told of no new files
    with Journal(journal, readonly=True) as found:
        watched = len(list(found.watched()))
    late = len(server._app.services.uploads._open)
    assert daemons.run(kill=False)
    files = {file.name: file for file in folder.iterdir()}
    with Journal(journal, readonly=True) as found:
        jobs = list(found.finished())
        assert found.counts() == {"pending": 0, STORED: len(files), "failed": 0}
        assert found.uploads() == []
    assert Counter(job.key for job in jobs) == Counter(list(files))  # one job, and so one outcome, for each
    with Client(
        credentials=server.credentials, connect_to={"*": server.address}, ca_file=server.ca_file
    ) as client:
        assert {summary.key for summary in client.list(s3accel_bucket)} == set(files)
        for name, file in files.items():
            assert client.get(s3accel_bucket, name) == file.read_bytes(), f"{name} (seed {seed})"
        assert list(client.s3.list_uploads(s3accel_bucket)) == [], f"seed {seed}"
    runs, settled = Counter(job.runs for job in jobs), sum(bool(job.outcome.get("found")) for job in jobs)
    print(
        f"{daemons.kills} kills, {daemons.finished} ends, {len(files)} objects; runs per job {dict(sorted(runs.items()))};"
        f" {settled} found stored after a crash; {watched} keys watched, {late} uploads came late and are gone"
    )


def test_an_upload_that_begins_after_everything_has_ended(
    s3accel_server: LocalServer, settings: dict[str, str]
) -> None:
    """Its daemon was killed while it asked for it, and the next one had done all there was to do before it was there."""
    server = s3accel_server
    (Path(settings["folder"]) / "file").write_bytes(bytes(6 * MIB))
    asked = threading.Event()

    def fault(request: FaultRequest) -> Slow | None:
        if request.operation != "CreateMultipartUpload" or asked.is_set():
            return None
        asked.set()
        return Slow(seconds=LATE)

    daemons = Daemons(settings, random.Random(1))
    server.set_fault(fault)
    try:
        assert not daemons.run(kill=True, moment=asked)
        assert daemons.run(kill=False)
        uploads = server._app.services.uploads._open
        deadline = time.monotonic() + LATE + 1
        while not uploads and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(uploads) == 1
        assert daemons.run(kill=False)
        assert uploads == {}
    finally:
        server.set_fault(None)
