"""Child processes that do not outlive the tests, loopback ports, and waiting until a server answers."""

from __future__ import annotations

import contextlib
import ctypes
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .venvs import ServerUnavailable

START_TIMEOUT = 60.0  # seconds; both servers need 2 to 4 on an idle machine with two cores
STOP_TIMEOUT = 10.0


@dataclass(frozen=True)
class ServerConfig:
    """What a test asks for. ``certificate`` and ``private_key`` are PEM files that the server presents."""

    folder: Path
    access_key_id: str
    secret_access_key: str
    region: str
    domains: Sequence[str]
    certificate: Path
    private_key: Path


@dataclass(frozen=True)
class RunningServer:
    """A server that answered its health check, over TLS, on ``127.0.0.1:port``."""

    name: str
    port: int
    config: ServerConfig
    ca_file: Path

    @property
    def endpoint_url(self) -> str:
        return f"https://127.0.0.1:{self.port}"


def free_ports(count: int) -> list[int]:
    """Different ones: all are held at once before the first is given back."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def free_port() -> int:
    return free_ports(1)[0]


def _die_with_parent(how: signal.Signals) -> Callable[[], object] | None:
    """On Linux, ask the kernel to end the child when the parent dies, even by SIGKILL."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl
    pr_set_pdeathsig = 1  # <linux/prctl.h>
    return lambda: prctl(pr_set_pdeathsig, how)


@contextlib.contextmanager
def running(
    commands: Mapping[str, Sequence[str]],
    environ: Mapping[str, str],
    folder: Path,
    end: signal.Signals = signal.SIGTERM,
) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Run several commands, each with its output in ``folder/NAME.log``, and end them on the way out."""
    children: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, command in commands.items():
            with open(folder / f"{name}.log", "ab") as log:
                children[name] = subprocess.Popen(
                    list(command),
                    env=dict(environ),
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    preexec_fn=_die_with_parent(end),
                )
        yield children
    finally:
        for child in children.values():
            if child.poll() is None:
                child.send_signal(end)
        for child in children.values():
            try:
                child.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def wait_until_healthy(
    name: str, url: str, ca_file: Path, children: Mapping[str, subprocess.Popen[bytes]], folder: Path
) -> None:
    """Poll ``url`` until it answers 200. Raises ``ServerUnavailable`` with the log's end if it never does."""
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}),
        urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(ca_file))),
    )
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        dead = [child for child, process in children.items() if process.poll() is not None]
        if dead:
            raise ServerUnavailable(
                f"{name}: {dead[0]} ended at start: {_log_tail(folder / f'{dead[0]}.log')}"
            )
        try:
            with opener.open(url, timeout=5):
                return
        except OSError as error:
            if time.monotonic() > deadline:
                raise ServerUnavailable(f"{name}: no answer after {START_TIMEOUT:.0f} s: {error}") from error
        time.sleep(0.1)


def _log_tail(path: Path) -> str:
    lines = path.read_text(errors="replace").strip().splitlines()
    return " | ".join(lines[-3:]) or "its log is empty"
