"""The command writes no core file: it would hold the secret."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("click")
pytest.importorskip("rich")
resource = pytest.importorskip("resource", reason="only Unix has core files")

PROBE = """
import resource
from s3accel.cli import main
main(["kernels", "--json"])
print("limit", resource.getrlimit(resource.RLIMIT_CORE)[0])
"""


def test_limit_is_zero() -> None:
    def allow() -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))

    if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        pytest.skip("core files are forbidden here already")
    done = subprocess.run(
        [sys.executable, "-c", PROBE], capture_output=True, text=True, check=True, preexec_fn=allow
    )
    assert done.stdout.splitlines()[-1] == "limit 0"
