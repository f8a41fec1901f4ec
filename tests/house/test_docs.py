"""What README and guides print is run as it is printed: every Python block, every line with the command.

AWS's host names lead to a local endpoint (support/as_aws.py). Names that a text presupposes ("your HTTP client") are
made in `given`; nothing else is added.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("boto3")
pytest.importorskip("click")
pytest.importorskip("cryptography")
pytest.importorskip("pycurl")
pytest.importorskip("requests")
pytest.importorskip("rich")
pytest.importorskip("uvicorn")

import boto3
import urllib3
from botocore.exceptions import ClientError

import s3accel
from s3accel import Credentials, Signer, Verifier
from s3accel.cli import main
from s3accel.cli.app import cli
from s3accel.errors import VerificationError
from s3accel.explain import SignedRequest
from s3accel.local import LocalServer
from s3accel.postpolicy import sign_post
from s3accel.transfer import BucketConfig, Client
from support import as_aws

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
#: The key pair of the texts. The endpoint knows it.
KEY, SECRET, REGION, BUCKET = "AKIA...", "...", "eu-west-1", "my-bucket"
HOST = f"{BUCKET}.s3.{REGION}.amazonaws.com"


def blocks(page: Path, language: str) -> list[tuple[int, str]]:
    """Blocks of a language, each with the line it begins in."""
    text = page.read_text(encoding="utf-8")
    return [
        (text.count("\n", 0, found.start()) + 2, found[2])
        for found in BLOCK.finditer(text)
        if found[1] == language
    ]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[LocalServer]:
    with LocalServer(credentials={KEY: SECRET}, region=REGION) as server:
        yield server


@pytest.fixture
def server(endpoint: LocalServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LocalServer]:
    """The endpoint as AWS, an environment that leads to it, and a folder with the files of the texts."""
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CA_BUNDLE": str(endpoint.ca_file),
        "REQUESTS_CA_BUNDLE": str(endpoint.ca_file),
        "CURL_CA_BUNDLE": str(endpoint.ca_file),
        "DOCS_ADDRESS": endpoint.address,
        "DOCS_CA_FILE": str(endpoint.ca_file),
    }.items():
        monkeypatch.setenv(name, value)
    as_aws.lead(endpoint.address, str(endpoint.ca_file), monkeypatch.setattr)
    endpoint.create_bucket(BUCKET)
    for name in ("video.mp4", "final.pdf", "file", "report.pdf", "a.jpg", "site/index.html", "assets/b.css"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode() * 1000)
    with Client(region=REGION) as client:
        for key in ("in/video.mp4", "dumps/mydb.sql", "a", "b", "photos/x.jpg", "tmp/1", "tmp/2"):
            client.upload(b"content of " + key.encode(), BUCKET, key)
        yield endpoint
    endpoint.empty_bucket(BUCKET, delete=True)


# -- Python


def refused_for_its_host() -> tuple[SignedRequest, VerificationError]:
    """A request to which a proxy added the port, and what a server says of it."""
    url = "https://bucket.s3.amazonaws.com/key"
    headers = Signer(Credentials(KEY, SECRET), REGION).sign("GET", url)
    received = [("Host", "bucket.s3.amazonaws.com:443"), *headers.items()]
    with pytest.raises(VerificationError) as caught:
        Verifier(lambda _: Credentials(KEY, SECRET), region=REGION).verify("GET", "/key", received)
    return SignedRequest("GET", url, tuple(headers.items())), caught.value


def given(page: str, server: LocalServer) -> dict[str, Any]:
    """What a page takes for granted."""
    credentials = Credentials(KEY, SECRET)
    if page == "guide-boto3.md":
        return {"client": boto3.client("s3")}
    if page == "guide-explain.md":
        request, error = refused_for_its_host()
        wrong = boto3.client("s3", aws_access_key_id=KEY, aws_secret_access_key="wrong")
        return {"request": request, "error": error, "client": wrong, "ClientError": ClientError}
    if page == "guide-signing.md":
        url = f"https://{HOST}/received"
        headers = {"Host": HOST, **Signer(credentials, REGION).sign("PUT", url, {}, b"body")}
        form = sign_post(
            credentials, REGION, BUCKET, "user/42/${filename}", content_length_range=(1, 10_000_000)
        )
        express = b"<R><Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration></Credentials></R>"
        answer = SimpleNamespace(status=200, data=express)
        return {
            "keys": ["a b", "c"],
            "path": "video.mp4",
            "size": os.path.getsize("video.mp4"),
            "connection": SimpleNamespace(send=lambda frame: None),
            "credentials": credentials,
            "secret": SECRET,
            "http": SimpleNamespace(request=lambda *_, **__: answer),
            "method": "PUT",
            "raw_target": "/received",
            "raw_headers": list(headers.items()),
            "blocks": [b"bo", b"dy"],
            "file": io.BytesIO(),
            "fields_before_the_file": list(form.items()),
        }
    if page == "security.md":
        return {"secret": SECRET}
    if page == "guide-uploading.md":
        folder = Path("site")
        return {"folder": folder, "producer": lambda: iter([("many/1", b"1"), ("many/2", b"2")])}
    return {}


def run(code: str, page: Path, line: int, namespace: dict[str, Any]) -> None:
    tree = compile(
        "\n" * (line - 1) + code, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True
    )
    result = eval(tree, namespace)
    if inspect.iscoroutine(result):
        asyncio.run(result)


WITH_PYTHON = [page for page in PAGES if blocks(page, "python")]


@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: page.name)
def test_python_blocks(
    page: Path, server: LocalServer, s3accel_server: LocalServer, s3accel_bucket: str, capsys: Any
) -> None:
    refused = dict(server.stats.snapshot().refusals)
    namespace: dict[str, Any] = {"__name__": "docs"}
    with Client(region=REGION) as client:
        taken_for_granted = {"Client": Client, "client": client, **given(page.name, server)}
        try:
            for line, code in blocks(page, "python"):
                # Every block begins with these as they were: an earlier one may have closed the client.
                namespace.update(taken_for_granted)
                run(code, page, line, namespace)
                if test := namespace.pop("test_upload", None):
                    test(s3accel_server, s3accel_bucket)
        finally:
            s3accel.uninstall()
    now = server.stats.snapshot().refusals
    allowed = {"SignatureDoesNotMatch": 1} if page.name == "guide-explain.md" else {}
    assert {
        code: count - refused.get(code, 0) for code, count in now.items() if count != refused.get(code, 0)
    } == allowed
    said = capsys.readouterr().out
    assert "failed" not in said, "outcomes print their errors and go on"
    if page.name == "guide-explain.md":
        (printed,) = [block for _, block in blocks(page, "") if block.startswith("host-port")]
        assert said.startswith(printed)
        assert "wrong-secret" in said
    if page.name == "README.md":
        assert said.startswith(f"{BUCKET}.s3-accelerate.amazonaws.com TLSv1.3 ")


def test_every_python_block_is_run() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert (
        len(re.findall(r"^ *```python", text, re.MULTILINE))
        == sum(len(blocks(page, "python")) for page in PAGES)
        > 25
    )


# -- the command

#: How a printed line becomes one that can be run here.
TURNED = (
    (r"\s{2,}#.*$", ""),
    (r"\[(--[^\]]+)\]", r"\1"),
    (r"on\|off\|status", "status"),
    (r"/var/spool/", ""),
    (r"/var/lib/uploader/", ""),
    (r"--throughput \w+", "--throughput 1MiB"),
)
#: Tested elsewhere (tests/cli/test_serve.py, test_demo.py): one never ends, the other takes a while.
ELSEWHERE = ("s3accel serve", "s3accel demo")


def command_lines(page: Path) -> list[str]:
    if page.name == "README.md":
        return []  # a synopsis with placeholders; test_synopsis_of_the_readme
    found = []
    for _, block in blocks(page, ""):
        for line in block.splitlines():
            if re.search(r"(^|\| )s3accel [a-z]", line) and not line.startswith(ELSEWHERE):
                for pattern, text in TURNED:
                    line = re.sub(pattern, text, line)
                found.append(line)
    return found


@pytest.fixture
def shell(server: LocalServer, tmp_path: Path) -> dict[str, str]:
    """An environment in which the lines run: the command, the programs beside it in pipes, their files."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, script in {
        "s3accel": f'exec "{sys.executable}" "{Path(as_aws.__file__)}" "$@"',
        "pg_dump": "echo 'select 1;'",
        "psql": "cat >/dev/null",
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    (tmp_path / "video").mkdir()
    (tmp_path / "video" / "1.mp4").write_bytes(b"1")
    (tmp_path / "folder").mkdir()
    url = f"{server.endpoint_url}/{BUCKET}/key"
    headers = Signer(Credentials(KEY, "wrong"), REGION).sign("PUT", url, {}, b"x")
    answer = urllib3.PoolManager(ca_certs=str(server.ca_file)).request("PUT", url, headers=headers, body=b"x")
    sent = f"PUT /{BUCKET}/key HTTP/1.1\r\nHost: {server.address}\r\n"
    sent += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    for name in ("answer.xml", "error.xml"):
        (tmp_path / name).write_bytes(answer.data)
    for name in ("request.http", "request.txt"):
        (tmp_path / name).write_text(sent, newline="")
    presigned = Signer(Credentials(KEY, "wrong"), REGION).presign("GET", url)
    return {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "URL": presigned}


