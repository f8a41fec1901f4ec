"""`s3accel explain` with what people have at hand: the log of `curl -v`, in one file or in two."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from s3accel import Credentials, Signer
from s3accel.local import LocalServer

from .conftest import Ran

Run = Callable[..., Ran]


@pytest.fixture
def refused(keys: LocalServer, s3accel_bucket: str) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """curl sends a request that was signed with another secret; what it prints, verbose."""
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    url = f"{keys.endpoint_url}/{s3accel_bucket}/a-b"
    wrong = Credentials(keys.access_key_id, keys.secret_access_key[::-1])
    headers = Signer(wrong, keys.region).sign("PUT", url, {}, b"body")

    def send(*more: str, merged: bool = False) -> subprocess.CompletedProcess[bytes]:
        lines = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
        command = ["curl", "-sv", *more, "--cacert", str(keys.ca_file), "-X", "PUT", "-d", "body", *lines]
        command += ["-H", "Content-Type:", url]
        stderr = subprocess.STDOUT if merged else subprocess.PIPE
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=stderr, timeout=30, check=True)

    return send


def told(ran: Ran, keys: LocalServer) -> None:
    assert ran.code == 0, ran.out + ran.err
    assert ran.out.startswith("wrong-secret"), "with the request at hand nothing else is left"
    assert keys.secret_access_key not in ran.out


# "Expect: 100-continue" makes curl print two answers; the error is the second.
@pytest.mark.parametrize("more", [(), ("-H", "Expect: 100-continue")], ids=["plain", "continue"])
def test_one_log(
    run: Run,
    refused: Callable[..., subprocess.CompletedProcess[bytes]],
    keys: LocalServer,
    tmp_path: Path,
    more: tuple[str, ...],
) -> None:
    log = tmp_path / "log"
    log.write_bytes(refused(*more, merged=True).stdout)
    assert log.read_bytes().startswith(b"*"), "curl's own lines come first"
    told(run("explain", log), keys)
    told(run("explain", log, "--request", log), keys)


def test_answer_and_log(
    run: Run, refused: Callable[..., subprocess.CompletedProcess[bytes]], keys: LocalServer, tmp_path: Path
) -> None:
    done = refused()
    (tmp_path / "answer.xml").write_bytes(done.stdout)
    (tmp_path / "request.txt").write_bytes(done.stderr)
    told(run("explain", tmp_path / "answer.xml", "--request", tmp_path / "request.txt"), keys)
    sent = b"".join(line for line in done.stderr.splitlines(keepends=True) if line.startswith(b">"))
    (tmp_path / "grep.txt").write_bytes(sent)
    told(run("explain", tmp_path / "answer.xml", "--request", tmp_path / "grep.txt"), keys)


def test_a_request_that_is_none(run: Run, tmp_path: Path) -> None:
    (tmp_path / "e").write_text("<Error><Code>SignatureDoesNotMatch</Code></Error>")
    (tmp_path / "r").write_text("* Trying 127.0.0.1...\n* Closing connection\n")
    ran = run("explain", tmp_path / "e", "--request", tmp_path / "r")
    assert ran.code == 2
    assert "a raw request begins with a line like" in ran.err


def test_the_request_after_a_redirect() -> None:
    from s3accel.explain import SignedRequest

    log = (
        "*   Trying 1.2.3.4:443...\n> GET /a HTTP/1.1\n> Host: b.s3.amazonaws.com\n> \n< HTTP/1.1 307 Temporary Redirect\n"
        "* Issue another request\n> GET /a HTTP/1.1\r\n> Host: b.s3.eu-west-1.amazonaws.com\r\n> X: 1\r\n> \r\n< HTTP/1.1 403\n"
    )
    found = SignedRequest.from_http(log)
    assert found.url == "https://b.s3.eu-west-1.amazonaws.com/a"
    assert dict(found.headers) == {"Host": "b.s3.eu-west-1.amazonaws.com", "X": "1"}


def test_keys_are_not_needed(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "e").write_text("<Error><Code>RequestTimeTooSkewed</Code></Error>")
    assert run("explain", tmp_path / "e").code == 0
    assert Credentials.__name__ not in run("explain", tmp_path / "e", "--json").out
