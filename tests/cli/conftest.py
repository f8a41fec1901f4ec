"""What the tests of the command share: the command as a function, an endpoint, and its arguments."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

pytest.importorskip("click")
pytest.importorskip("rich")
pytest.importorskip("pycurl")
pytest.importorskip("uvicorn")
pytest.importorskip("cryptography")

from s3accel.cli import main
from s3accel.local import LocalServer
from s3accel.transfer import Client


@dataclass
class Ran:
    """What one run of the command gave."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == "object"]

    @property
    def summary(self) -> dict[str, Any]:
        found = [line for line in self.lines if line["event"] == "summary"]
        assert len(found) == 1
        return found[0]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """The command with these arguments, in this process: exit code, standard output, standard error."""

    def call(*arguments: object) -> Ran:
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return Ran(code, out, err)

    return call


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch, s3accel_server: LocalServer) -> LocalServer:
    """The endpoint, with its keys in the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3accel_server.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3accel_server.secret_access_key)
    monkeypatch.setenv("AWS_REGION", s3accel_server.region)
    return s3accel_server


@pytest.fixture
def route(keys: LocalServer, s3accel_bucket: str) -> list[str]:
    """Options that lead the bucket's accelerated host name to the endpoint."""
    host = f"{s3accel_bucket}.s3-accelerate.amazonaws.com"
    return ["--connect-to", f"{host}:443={keys.address}", "--ca-file", str(keys.ca_file)]


@pytest.fixture
def client(keys: LocalServer, s3accel_bucket: str) -> Any:
    """A client for looking at what was stored."""
    with Client(
        region=keys.region,
        credentials=keys.credentials,
        accelerate=False,
        endpoint_url=keys.endpoint_url,
        ca_file=keys.ca_file,
    ) as found:
        yield found


@pytest.fixture
def unused_port() -> int:
    """A port of 127.0.0.1 on which nobody listens (it was free a moment ago)."""
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