WITH_COMMANDS = [page for page in PAGES if command_lines(page)]


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: page.name)
def test_command_lines(page: Path, shell: dict[str, str], capfd: Any) -> None:
    for line in command_lines(page):
        if re.search(r"[|*$]", line):
            code = subprocess.run(["bash", "-o", "pipefail", "-c", line], env=shell, timeout=60).returncode
        else:
            code = main(shlex.split(line)[1:])  # the same, without half a second for a new process
        out, err = capfd.readouterr()
        # "1": explained as far as the texts with dots in them allow.
        allowed = (0, 1) if "..." in line else (0,)
        assert code in allowed, f"{line}\n{out}\n{err}"
        if "accelerate off" in line:  # what comes after it is about a bucket that has acceleration
            with BucketConfig(region=REGION) as config:
                config.set(BUCKET, True)


def test_synopsis_of_the_readme() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    (block,) = [block for _, block in blocks(REPOSITORY / "README.md", "") if block.startswith("s3accel cp")]
    named = re.findall(r"^(?:producer \| )?s3accel ([a-z]+)", block, re.MULTILINE)
    assert set(named) == set(cli.commands)
    assert all(len(line) < 130 for line in block.splitlines())
    assert "pip install '.[demo]' && s3accel demo" in text


# -- the map of the house


def test_architecture_names_every_module_and_header() -> None:
    """A module that is not on the map is not found; one that is only there sends people astray."""
    text = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text[text.index("The transfer layer, from the bottom:") : text.index("## Floors")]
    named = set(re.findall(r"`(\w+)`", table))
    there = {path.stem for path in (REPOSITORY / "python" / "s3accel" / "transfer").glob("*.py")}
    assert named == there - {"__init__"}
    folders = text[text.index("cpp/include/s3accel/") : text.index("cpp/core/  ")]
    headers = {path.name for path in (REPOSITORY / "cpp" / "include" / "s3accel").glob("*.h")}
    assert set(re.findall(r"\w+\.h\b", folders)) == headers
