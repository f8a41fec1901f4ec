"""`s3accel rm` against the local endpoint: what is deleted, what is asked, what is refused."""

from __future__ import annotations

import sys
from collections.abc import Callable

import click
import pytest

from s3accel.local import Answer, LocalServer
from s3accel.transfer import Client

from .conftest import Ran

Run = Callable[..., Ran]
KEYS = ["a", "a/b", "a/c\x01", "ab", "z"]


@pytest.fixture
def bucket(client: Client, s3accel_bucket: str) -> str:
    for key in KEYS:
        client.upload(b"1", s3accel_bucket, key)
    return s3accel_bucket


@pytest.fixture
def there(keys: LocalServer) -> list[str]:
    return ["--endpoint-url", keys.endpoint_url, "--ca-file", str(keys.ca_file)]


def left(client: Client, bucket: str) -> list[str]:
    return [item.key for item in client.list(bucket)]


def test_some_keys(run: Run, there: list[str], client: Client, bucket: str) -> None:
    ran = run("rm", f"s3://{bucket}/a", f"s3://{bucket}/a/c\x01", f"s3://{bucket}/absent", *there)
    assert ran.code == 0, ran.err
    assert "3 objects deleted" in ran.out
    assert f"deleted: s3://{bucket}/a/c\\x01" in ran.out
    assert left(client, bucket) == ["a/b", "ab", "z"]


def test_below_a_prefix_and_only_there(run: Run, there: list[str], client: Client, bucket: str) -> None:
    ran = run("rm", "-r", "--dry-run", "--json", f"s3://{bucket}/a", *there)
    assert [line["status"] for line in ran.objects] == ["would delete"] * 2
    assert (ran.summary["would_delete"], ran.summary["deleted"]) == (2, 0)
    assert left(client, bucket) == KEYS
    ran = run("rm", "-r", "--yes", "--json", f"s3://{bucket}/a", *there)
    assert ran.code == 0
    assert ran.summary["deleted"] == 2
    assert left(client, bucket) == ["a", "ab", "z"]
    assert run("rm", "-r", "--yes", "-q", f"s3://{bucket}", *there).out == ""
    assert left(client, bucket) == []


def test_without_a_terminal_it_refuses(run: Run, there: list[str], client: Client, bucket: str) -> None:
    ran = run("rm", "-r", f"s3://{bucket}/", *there)
    assert ran.code == 2
    assert "--yes" in ran.err
    assert left(client, bucket) == KEYS


@pytest.mark.parametrize("answer", [True, False])
def test_it_asks(
    run: Run, there: list[str], client: Client, bucket: str, monkeypatch: pytest.MonkeyPatch, answer: bool
) -> None:
    asked = []
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(click, "confirm", lambda text, err: asked.append(text) or answer)
    ran = run("rm", "-r", f"s3://{bucket}/a/", *there)
    assert asked == [f"Delete 2 objects (2 B) below s3://{bucket}/a/?"]
    assert ran.code == (0 if answer else 2)
    assert left(client, bucket) == (["a", "ab", "z"] if answer else KEYS)


def test_what_fails(run: Run, there: list[str], keys: LocalServer, client: Client, bucket: str) -> None:
    assert run("rm", f"s3://{bucket}", *there).code == 2
    assert run("rm", f"s3://{bucket}/a", "s3://other-bucket/a", *there).code == 2
    keys.set_fault(lambda r: Answer(403, "AccessDenied") if r.operation == "DeleteObjects" else None)
    try:
        ran = run("rm", f"s3://{bucket}/a", f"s3://{bucket}/a/c\x01", *there, "--json")
        assert ran.code == 1  # the odd key went by DeleteObject
        ran = run("rm", f"s3://{bucket}/a", f"s3://{bucket}/z", *there)
    finally:
        keys.set_fault(None)
    assert ran.code == 5
    assert "s3:DeleteObject" in ran.err
    assert left(client, bucket) == ["a", "a/b", "ab", "z"]
