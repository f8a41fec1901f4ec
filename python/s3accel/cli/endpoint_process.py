"""The demonstration's endpoint: `s3accel.local` in a process of its own.

In one process client and server would take turns at one interpreter lock, and the time shown would be that of both.
The child is told and answers in JSON lines over its standard input and output, so the secret is on no command line;
it ends when its input does, however its parent ended.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from s3accel.credentials import Credentials
from s3accel.errors import ConfigError

__all__ = ["EndpointProcess", "EndpointStats"]

STOP_SECONDS = 20.0
#: Log records of the child that reach standard error.
LOGGED = 2


@dataclass(frozen=True)
class EndpointStats:
    """Counters of the endpoint at one moment, as `s3accel.local.StatsSnapshot` has them."""

    requests: int
    signatures_verified: int
    chunks_verified: int
    bytes_received: int
    operations: dict[str, int]
    refusals: dict[str, int]


class EndpointProcess:
    """A context manager: the endpoint runs inside the block.

    Args:
        root: folder to keep objects in; None: a temporary one that is deleted at the end.
    """

    def __init__(self, root: Path | None) -> None:
        self._root = root
        self._process: subprocess.Popen[str] | None = None
        self.address = ""
        self.ca_file = ""
        self.credentials = Credentials("none", "none")

    def __enter__(self) -> EndpointProcess:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Ctrl-C in the terminal is the parent's to handle: it still has to read counters and say goodbye.
            start_new_session=True,
        )
        try:
            ready = self._ask({"root": None if self._root is None else str(self._root)})
        except BaseException:
            self._end()
            raise
        self.address = ready["address"]
        self.ca_file = ready["ca_file"]
        self.credentials = Credentials(ready["access_key_id"], ready["secret_access_key"])
        return self

    def stats(self) -> EndpointStats:
        return EndpointStats(**self._ask({"ask": "stats"}))

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise ConfigError("the endpoint's process is not running")
        try:
            process.stdin.write(json.dumps(question) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError as error:
            raise ConfigError(f"the endpoint's process is gone: {error.strerror}") from error
        if not line:
            raise ConfigError(f"the endpoint's process ended with exit code {process.wait(STOP_SECONDS)}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ConfigError(str(answer["error"]))
        return answer

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            with contextlib.suppress(OSError):  # it ended first
                process.stdin.close()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()


def _serve() -> None:
    """The child's side."""
    from dataclasses import asdict

    # A fault of the endpoint's own is worth its traceback, not one for each of thousands of requests.
    shown = itertools.count()
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(lambda _record: next(shown) < LOGGED)
    logging.getLogger("s3accel").addHandler(handler)

    from s3accel.errors import S3AccelError
    from s3accel.local import LocalServer

    def say(answer: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()

    request = json.loads(sys.stdin.readline() or "{}")
    try:
        server = LocalServer(request.get("root")).start()
    except S3AccelError as error:
        say({"error": str(error)})
        return
    with_secret = {
        "address": server.address,
        "ca_file": str(server.ca_file),
        "access_key_id": server.access_key_id,
        "secret_access_key": server.secret_access_key,
    }
    try:
        say(with_secret)
        while sys.stdin.readline():
            say(asdict(server.stats.snapshot()))
    except BrokenPipeError:
        pass  # the parent is gone
    finally:
        server.stop()


if __name__ == "__main__":
    _serve()
