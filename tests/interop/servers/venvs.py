"""Virtual environments for the servers, made once and kept in a cache folder.

A server is never installed beside the code under test: its dependencies must not decide what our tests
import.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path

INSTALL_TIMEOUT = 600  # seconds; the largest of the servers is about 172 MB


class ServerUnavailable(Exception):
    """The server cannot run on this machine; the text says why, and becomes the reason of the skip."""


def ensure_venv(
    cache: Path, name: str, requirements: Sequence[str], environ: Mapping[str, str] | None = None
) -> Path:
    """Give the Python of a virtual environment that holds ``requirements``.

    The folder's name carries a digest of the requirements and of the Python version, so that a changed
    pin makes a new environment; a marker is written last, so that an interrupted installation is never
    taken for a whole one. A lock keeps two test processes from installing at once.

    Raises ``ServerUnavailable`` when pip cannot install, with pip's own last line.
    """
    wanted = "\n".join([sys.version, *requirements])
    home = cache / f"{name}-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    python = home / "bin" / "python"
    marker = home / "complete"
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / f"{home.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if marker.exists():
            return python
        try:
            venv.create(home, with_pip=True, clear=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise ServerUnavailable(f"{name}: no virtual environment can be made here: {error}") from error
        command = [
            str(python),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            *requirements,
        ]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=INSTALL_TIMEOUT,
                env=dict(environ if environ is not None else os.environ),
            )
        except subprocess.TimeoutExpired as error:
            raise ServerUnavailable(f"{name}: pip needed more than {INSTALL_TIMEOUT} s") from error
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["no message"]
            last = next((line for line in reversed(lines) if line.startswith("ERROR")), lines[-1])
            raise ServerUnavailable(f"{name}: pip could not install {' '.join(requirements)}: {last}")
        marker.write_text(wanted)
        return python
