"""Searches a better order of the hybrid SHA-256 kernel for this machine's CPU, by annealing against the clock.

    taskset -c 1 python benchmarks/cpp/search_hybrid.py [SECONDS]

Starts from the numbers in cpp/core/hash/kernels/gen_sha256_hybrid.py, prints every better set, and changes no file: paste
what is worth it into the generator and run it. Needs a C compiler (`cc`, or $CC) and a quiet core: each candidate
runs in turns with the best so far, and only the shortest of many short runs count.
"""

from __future__ import annotations

import ctypes
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "cpp" / "src" / "kernels"))
import gen_sha256_hybrid as kernel
from asmgen import frame, function

# 48 blocks of 4 messages out of the L1 cache, `runs` times; the shortest time in ticks of the time stamp counter.
TIMER = """
#include <stdint.h>
#include <stddef.h>
#include <x86intrin.h>
void s3accel_sha256_hybrid_x4(uint32_t *, const uint8_t *const *, size_t);
uint64_t shortest(int runs) {
  static uint8_t data[4][48 * 64];
  uint32_t states[32] = {0};
  const uint8_t *lanes[4] = {data[0], data[1], data[2], data[3]};
  uint64_t best = UINT64_MAX;
  unsigned cpu;
  for (int i = 0; i < runs; ++i) {
    const uint64_t start = __rdtscp(&cpu);
    s3accel_sha256_hybrid_x4(states, lanes, 48);
    const uint64_t taken = __rdtscp(&cpu) - start;
    if (taken < best) best = taken;
  }
  return best;
}
"""
NUMBERS = ("QUAD_DUE", "PAIR_DUE", "QUAD_WEAVE", "PAIR_WEAVE")
Order = dict[str, list[Any]]


def build(order: Order, folder: Path, number: int) -> Any:
    """The timing function of a library with this order, or None where it is impossible: a result used before it is
    made, or more registers than there are."""
    for name in NUMBERS:
        setattr(kernel, name, order[name])
    try:
        text = kernel.body()
    except (KeyError, IndexError):
        return None
    code = frame("search", [], kernel.constants(), [function(kernel.NAME, text, kernel.STACK)])
    source, library = folder / "kernel.S", folder / f"{number}.so"
    source.write_text(code)
    compiler = os.environ.get("CC", "cc")
    subprocess.run([compiler, "-shared", "-o", library, folder / "timer.o", source], check=True)
    found = ctypes.CDLL(str(library)).shortest
    library.unlink()
    found.restype = ctypes.c_uint64
    return found


def change(order: Order) -> Order:
    new: Order = {name: list(order[name]) for name in NUMBERS}
    for _ in range(random.choice((1, 1, 2, 4))):
        kind = random.choice(("QUAD", "PAIR", "PAIR", "PAIR"))
        due, weave = new[kind + "_DUE"], new[kind + "_WEAVE"]
        a, b = random.randrange(len(due)), random.randrange(len(due))
        c, d = random.randrange(len(weave)), random.randrange(len(weave))
        move = random.randrange(4)
        if move == 0:
            due[a] = round(due[a] + random.gauss(0, random.choice((2, 2, 12))), 1)
        elif move == 1:
            due[a], due[b] = due[b], due[a]
        elif move == 2 and weave[c][0] > 0:
            weave[c] = (weave[c][0] - 1, min(weave[c]))
            weave[d] = (weave[d][0] + 1, weave[d][1])
        elif move == 3:
            weave[c] = (weave[c][0], random.randint(0, min(3, weave[c][0])))
    return new


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    order: Order = {name: list(getattr(kernel, name)) for name in NUMBERS}
    end, number, best = time.monotonic() + seconds, 0, math.inf
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "timer.c").write_text(TIMER)
        compiler = os.environ.get("CC", "cc")
        subprocess.run(
            [compiler, "-O2", "-c", "-fPIC", "-o", folder / "timer.o", folder / "timer.c"], check=True
        )
        current, held = order, build(order, folder, 0)
        while time.monotonic() < end:
            number += 1
            new = change(current)
            candidate = build(new, folder, number)
            if candidate is None:
                continue
            # In turns, so that a neighbour who slows the core for a while slows both.
            pairs = [(candidate(40), held(40)) for _ in range(10)]
            ours, theirs = min(p[0] for p in pairs), min(p[1] for p in pairs)
            if math.log(ours / theirs) < random.expovariate(1) * 0.002:
                current, held = new, candidate
            if ours < best and ours < theirs:
                best = ours
                print(f"{ours / (48 * 4):.2f} ticks a block (before: {theirs / (48 * 4):.2f})")
                print("\n".join(f"{name} = {new[name]}" for name in NUMBERS), flush=True)


if __name__ == "__main__":
    main()
