"""`s3accel serve`: what it prints is enough to reach it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from s3accel import Credentials
from s3accel.errors import UploadError
from s3accel.transfer import Client

from .conftest import Ran

Serving = Callable[..., "tuple[subprocess.Popen[str], str]"]


@pytest.fixture
def serving() -> Iterator[Serving]:
    """Starts `serve` and gives the process and what it printed until it was ready."""
    running: list[subprocess.Popen[str]] = []

    def start(*arguments: object, **environment: str) -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "s3accel", "serve", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        running.append(process)
        assert process.stdout is not None
        text = ""
        while "Ctrl-C ends" not in text:
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            text += line
        return process, text

    yield start
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


def value(text: str, name: str) -> str:
    found = re.search(rf"{name}=(\S+)", text)
    assert found is not None, text
    return found[1]


def test_reachable_as_it_says(serving: Serving, tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    process, text = serving("--root", tmp_path / "store", "--region", "eu-west-1", "--ca-out", ca)
    assert value(text, "AWS_CA_BUNDLE") == str(ca)
    address = value(text, r"--connect-to '\*").rstrip("'")
    client = Client(
        region=value(text, "AWS_REGION"),
        credentials=Credentials(
            value(text, "AWS_ACCESS_KEY_ID"), value(text, "AWS_SECRET_ACCESS_KEY").strip("'")
        ),
        connect_to={"*": address},
        ca_file=ca,
    )
    (tmp_path / "FILE").write_bytes(b"content")
    pasted = "\n".join(line for line in text.splitlines() if line.startswith(("  export ", "  s3accel ")))
    command = f's3accel() {{ "{sys.executable}" -m s3accel "$@"; }}\n{pasted}'
    done = subprocess.run(["sh", "-ec", command], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    with client:
        assert client.get("my-bucket", "FILE") == b"content"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "2 signatures" in err
    assert any((tmp_path / "store").iterdir())


def test_keys_from_the_environment_are_not_printed(serving: Serving) -> None:
    secret = "a-secret-that-was-given-0123456789"
    keys = {"S3ACCEL_SERVE_ACCESS_KEY": "AKIAGIVEN", "S3ACCEL_SERVE_SECRET_KEY": secret}
    process, text = serving("--no-tls", **keys)
    assert "AKIAGIVEN" in text
    assert secret not in text
    exports = "\n".join(line for line in text.splitlines() if line.startswith("  export "))
    script = exports + '\nprintf %s "$AWS_SECRET_ACCESS_KEY"'
    pasted = subprocess.run(["sh", "-c", script], capture_output=True, text=True, env={**os.environ, **keys})
    assert pasted.stdout == secret
    elsewhere = subprocess.run(["sh", "-c", script], capture_output=True, text=True)
    assert elsewhere.returncode != 0, "an empty secret would look like a wrong one"
    assert "the secret that serve was given" in elsewhere.stderr
    url = value(text, "AWS_ENDPOINT_URL_S3")
    assert url.startswith("http://127.0.0.1:")
    settings = {"accelerate": False, "endpoint_url": url, "allow_http_host": "127.0.0.1"}
    with Client(region="us-east-1", credentials=Credentials("AKIAGIVEN", secret), **settings) as client:
        client.upload(b"x", "my-bucket", "a")
    with (
        Client(region="us-east-1", credentials=Credentials("AKIAGIVEN", "other"), **settings) as client,
        pytest.raises(UploadError, match="SignatureDoesNotMatch"),
    ):
        client.upload(b"x", "my-bucket", "b")
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 143
    assert "refused: 1 SignatureDoesNotMatch" in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--access-key", "AKIA"], "together"),
        (["--no-tls", "--ca-out", "x"], "exclude"),
        (["--port", "99999"], "99999"),
        (["--root", "/proc/no/such"], "/proc/no/such"),
        (["--ca-out", "/proc/no/such"], "cannot be written"),
    ],
)
def test_usage(run: Callable[..., Ran], arguments: list[str], says: str) -> None:
    ran = run("serve", *arguments)
    assert ran.code == 2
    assert says in ran.err
    assert "Traceback" not in ran.err
