"""`s3accel doctor`: lines for people, JSON for machines, an exit code that says whether something failed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from s3accel.local import LocalServer

from .conftest import Ran

Run = Callable[..., Ran]


@pytest.fixture
def routes(keys: LocalServer, s3accel_bucket: str) -> list[str]:
    """Options that lead both host names of the bucket to the endpoint."""
    found = ["--ca-file", str(keys.ca_file)]
    for name in ("s3-accelerate.amazonaws.com", "s3.us-east-1.amazonaws.com"):
        found += ["--connect-to", f"{s3accel_bucket}.{name}:443={keys.address}"]
    return found


def test_lines_for_people(run: Run, routes: list[str], s3accel_bucket: str) -> None:
    ran = run("doctor", f"s3://{s3accel_bucket}", *routes, "--write-test", "--throughput", "1MiB")
    assert ran.code == 0, ran.out + ran.err
    assert ran.err == ""
    lines = ran.out.splitlines()
    assert f"  ok  bucket-name: {s3accel_bucket} can be accelerated, by its name" in lines
    assert "  ok  credentials: long-lived credentials from the environment, no expiry known" in lines
    assert any(line.startswith("  ok  throughput (accelerate): ") for line in lines)
    assert any(line.startswith("warn  tls (regional): TLSv1.") for line in lines)
    assert any(line.startswith("      what to do: look for a proxy") for line in lines)
    assert lines[-1].startswith("nothing failed, ")


def test_json(run: Run, routes: list[str], s3accel_bucket: str) -> None:
    ran = run("doctor", f"s3://{s3accel_bucket}", *routes, "--json", "--connections", "2")
    assert ran.code == 0, ran.err
    *checks, summary = ran.lines
    assert {check["event"] for check in checks} == {"check"}
    assert {tuple(check) for check in checks} == {
        ("event", "check", "route", "status", "text", "remedy", "data")
    }
    found = {(check["check"], check["route"]): check for check in checks}
    assert found[("tls", "accelerate")]["data"]["tls_version"] in ("TLSv1.2", "TLSv1.3")
    assert found[("PutObject", None)]["status"] == "skip"
    assert summary == {
        "event": "summary",
        "bucket": s3accel_bucket,
        "ok": len(checks) - 4,
        "warn": 2,
        "fail": 0,
        "skip": 2,
        "exit_code": 0,
    }


def test_something_failed(run: Run, routes: list[str], keys: LocalServer, s3accel_bucket: str) -> None:
    keys.empty_bucket(s3accel_bucket, delete=True)
    keys.create_bucket(s3accel_bucket, acceleration="Suspended")
    ran = run("doctor", f"s3://{s3accel_bucket}", *routes)
    assert ran.code == 1
    assert "FAIL  acceleration: Transfer Acceleration is suspended" in ran.out
    assert f"      what to do: s3accel accelerate on {s3accel_bucket}" in ran.out
    assert "2 checks failed" in ran.out
    assert run("doctor", f"s3://{s3accel_bucket}", *routes, "--no-accelerate").code == 0


def test_secrets_do_not_show(run: Run, routes: list[str], keys: LocalServer, s3accel_bucket: str) -> None:
    ran = run("doctor", f"s3://{s3accel_bucket}", *routes, "-vv", "--write-test")
    for text in (ran.out, ran.err):
        assert keys.secret_access_key not in text
        assert keys.access_key_id not in text
    assert "HEAD https://" in ran.err


def test_remedies_are_options(run: Run, keys: LocalServer, s3accel_bucket: str, unused_port: int) -> None:
    to_nobody = ["--connect-to", f"s3.us-east-1.amazonaws.com:443=127.0.0.1:{unused_port}"]
    for ran in (
        run("doctor", "s3://my.bucket", *to_nobody),
        run("doctor", "s3://my.bucket", *to_nobody, "--json"),
    ):
        assert ran.code == 1
        assert "use --no-accelerate (the regional endpoint)" in ran.out
        assert "accelerate=False" not in ran.out


def test_another_endpoint(run: Run, keys: LocalServer, s3accel_bucket: str) -> None:
    options = ["--endpoint-url", keys.endpoint_url, "--ca-file", keys.ca_file]
    ran = run("doctor", f"s3://{s3accel_bucket}", *options)
    assert ran.code == 0, ran.out
    assert "accelerate" not in ran.out


@pytest.mark.parametrize(
    "arguments",
    [
        ["bucket"],
        ["s3://bucket", "--throughput", "much"],
        ["s3://bucket", "--connections", "0"],
        ["s3://bucket", "--endpoint-url", "http://s3.example"],
        ["s3://bucket", "--endpoint-url", "https://s3.example", "--accelerate"],
        ["s3://bucket", "--ca-file", "no-such-file"],
    ],
)
def test_wrong_arguments(run: Run, arguments: list[str]) -> None:
    ran = run("doctor", *arguments)
    assert ran.code == 2
    assert ran.out == ""
    assert ran.err
