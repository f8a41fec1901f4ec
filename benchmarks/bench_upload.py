"""Uploads, ours beside everybody's: the same server, the same run, client CPU and wall.

    pytest benchmarks/bench_upload.py                        # small objects and a 1 GiB file: some minutes
    pytest benchmarks/bench_upload.py --benchmark-disable    # a few objects each: does everything still work?

The sink is nginx (Debian package) with TLS 1.3 on loopback; without it everything here is skipped. Each client runs in
a process of its own, so its CPU is its own. All sign with the same key and talk to the same server, in turns of
REPEATS rounds, of which the cheapest counts. The rivals sign or check less: obstore sends no checksum, and none of
them signs the chunks of a large body.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("cryptography")
sys.path.insert(0, str(Path(__file__).parent))

from upload_sink import Sink
from upload_workers import NEEDS

HERE = Path(__file__).parent
REPEATS = 3
#: Objects of a round; boto3 and minio-py need a second for what others do in a tenth.
COUNTS = {"boto3": 1000, "minio-py": 1000}
COUNT = 10_000
LARGE = 1 << 30
SMALL_RIVALS = list(NEEDS)
LARGE_RIVALS = [name for name in NEEDS if name != "obstore async"]


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


def measure(sink: Sink, name: str, kind: str, size: int, count: int, in_flight: int) -> dict[str, float]:
    command = [sys.executable, str(HERE / "upload_workers.py"), name, kind]
    command += [str(number) for number in (size, count, in_flight, sink.port)] + [sink.ca_file]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def best(
    sink: Sink, names: list[str], kind: str, size: int, in_flight: int, smoke: bool
) -> dict[str, dict[str, float]]:
    """Round by round, all names in each, so that a busy moment of the machine meets all of them alike."""
    found: dict[str, dict[str, float]] = {}
    for _ in range(1 if smoke else REPEATS):
        for name in names:
            count = 1 if kind == "large" else 20 if smoke else COUNTS.get(name, COUNT)
            one = measure(sink, name, kind, size, count, in_flight)
            one = {"cpu": one["cpu"] / count, "wall": one["wall"] / count, "peak": one["peak"]}
            if name not in found or one["cpu"] < found[name]["cpu"]:
                found[name] = {**one, "wall": min(one["wall"], found.get(name, one)["wall"])}
    return found


def installed(names: list[str], title: str, tables: dict[str, list[tuple[str, ...]]]) -> list[str]:
    for name in names:
        if importlib.util.find_spec(NEEDS[name]) is None:
            tables.setdefault(title, []).append((name, "not installed", "", "", ""))
    return [name for name in names if importlib.util.find_spec(NEEDS[name]) is not None]


@pytest.mark.parametrize("size", [4096, 65536])
@pytest.mark.parametrize("in_flight", [8, 64])
def test_small_objects(
    sink: Sink,
    size: int,
    in_flight: int,
    tables: dict[str, list[tuple[str, ...]]],
    request: pytest.FixtureRequest,
) -> None:
    smoke = request.config.getoption("benchmark_disable")
    if smoke and (size, in_flight) != (4096, 8):
        pytest.skip("one of them is enough to see that all clients work")
    title = f"objects of {size >> 10} KiB, TLS 1.3, {in_flight} in flight"
    tables[title] = [
        ("client", "CPU us each", "a second", "objects per CPU second: s3accel's / its", "peak MiB")
    ]
    found = best(sink, installed(SMALL_RIVALS, title, tables), "small", size, in_flight, smoke)
    ours = found["s3accel"]["cpu"]
    for name, one in found.items():
        each, rate = f"{one['cpu'] * 1e6:.0f}", f"{1 / one['wall']:,.0f}"
        tables[title].append((name, each, rate, f"{one['cpu'] / ours:.1f}", f"{one['peak'] / 2**20:.0f}"))


@pytest.mark.parametrize("in_flight", [8])
def test_a_large_file(
    sink: Sink, in_flight: int, tables: dict[str, list[tuple[str, ...]]], request: pytest.FixtureRequest
) -> None:
    smoke = request.config.getoption("benchmark_disable")
    size = 32 << 20 if smoke else LARGE
    title = f"a file of {size >> 20} MiB in parts of 16 MiB, TLS 1.3, {in_flight} in flight"
    tables[title] = [("client", "CPU s per GB", "GB a second", "its CPU / s3accel's", "peak MiB")]
    found = best(sink, installed(LARGE_RIVALS, title, tables), "large", size, in_flight, smoke)
    ours = found["s3accel"]["cpu"]
    for name, one in found.items():
        each, rate = f"{one['cpu'] / size * 1e9:.2f}", f"{size / one['wall'] / 1e9:.2f}"
        tables[title].append((name, each, rate, f"{one['cpu'] / ours:.1f}", f"{one['peak'] / 2**20:.0f}"))
