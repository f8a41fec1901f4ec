"""`cp --journal`, `resume` and `journal`: what is left, what goes on, and what it ends with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from s3accel.local import Answer, FaultRequest, LocalServer, Slow
from s3accel.transfer.journal import Journal

from .conftest import Ran

Run = Callable[..., Ran]
MIB = 1024 * 1024


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "uploads.journal"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "a.txt").write_bytes(b"a" * 1000)
    (folder / "big.bin").write_bytes(os.urandom(17 * MIB))
    return folder


@pytest.fixture
def refusing(keys: LocalServer) -> Iterator[Callable[..., None]]:
    """Makes the endpoint answer so to some operation."""

    def set_(operation: str, *, status: int = 503, code: str = "SlowDown", part: str = "") -> None:
        def fault(request: FaultRequest) -> Answer | None:
            if request.operation != operation or part not in request.target:
                return None
            return Answer(status, code)

        keys.set_fault(fault)

    yield set_
    keys.set_fault(None)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting between attempts."""
    from s3accel.transfer.retry import RetryPolicy

    monkeypatch.setattr(RetryPolicy, "delay", lambda *_args: 0.0)


def test_everything_goes_well(
    run: Run, route: list[str], journal: Path, files: Path, s3accel_bucket: str, client: Any
):
    ran = run("cp", "-r", files, f"s3://{s3accel_bucket}/x/", "--journal", journal, *route, "--json")
    assert ran.code == 0, ran.err
    assert ran.summary == {**ran.summary, "uploaded": 2, "pending": 0, "failed": 0, "bytes": 1000 + 17 * MIB}
    assert client.get(s3accel_bucket, "x/big.bin") == (files / "big.bin").read_bytes()
    assert client.head(s3accel_bucket, "x/a.txt").content_type == "text/plain"
    shown = run("journal", journal)
    assert (shown.code, shown.out) == (0, "0 jobs left, 2 uploaded, 0 failed\n")
    # No options: how S3 is reached was kept.
    again = run("resume", journal, "--json")
    assert (again.code, again.summary["uploaded"]) == (0, 0)


def test_what_is_left_goes_on(
    run: Run, route: list[str], journal: Path, files: Path, s3accel_bucket: str, client: Any, refusing, quick
):
    refusing("UploadPart", part="partNumber=2&")
    options = ["--part-size", "5MiB", "--journal", journal, *route]
    ran = run("cp", "-r", files, f"s3://{s3accel_bucket}/", *options)
    assert ran.code == 8
    assert "stays in the journal: part 2 of 4" in ran.err
    assert f"1 job left in {journal}; go on with: s3accel resume {journal}" in ran.err
    shown = run("journal", journal)
    assert shown.code == 8
    assert f"pending  {files / 'big.bin'} -> s3://{s3accel_bucket}/big.bin" in shown.out
    assert "SlowDown" in shown.out
    assert "1 job left, 1 uploaded, 0 failed" in shown.out
    with Journal(journal, readonly=True) as found:
        kept = len(found.uploads()[0].parts)
    refusing("nothing")
    again = run("resume", journal, "--json")
    assert again.code == 0, again.err
    [line] = [line for line in again.lines if line["event"] == "object"]
    assert (line["status"], line["parts"], line["resumed"]) == ("uploaded", 4, kept)
    assert "1 upload had been cut off" in again.err
    assert f"s3accel resume {journal}, started after that" in again.err
    assert client.get(s3accel_bucket, "big.bin") == (files / "big.bin").read_bytes()


def test_people_see_what_was_there_already(
    run: Run, route: list[str], journal: Path, files: Path, s3accel_bucket: str, refusing, quick
):
    refusing("UploadPart", part="partNumber=4&")
    (files / "a.txt").unlink()
    options = ["--part-size", "5MiB", "--concurrency", "1", "--journal", journal, *route]
    assert run("cp", "-r", files, f"s3://{s3accel_bucket}/", *options).code == 8
    refusing("nothing")
    ran = run("resume", journal)
    assert ran.code == 0
    assert "(4 parts, 3 of them were there already)" in ran.out


def test_another_route_than_cp_was_told(
    run: Run, keys: LocalServer, journal: Path, files: Path, s3accel_bucket: str, refusing, quick
):
    refusing("PutObject")
    everywhere = ["--connect-to", f"*={keys.address}", "--ca-file", keys.ca_file]
    copy = [
        "cp",
        files / "a.txt",
        f"s3://{s3accel_bucket}/",
        "--journal",
        journal,
        "--route",
        "auto",
        *everywhere,
    ]
    assert run(*copy).code == 8
    with Journal(journal, readonly=True) as found:
        assert json.loads(found.noted("settings"))["accelerate"] == "auto"
    refusing("nothing")
    assert run("resume", journal, "--route", "auto", "--accelerate").code == 2
    ran = run("resume", journal, "--route", "regional", "--json")
    assert [line["route"] for line in ran.objects] == ["regional"]


