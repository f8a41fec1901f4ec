"""`s3accel accelerate`: on, off, status, and what is said when it cannot be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from s3accel.local import Answer, LocalServer

from .conftest import Ran

Run = Callable[..., Ran]


@pytest.fixture
def regional(keys: LocalServer, s3accel_bucket: str) -> Iterator[list[str]]:
    host = f"{s3accel_bucket}.s3.us-east-1.amazonaws.com"
    yield ["--connect-to", f"{host}:443={keys.address}", "--ca-file", str(keys.ca_file)]
    keys.set_fault(None)


def test_off_on_status(run: Run, regional: list[str], s3accel_bucket: str) -> None:
    ran = run("accelerate", "status", s3accel_bucket, *regional)
    assert (ran.code, ran.out) == (0, f"{s3accel_bucket}: Transfer Acceleration is enabled\n")
    ran = run("accelerate", "off", f"s3://{s3accel_bucket}/", *regional)
    assert ran.code == 0, ran.err
    assert "suspended: the accelerated host refuses every request" in ran.out
    assert "suspended" in run("accelerate", "status", s3accel_bucket, *regional).out
    ran = run("accelerate", "on", s3accel_bucket, *regional)
    assert ran.code == 0, ran.err
    assert "20 to 30 minutes" in ran.out
    assert "enabled" in run("accelerate", "status", s3accel_bucket, *regional).out


def test_json(run: Run, regional: list[str], keys: LocalServer, s3accel_bucket: str) -> None:
    keys.empty_bucket(s3accel_bucket, delete=True)
    keys.create_bucket(s3accel_bucket, acceleration=None)
    ran = run("accelerate", "status", s3accel_bucket, *regional, "--json")
    assert ran.lines == [{"bucket": s3accel_bucket, "acceleration": None, "changed": False}]
    ran = run("accelerate", "on", s3accel_bucket, *regional, "--json")
    assert ran.lines == [{"bucket": s3accel_bucket, "acceleration": "Enabled", "changed": True}]


def test_denied(run: Run, regional: list[str], keys: LocalServer, s3accel_bucket: str) -> None:
    keys.set_fault(lambda _: Answer(403, "AccessDenied", "Access Denied"))
    ran = run("accelerate", "on", s3accel_bucket, *regional)
    assert ran.code == 5
    assert "AccessDenied" in ran.err
    assert "what to do: check that the key's policy allows s3:PutAccelerateConfiguration" in ran.err
    assert ran.out == ""


def test_a_name_with_a_dot(run: Run, keys: LocalServer) -> None:
    before = keys.stats.requests
    ran = run("accelerate", "on", "my.bucket", "--ca-file", keys.ca_file)
    assert ran.code == 2
    assert "has a dot" in ran.err
    assert "only a bucket of another name can be accelerated" in ran.err
    assert "--no-accelerate" not in ran.err, "this command has no such option"
    assert keys.stats.requests == before


@pytest.mark.parametrize(
    "arguments", [["maybe", "bucket"], ["on"], ["on", "s3://bucket/key"], ["on", "s3://"], ["on", ""]]
)
def test_wrong_arguments(run: Run, arguments: list[str]) -> None:
    ran = run("accelerate", *arguments)
    assert ran.code == 2
    assert ran.err


def test_unreachable(run: Run, keys: LocalServer, s3accel_bucket: str, unused_port: int) -> None:
    host = f"{s3accel_bucket}.s3.us-east-1.amazonaws.com"
    ran = run("accelerate", "status", s3accel_bucket, "--connect-to", f"{host}:443=127.0.0.1:{unused_port}")
    assert ran.code == 4
    assert "what to do" in ran.err


def test_no_credentials(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    ran = run("accelerate", "status", "some-bucket")
    assert ran.code == 3


def test_what_an_upload_says_while_it_is_off(
    run: Run, route: list[str], keys: LocalServer, s3accel_bucket: str, tmp_path: Path
) -> None:
    keys.empty_bucket(s3accel_bucket, delete=True)
    keys.create_bucket(s3accel_bucket, acceleration="Suspended")
    (tmp_path / "f").write_bytes(b"x")
    ran = run("cp", tmp_path / "f", f"s3://{s3accel_bucket}/", *route)
    assert ran.code == 5
    assert f"what to do: s3accel accelerate on {s3accel_bucket}, or go the other way with" in ran.err
    assert "accelerate=False" not in ran.err, "once, and in the command's words"
    assert "; nothing was stored" in ran.err
