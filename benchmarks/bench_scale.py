"""Does it stay flat? Time and memory for each object, from a thousand to a million; a pipe of any length under the cap.

    python benchmarks/bench_scale.py                                    # some minutes: small sizes of all three
    python benchmarks/bench_scale.py --objects 1000 10000 100000 1000000
    python benchmarks/bench_scale.py --pipe 10GiB
    python benchmarks/bench_scale.py --journal 1000 10000 100000
    pytest benchmarks/bench_scale.py --benchmark-disable                # does everything still work?

The sink is nginx with TLS 1.3 on loopback (upload_sink.py). Every row is a process of its own, so its memory is its own.
Memory is the resident set: after a tenth of the objects, and the highest of all. CPU is the client's, both kinds.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cryptography")
sys.path.insert(0, str(Path(__file__).parent))

from upload_sink import Sink
from upload_workers import s3accel_client

MIB = 1 << 20
SIZE = 4096
IN_FLIGHT = 64
#: Jobs accepted in one commit.
COMMIT = 1000
BLOCK = os.urandom(MIB)
COLUMNS = ("CPU us each", "wall us each", "MiB after a tenth", "MiB at most")


# -- in the worker's process


def resident(which: str = "VmRSS") -> float:
    """MiB now, or at most since the process began (VmHWM; ru_maxrss also knows what was before exec)."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.findall(rf"{which}:\s+(\d+)", status.read_text())[0]) / 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MIB


def cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def measured(count: int, work: Callable[[Callable[[int], None]], Any]) -> dict[str, float]:
    """``work`` is given what to call with the number of each object that is done."""
    tenth = 0.0

    def done(number: int) -> None:
        nonlocal tenth
        if not tenth and number >= count // 10:
            tenth = resident()

    started, before = time.monotonic(), cpu()
    work(done)
    return {
        "cpu": (cpu() - before) / count,
        "wall": (time.monotonic() - started) / count,
        "tenth": tenth,
        "most": resident("VmHWM"),
    }


def put_many(client: Any, count: int) -> dict[str, float]:
    """Objects of 4 KiB from memory."""
    data = BLOCK[:SIZE]

    def work(done: Callable[[int], None]) -> None:
        items = ((f"key{number:08d}", data) for number in range(count))
        for number, outcome in enumerate(client.put_many(items, bucket="bucket", concurrency=IN_FLIGHT)):
            if outcome.error is not None:
                raise outcome.error
            done(number)

    return measured(count, work)


def journal(client: Any, count: int) -> dict[str, float]:
    """The same objects as files and jobs of a journal: accepted, uploaded, recorded; then opened again."""
    from s3accel.transfer import JournaledUploader

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "source")
        source.write_bytes(BLOCK[:SIZE])
        path = Path(folder, "journal")

        def work(done: Callable[[int], None]) -> None:
            with JournaledUploader(client, path) as uploads:
                for first in range(0, count, COMMIT):
                    numbers = range(first, min(first + COMMIT, count))
                    uploads.submit_many((source, "bucket", f"key{number:08d}") for number in numbers)
                for number, report in enumerate(uploads.run()):
                    if report.error is not None:
                        raise report.error
                    done(number)

        found = measured(count, work)
        size = path.stat().st_size
        started = time.monotonic()
        with JournaledUploader(client, path) as uploads:
            if list(uploads.run()) or uploads.journal.counts()["stored"] != count:
                raise AssertionError("the journal does not say that everything is stored")
        return {**found, "again": time.monotonic() - started, "size": size}


def pipe(client: Any, size: int) -> dict[str, float]:
    """Bytes of a producer process, as `cat` would give them, into one object of a length nobody knows."""
    writer = f"import os\nblock = os.urandom({MIB})\nfor _ in range({size // MIB}):\n    os.write(1, block)"
    with subprocess.Popen(
        [sys.executable, "-c", writer], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, bufsize=0
    ) as producer:

        def work(done: Callable[[int], None]) -> None:
            seen = 0

            def progress(event: Any) -> None:
                nonlocal seen
                seen = max(seen, event.bytes_done)
                done(seen)

            result = client.upload(producer.stdout, "bucket", "pipe", progress=progress)
            if result.size != size:
                raise AssertionError(f"{result.size} bytes of {size} were uploaded")

        return measured(size, work)