def test_failures_are_outcomes(
    run: Run, route: list[str], journal: Path, files: Path, s3accel_bucket: str, refusing
):
    refusing("PutObject", status=403, code="AccessDenied")
    ran = run("cp", files / "a.txt", f"s3://{s3accel_bucket}/", "--journal", journal, *route)
    assert ran.code == 5
    shown = run("journal", journal, "--json")
    assert shown.code == 0
    job, counts = (json.loads(line) for line in shown.out.splitlines())
    assert (job["state"], job["error_type"], job["runs"]) == ("failed", "AccessDenied", 1)
    assert counts == {"event": "journal", "pending": 0, "stored": 0, "failed": 1, "uploads": 0}
    assert run("resume", journal).code == 0  # it has its outcome
    assert run("journal", journal, "--forget", "0").out.startswith("1 record deleted")


def test_a_source_that_changed(
    run: Run, route: list[str], journal: Path, files: Path, s3accel_bucket: str, refusing, quick
):
    refusing("PutObject")
    assert run("cp", files / "a.txt", f"s3://{s3accel_bucket}/", "--journal", journal, *route).code == 8
    refusing("nothing")
    (files / "a.txt").write_bytes(b"other")
    ran = run("resume", journal)
    assert ran.code == 6
    assert "changed since the job was accepted (size, modification time)" in ran.err


def test_what_cannot_be_journaled(
    run: Run, route: list[str], journal: Path, s3accel_bucket: str, tmp_path: Path
):
    ran = run("cp", "-", f"s3://{s3accel_bucket}/k", "--journal", journal, *route)
    assert ran.code == 2
    assert "standard input cannot be journaled" in ran.err
    assert not journal.exists()
    ran = run("resume", tmp_path / "none")
    assert ran.code == 2
    assert f"there is no journal {tmp_path / 'none'}: cp --journal" in ran.err
    assert f"ConditionPathExists={tmp_path / 'none'}" in ran.err
    assert list(tmp_path.glob("none*")) == []
    assert run("journal", tmp_path / "none").code == 2


def test_a_journal_that_cannot_be_used(
    run: Run, route: list[str], journal: Path, files: Path, s3accel_bucket: str
):
    copy = ["cp", files / "a.txt", f"s3://{s3accel_bucket}/", "--journal", journal, *route]
    with Journal(journal):
        ran = run(*copy)
        assert ran.code == 7
        assert "is in use by another process" in ran.err
        assert run("resume", journal).code == 7
        assert run("journal", journal).code == 0  # looking is allowed
    journal.write_bytes(b"\0" * 5000)
    for arguments in (copy, ["resume", journal], ["journal", journal]):
        ran = run(*arguments)
        assert ran.code == 7
        assert "damaged" in ran.err


def test_nothing_secret_is_in_the_journal(
    run: Run, route: list[str], journal: Path, files: Path, s3accel_bucket: str, keys: LocalServer
):
    run("cp", files / "a.txt", f"s3://{s3accel_bucket}/", "--journal", journal, *route)
    for file in journal.parent.glob("uploads.journal*"):
        data = file.read_bytes()
        assert keys.secret_access_key.encode() not in data
        assert keys.access_key_id.encode() not in data


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_interrupted_jobs_stay(
    run: Run,
    route: list[str],
    journal: Path,
    files: Path,
    s3accel_bucket: str,
    client: Any,
    keys: LocalServer,
    number: int,
    code: int,
):
    begun = threading.Event()

    def fault(request: FaultRequest) -> Slow | None:
        if request.operation == "UploadPart" and "partNumber=3&" in request.target:
            begun.set()
            return Slow(seconds=3.0)
        return None

    keys.set_fault(fault)
    arguments = [
        "cp",
        "-r",
        files,
        f"s3://{s3accel_bucket}/",
        "--journal",
        journal,
        "--part-size",
        "5MiB",
        *route,
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "s3accel", *map(str, arguments), "--json"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert begun.wait(30)
        time.sleep(0.5)  # the other parts
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
        keys.set_fault(None)
    assert process.returncode == code, err
    if number != signal.SIGKILL:
        lines = [json.loads(line) for line in out.splitlines()]
        assert lines[-1]["interrupted"] == 1
        assert lines[-1]["uploaded"] == 1
        assert "1 job left in" in err
    again = run("resume", journal, "--json")
    assert again.code == 0, again.err
    [line] = [line for line in again.lines if line["event"] == "object"]
    assert (line["key"], line["status"]) == ("big.bin", "uploaded")
    assert line["resumed"] >= 1  # finished parts were not sent again
    assert client.get(s3accel_bucket, "big.bin") == (files / "big.bin").read_bytes()
    assert list(client._s3.list_uploads(s3accel_bucket)) == []
