"""Ctrl-C and SIGTERM, as a shell sends them: to the command in a process of its own."""

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

from s3accel.cli.cp import _blocks
from s3accel.cli.run import Interrupted, Stop
from s3accel.local import FaultRequest, LocalServer, Slow

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def slow_parts(keys: LocalServer) -> Iterator[threading.Event]:
    """Parts take three seconds to arrive; the event says that one has begun."""
    begun = threading.Event()

    def fault(request: FaultRequest) -> Slow | None:
        if request.operation not in ("UploadPart", "PutObject"):
            return None
        begun.set()
        return Slow(seconds=3.0)

    keys.set_fault(fault)
    yield begun
    keys.set_fault(None)


@pytest.fixture
def start() -> Iterator[Start]:
    running: list[subprocess.Popen[str]] = []

    def begin(*arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "s3accel", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ends_cleanly(
    start: Start,
    route: list[str],
    keys: LocalServer,
    slow_parts: threading.Event,
    s3accel_bucket: str,
    tmp_path: Path,
    number: int,
    code: int,
) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).write_bytes(bytes(17 << 20))
    before = keys.stats.operations
    process = start("cp", "-r", tmp_path, f"s3://{s3accel_bucket}/", *route, "--json", "--concurrency", "2")
    assert slow_parts.wait(30)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code, err
    assert "Traceback" not in err
    found = events(out)
    statuses = {line["key"]: line["status"] for line in found if line["event"] == "object"}
    assert statuses == {"a": "interrupted", "b": "interrupted", "c": "not started"}
    assert len(found) == 4
    assert found[-1]["exit_code"] == code
    after = keys.stats.operations
    made, aborted = (
        after.get(name, 0) - before.get(name, 0) for name in ("CreateMultipartUpload", "AbortMultipartUpload")
    )
    # An upload that had not begun its parts yet has nothing to abort; none that has may be left.
    assert aborted >= made > 0
    assert after.get("CompleteMultipartUpload", 0) == before.get("CompleteMultipartUpload", 0)


def test_twice_leaves_at_once(
    start: Start,
    route: list[str],
    slow_parts: threading.Event,
    s3accel_bucket: str,
    tmp_path: Path,
) -> None:
    (tmp_path / "a").write_bytes(bytes(17 << 20))
    process = start("cp", tmp_path / "a", f"s3://{s3accel_bucket}/", *route, "--json")
    assert slow_parts.wait(30)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert "interrupted" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    if time.monotonic() - started < 1.0:  # otherwise the first one had done it already
        assert [line["event"] for line in events(out)] == ["object", "summary"]
        assert "may be left" in err or "aborted" in out


def test_half_a_pipe_becomes_no_object() -> None:
    """The producer dies of the same Ctrl-C: the end of its pipe is no end of data."""
    reader, writer = os.pipe()
    stop = Stop()
    os.write(writer, b"half of it")
    blocks = _blocks(reader, stop)
    assert next(blocks) == b"half of it"
    os.close(writer)
    threading.Timer(0.02, stop.event.set).start()
    with pytest.raises(Interrupted):
        next(blocks)
    os.close(reader)
