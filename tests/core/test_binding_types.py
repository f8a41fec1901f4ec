"""Every entry of the compiled module, given arguments of any type: an exception is right, a crash or SystemError is not.

It runs in children, so that a crash is a failure here and not the end of the run.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

CHILD = r"""
import faulthandler, inspect, os, random, resource, sys
faulthandler.enable()
if "asan" not in os.environ.get("LD_PRELOAD", ""):  # sanitizers map terabytes
    # Lengths of 2 GiB are among the arguments: what asks for them gets a MemoryError, and the machine stays usable.
    resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
from s3accel import _core

class Liar(str):
    def __len__(self): return 10**9
    def __hash__(self): raise RuntimeError("hash")
class Raises:
    def __getattr__(self, name): raise RuntimeError(name)
    def __bool__(self): raise RuntimeError("bool")
    def __index__(self): raise RuntimeError("index")
    def __float__(self): raise RuntimeError("float")
    def __iter__(self): raise RuntimeError("iter")
    def __buffer__(self, flags): raise RuntimeError("buffer")
class Endless:
    def __iter__(self):
        for i in range(50): yield ("x-amz-meta-%d" % i, "v")
class Mapping(dict):
    def items(self): return [("a",), 5, ("b", "c", "d")]

random.seed(int(sys.argv[1]))
key = _core.SigningKey.derive("secret", "20260101", "us-east-1", "s3")
recursive = []; recursive.append(recursive)
ODD = [None, True, False, 0, 1, -1, 2**31, 2**63, -2**63, 2**64, 10**30, 0.0, -1.5, float("nan"), float("inf"), 1e308, "", "GET",
       "/", "https://h/k", "20260101T120000Z", "us-east-1", "s3", "\0", "\udc80", "\u20ac", "x" * 70000, b"", b"\xff" * 100, bytearray(b"ab"),
       memoryview(b"abcdef")[::2], memoryview(bytearray(32)), (), [], {}, set(), [("a", "b")], {"host": "h"}, {"a": 1}, {1: "a"}, [("a",)],
       [1], recursive, ("a", "b"), object(), type, len, lambda *a, **k: None, lambda *a, **k: 1767268800.0, lambda *a: 1 / 0, Liar("host"),
       Raises(), Endless(), Mapping(), [("GET", "https://h/k")], [("GET", "https://h/k", {"a": "b"}, b"x")], range(5), iter([("a", "b")]), key,
       _core.Sha256(), 3 + 4j, NotImplemented, Ellipsis, slice(1), Exception("x")]

def arguments():
    return [random.choice(ODD) for _ in range(random.choice((0, 1, 1, 2, 2, 3, 3, 4, 5, 6, 7, 9, 12, 15, 17)))]

def attempt(name, f):
    try:
        return f()
    except SystemError as error:
        print("SystemError", name, error); sys.exit(3)
    except MemoryError:
        return None
    except BaseException as error:
        if isinstance(error, (SystemExit, KeyboardInterrupt)): raise
        return None

entries = []
for name in dir(_core):
    value = getattr(_core, name)
    if callable(value) and not name.startswith("__"):
        entries.append((name, value))
classes = [value for _, value in entries if inspect.isclass(value)]
made = [key, _core.Sha256()]
for _ in range(int(sys.argv[2])):
    name, entry = random.choice(entries)
    a = arguments()
    print(name, file=sys.stderr) if len(sys.argv) > 3 else None
    got = attempt(name, lambda: entry(*a))
    if type(got) in classes: made.append(got)
    target = random.choice(made)
    words = [w for w in dir(target) if not w.startswith("__") or w in ("__repr__", "__reduce_ex__", "__init__", "__eq__", "__hash__")]
    word = random.choice(words)
    value = attempt(word, lambda: getattr(target, word))
    if callable(value):
        a = arguments()
        attempt(f"{type(target).__name__}.{word}", lambda: value(*a))
    if random.random() < .05:
        cls = random.choice(classes)
        blank = attempt(cls.__name__, lambda: cls.__new__(cls))
        if type(blank) in classes: made.append(blank)
print("done", len(made))
"""


@pytest.mark.parametrize("seed", range(6))
def test_arguments_of_any_type(seed: int) -> None:
    count = "200000" if os.environ.get("S3ACCEL_LONG") == "1" else "8000"
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(seed), count],
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, f"{done.returncode}: {done.stdout[-500:]}{done.stderr[-3000:]}"
    assert done.stdout.startswith("done")