WORKERS = {"objects": put_many, "journal": journal, "pipe": pipe}


def worker(name: str, count: int, port: int, ca: str) -> None:
    options = {} if name == "pipe" else {"max_concurrency": IN_FLIGHT}
    with s3accel_client(port, ca, options.get("max_concurrency", 8)) as client:
        print(json.dumps(WORKERS[name](client, count)), flush=True)


# -- in ours


def run(sink: Sink, name: str, count: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--worker", name, str(count), str(sink.port), sink.ca_file]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def row(name: str, count: int, found: dict[str, float]) -> tuple[str, ...]:
    if name == "pipe":
        rate = f"{1 / found['wall'] / 1e9:.2f}", f"{found['cpu'] * 1e9:.2f}"
        return (f"{count / MIB:,.0f} MiB", *rate, f"{found['tenth']:.0f}", f"{found['most']:.0f}")
    cells = (f"{found['cpu'] * 1e6:.0f}", f"{found['wall'] * 1e6:.0f}")
    more = (f"{found['again']:.2f}", f"{found['size'] / count:.0f}") if name == "journal" else ()
    return (f"{count:,}", *cells, f"{found['tenth']:.0f}", f"{found['most']:.0f}", *more)


HEADS = {
    "objects": (f"objects of {SIZE >> 10} KiB, {IN_FLIGHT} in flight", *COLUMNS),
    "journal": (f"journaled files of {SIZE >> 10} KiB", *COLUMNS, "s to open it again", "bytes on disk each"),
    "pipe": ("a pipe into one object", "GB a second", "CPU s per GB", *COLUMNS[2:]),
}


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    with tempfile.TemporaryDirectory(prefix="s3accel-") as folder:
        try:
            running = Sink(Path(folder))
        except FileNotFoundError:
            pytest.skip("nginx is not installed (apt-get install nginx)")
        yield running
        running.close()


@pytest.mark.parametrize(
    ("name", "smoke", "counts"),
    [("objects", 200, (1000, 10_000)), ("journal", 100, (1000, 10_000)), ("pipe", 40 * MIB, (1024 * MIB,))],
)
def test_flat(
    sink: Sink,
    name: str,
    smoke: int,
    counts: tuple[int, ...],
    tables: dict[str, list[tuple[str, ...]]],
    request: pytest.FixtureRequest,
) -> None:
    found = {}
    title, *columns = HEADS[name]
    tables[title] = [("", *columns)]
    for count in (smoke,) if request.config.getoption("benchmark_disable") else counts:
        found[count] = run(sink, name, count)
        tables[title].append(row(name, count, found[count]))
    most = [one["most"] for one in found.values()]
    # A pipe may take its cap (256 MiB) and what the interpreter and its modules take.
    assert max(most) < (330 if name == "pipe" else most[0] + 30)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objects", type=int, nargs="+", default=[], metavar="N", help="objects of 4 KiB")
    parser.add_argument("--journal", type=int, nargs="+", default=[], metavar="N", help="the same, journaled")
    parser.add_argument("--pipe", type=size_of, nargs="+", default=[], metavar="SIZE", help="10GiB, 512MiB")
    given = parser.parse_args()
    asked = {"objects": given.objects, "pipe": given.pipe, "journal": given.journal}
    if not any(asked.values()):
        asked = {"objects": [1000, 10_000, 100_000], "pipe": [1 << 30], "journal": [1000, 10_000]}
    with tempfile.TemporaryDirectory(prefix="s3accel-") as folder:
        sink = Sink(Path(folder))
        try:
            for name, counts in asked.items():
                for index, count in enumerate(counts):
                    cells = row(name, count, run(sink, name, count))
                    widths = [len(HEADS[name][0]), *map(len, HEADS[name][1:])]
                    for line in (HEADS[name], cells) if index == 0 else (cells,):
                        print(
                            "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)),
                            flush=True,
                        )
        finally:
            sink.close()


def size_of(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(MiB|GiB)", text).groups()  # type: ignore[union-attr]
    return int(number) << (20 if unit == "MiB" else 30)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        worker(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
    else:
        main()
