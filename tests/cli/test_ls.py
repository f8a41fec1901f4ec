"""`s3accel ls` against the local endpoint."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from s3accel.local import LocalServer
from s3accel.transfer import Client

from .conftest import Ran

Run = Callable[..., Ran]


@pytest.fixture
def listed(client: Client, s3accel_bucket: str) -> str:
    for key, size in [("a", 1), ("b/c", 2048), ("b/d\n", 3), ("b/e/f", 4), ("ü", 5)]:
        client.upload(bytes(size), s3accel_bucket, key)
    return f"s3://{s3accel_bucket}"


@pytest.fixture
def there(keys: LocalServer) -> list[str]:
    return ["--endpoint-url", keys.endpoint_url, "--ca-file", str(keys.ca_file)]


def test_one_level(run: Run, there: list[str], listed: str) -> None:
    ran = run("ls", listed, *there)
    assert ran.code == 0, ran.err
    rows = [line.split() for line in ran.out.splitlines()]
    assert [row[-2:] for row in rows] == [["1", "a"], ["5", "ü"], ["PRE", "b/"]]
    assert len(rows[0]) == 4
    ran = run("ls", f"{listed}/b/", *there)
    assert [line.split()[-2:] for line in ran.out.splitlines()] == [
        ["2048", "b/c"],
        ["3", "b/d\\n"],
        ["PRE", "b/e/"],
    ]


def test_everything(run: Run, there: list[str], listed: str) -> None:
    ran = run("ls", "-r", "--human", listed, *there)
    assert ran.code == 0
    assert len(ran.out.splitlines()) == 6
    assert "2.0 KiB  b/c" in ran.out
    assert ran.out.endswith("5 objects, 2.0 KiB\n")


def test_json(run: Run, there: list[str], listed: str) -> None:
    ran = run("ls", "--json", listed, *there)
    assert [(line["event"], line.get("key")) for line in ran.lines] == [
        ("object", "a"),
        ("object", "ü"),
        ("prefix", "b/"),
        ("summary", None),
    ]
    assert ran.lines[0]["size"] == 1
    assert ran.lines[-1] == {"event": "summary", "objects": 2, "bytes": 6}
    ran = run("ls", "--json", "-r", f"{listed}/b/d", *there)
    assert ran.objects[0]["key"] == "b/d\n"


def test_through_the_regional_host_by_default(
    run: Run, keys: LocalServer, listed: str, s3accel_bucket: str
) -> None:
    host = f"{s3accel_bucket}.s3.{keys.region}.amazonaws.com"
    ran = run("ls", listed, "--connect-to", f"{host}:443={keys.address}", "--ca-file", keys.ca_file)
    assert ran.code == 0, ran.err
    assert len(ran.out.splitlines()) == 3


def test_what_fails(run: Run, there: list[str], keys: LocalServer) -> None:
    ran = run("ls", "s3://no-such-bucket-here", *there)
    assert ran.code == 5
    assert "NoSuchBucket" in ran.err
    assert run("ls", "bucket", *there).code == 2
