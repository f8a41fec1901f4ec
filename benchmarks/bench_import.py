"""What `import s3accel` costs a program beyond Python's own start: under 30 ms.

    pytest benchmarks/bench_import.py

A speed assertion, therefore here and not in the tests.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from typing import Any

LIMIT = 0.030  # seconds
ROUNDS = 15


def start(statement: str) -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - begin


def test_import(benchmark: Any, tables: dict[str, list[tuple[str, ...]]]) -> None:
    bare: list[float] = []
    whole: list[float] = []

    def turn() -> None:
        bare.append(start("pass"))
        whole.append(start("import s3accel"))

    benchmark.pedantic(turn, rounds=ROUNDS, warmup_rounds=2)
    cost = statistics.median(whole) - statistics.median(bare)
    tables["ms to start Python"] = [
        ("statement", "minimum", "median"),
        ("pass", f"{min(bare) * 1e3:.1f}", f"{statistics.median(bare) * 1e3:.1f}"),
        ("import s3accel", f"{min(whole) * 1e3:.1f}", f"{statistics.median(whole) * 1e3:.1f}"),
    ]
    if benchmark.disabled:
        return  # a smoke run shows that the benchmark works; its figures mean nothing
    assert cost < LIMIT, f"import s3accel costs {cost * 1e3:.1f} ms"
