"""`s3accel cp` against the local endpoint: what is stored, what is printed, what the exit code says."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from s3accel.cli import report
from s3accel.local import Answer, FaultRequest, LocalServer
from s3accel.transfer import Client

from .conftest import Ran

Run = Callable[..., Ran]


def test_one_file_through_the_accelerated_host(
    run: Run, route: list[str], client: Client, s3accel_bucket: str, tmp_path: Path
) -> None:
    source = tmp_path / "a picture.jpg"
    source.write_bytes(os.urandom(300_000))
    ran = run("cp", source, f"s3://{s3accel_bucket}/in/b.jpg", *route, "--metadata", "who=me", "--json")
    assert ran.code == 0, ran.err
    (line,) = ran.objects
    assert line["status"] == "uploaded"
    assert (line["bucket"], line["key"], line["size"]) == (s3accel_bucket, "in/b.jpg", 300_000)
    assert line["host"] == f"{s3accel_bucket}.s3-accelerate.amazonaws.com"
    assert (line["endpoint"], line["payload"], line["parts"]) == ("accelerate", "signed-chunks", 0)
    assert line["tls_version"] in ("TLSv1.2", "TLSv1.3")
    assert ran.summary == {**ran.summary, "uploaded": 1, "failed": 0, "bytes": 300_000, "exit_code": 0}
    assert client.get(s3accel_bucket, "in/b.jpg") == source.read_bytes()
    info = client.head(s3accel_bucket, "in/b.jpg")
    assert (info.content_type, dict(info.metadata)) == ("image/jpeg", {"who": "me"})


@pytest.mark.parametrize(
    ("options", "routes"),
    [
        ([], ["accelerate"]),
        (["--route", "accelerate"], ["accelerate"]),
        (["--route", "regional"], ["regional"]),
        (["--no-accelerate"], ["regional"]),
        (["--route", "regional", "--no-accelerate"], ["regional"]),
        (["--route", "auto"], ["accelerate", "regional"]),
    ],
)
def test_routes(
    run: Run,
    keys: LocalServer,
    route: list[str],
    s3accel_bucket: str,
    tmp_path: Path,
    options: list[str],
    routes: list[str],
) -> None:
    """What was taken and why is in every line. With auto the accelerated host refuses here, so both are."""
    (tmp_path / "f").write_bytes(b"x" * 1000)
    hosts = [
        f"{s3accel_bucket}.s3.{keys.region}.amazonaws.com",
        f"{s3accel_bucket}.s3-accelerate.amazonaws.com",
    ]
    to = [item for host in hosts for item in ("--connect-to", f"{host}:443={keys.address}")]
    arguments = [*options, *to, "--ca-file", keys.ca_file, "--json"]
    if "auto" in options:
        keys._app.services.store.bucket(s3accel_bucket).record.acceleration = "Suspended"
    for way in ([tmp_path / "f", f"s3://{s3accel_bucket}/k"], [f"s3://{s3accel_bucket}/k", tmp_path / "g"]):
        ran = run("cp", *way, *arguments)
        assert ran.code == 0, ran.err
        (line,) = ran.objects
        assert line["route"] == routes[-1]
        assert bool(line["route_reason"]) == ("auto" in options)
        assert [used["route"] for used in line["routes"]] == routes
        assert line["routes"][-1]["bytes"] == 1000
        assert (line["attempts"], len(line["retries"])) == (len(routes), len(routes) - 1)
        told = run("cp", *way, *arguments[:-1]).out
        assert ("repeated, regional)" in told) == ("auto" in options)


def test_routes_that_contradict_each_other(run: Run, keys: LocalServer, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    for options in (["--route", "auto", "--accelerate"], ["--route", "accelerate", "--no-accelerate"]):
        ran = run("cp", tmp_path / "f", "s3://bucket/k", *options)
        assert ran.code == 2
        assert f"{' and '.join([' '.join(options[:2]), options[2]])} contradict each other" in ran.err


def test_many_files_to_a_prefix(
    run: Run, route: list[str], client: Client, s3accel_bucket: str, tmp_path: Path
) -> None:
    names = ["a", "b c", "ä?#%.txt", "+"]
    for name in names:
        (tmp_path / name).write_bytes(name.encode())
    ran = run("cp", *(tmp_path / name for name in names), f"s3://{s3accel_bucket}/p/", *route)
    assert ran.code == 0, ran.err
    assert len(ran.out.splitlines()) == len(names) + 1
    assert f"{len(names)} objects uploaded" in ran.out
    assert {item.key for item in client.list(s3accel_bucket)} == {f"p/{name}" for name in names}
    for name in names:
        assert client.get(s3accel_bucket, f"p/{name}") == name.encode()


def test_folder(run: Run, route: list[str], client: Client, s3accel_bucket: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "sub" / "deep").mkdir(parents=True)
    (folder / "one").write_bytes(b"1")
    (folder / "sub" / "two").write_bytes(b"")
    (folder / "sub" / "deep" / "three").write_bytes(b"333")
    (folder / "link").symlink_to(folder / "one")
    (folder / "round").symlink_to(folder)
    os.mkfifo(folder / "pipe")
    ran = run("cp", "-r", folder, f"s3://{s3accel_bucket}/p", *route, "--json")
    assert ran.code == 0, ran.err
    expected = {"p/one": b"1", "p/link": b"1", "p/sub/two": b"", "p/sub/deep/three": b"333"}
    assert {line["key"] for line in ran.objects} == set(expected)
    assert {item.key for item in client.list(s3accel_bucket)} == set(expected)
    for key, data in expected.items():
        assert client.get(s3accel_bucket, key) == data
    skipped = {Path(line["source"]).name for line in ran.lines if line["event"] == "skipped"}
    assert skipped == {"round", "pipe"}
    assert ran.summary["skipped"] == 2


def test_several_folders_keep_their_names(
    run: Run, route: list[str], client: Client, s3accel_bucket: str, tmp_path: Path
) -> None:
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "same").write_text(name)
    ran = run("cp", "-r", tmp_path / "x", f"{tmp_path}/y/", f"s3://{s3accel_bucket}/", *route)
    assert ran.code == 0, ran.err
    assert {item.key for item in client.list(s3accel_bucket)} == {"x/same", "y/same"}


@pytest.mark.parametrize("size", [0, 5, 100_000, (9 << 20) + 1])
def test_standard_input_from_a_pipe(
    run: Run,
    route: list[str],
    client: Client,
    s3accel_bucket: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    size: int,
) -> None:
    data = os.urandom(size)
    reader, writer = os.pipe()
    import threading

    def produce() -> None:
        with open(writer, "wb") as file:
            file.write(data)

    thread = threading.Thread(target=produce)
    thread.start()
    with open(reader, "rb") as file:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(file))
        ran = run("cp", "-", f"s3://{s3accel_bucket}/piped", *route, "--json")
        thread.join()
    assert ran.code == 0, ran.err
    assert ran.objects[0]["parts"] == (0 if size < 8 << 20 else 2)
    assert client.get(s3accel_bucket, "piped") == data


def test_standard_input_from_a_file(
    run: Run,
    route: list[str],
    client: Client,
    s3accel_bucket: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    (tmp_path / "f").write_bytes(b"from a file")
    with open(tmp_path / "f", "rb") as file:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(file))
        ran = run("cp", "-", f"s3://{s3accel_bucket}/piped", *route)
    assert ran.code == 0, ran.err
    assert client.get(s3accel_bucket, "piped") == b"from a file"


@pytest.mark.parametrize("payload", ["signed-chunks", "signed", "unsigned-trailer", "unsigned"])
def test_payload_modes(
    run: Run, route: list[str], client: Client, s3accel_bucket: str, tmp_path: Path, payload: str
) -> None:
    (tmp_path / "f").write_bytes(b"x" * 70_000)
    options = ["--payload", payload, "--checksum", "crc32c", "--chunk-size", "8KiB", "--json"]
    ran = run("cp", tmp_path / "f", f"s3://{s3accel_bucket}/", *route, *options)
    assert ran.code == 0, ran.err
    (line,) = ran.objects
    assert (line["payload"], line["checksum_algorithm"]) == (payload, "crc32c")
    assert client.head(s3accel_bucket, "f").checksums["crc32c"] == line["checksum"]


def test_parts_on_request(
    run: Run, route: list[str], client: Client, s3accel_bucket: str, tmp_path: Path
) -> None:
    data = os.urandom((17 << 20) + 3)
    (tmp_path / "f").write_bytes(data)
    ran = run("cp", tmp_path / "f", f"s3://{s3accel_bucket}/f", *route, "--part-size", "5MiB", "--json")
    assert ran.code == 0, ran.err
    assert ran.objects[0]["parts"] == 4
    assert client.get(s3accel_bucket, "f") == data


def test_custom_endpoint_and_plain_http(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    with LocalServer(tls=False) as server:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", server.access_key_id)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", server.secret_access_key)
        to = ["cp", tmp_path / "f", "s3://some-bucket/f", "--endpoint-url", server.endpoint_url, "--json"]
        ran = run(*to)
        assert (ran.code, ran.summary["exit_code"]) == (2, 2)
        assert "plain HTTP" in ran.lines[0]["error"]["message"]
        ran = run(*to, "--allow-http-host", "127.0.0.1")
        assert ran.code == 0, ran.err
        assert ran.objects[0]["endpoint"] == "custom"
        assert ran.objects[0]["tls_version"] is None


# --- what fails ---------------------------------------------------------------------------------------------


def test_some_fail(run: Run, route: list[str], client: Client, s3accel_bucket: str, tmp_path: Path) -> None:
    (tmp_path / "good").write_bytes(b"1")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    ran = run("cp", "-r", tmp_path, f"s3://{s3accel_bucket}/", *route, "--json")
    assert ran.code == 1
    by_key = {line["key"]: line for line in ran.objects}
    assert by_key["good"]["status"] == "uploaded"
    assert by_key["gone"]["status"] == "failed"
    assert by_key["gone"]["error"]["exit_code"] == 6
    assert (ran.summary["uploaded"], ran.summary["failed"]) == (1, 1)


def test_unreadable_source_alone(run: Run, route: list[str], s3accel_bucket: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "gone").symlink_to(tmp_path / "nowhere")
    ran = run("cp", "-r", tmp_path / "folder", f"s3://{s3accel_bucket}/", *route)
    assert ran.code == 6
    assert "gone" in ran.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["{file}", "bucket/key"], "one of them must be s3://bucket/key"),
        (["{file}", "s3://"], "names no bucket"),
        (["{file}", "{file}", "s3://bucket/key"], "end the destination with '/'"),
        (["{file}", "{file}2", "s3://bucket/"], "cannot be read"),
        (["{file}", "{folder}/other/f", "s3://bucket/"], "would both become"),
        (["{folder}", "s3://bucket/"], "add -r"),
        (["-", "s3://bucket/"], "full key"),
        (["-", "{file}", "s3://bucket/"], "standard input"),
        (["s3://other/key", "s3://bucket/"], "are in S3"),
        (["{file}", "s3://bucket/", "--part-size", "1MiB"], "5 MiB"),
        (["{file}", "s3://bucket/", "--part-size", "many"], "is no size"),
        (["{file}", "s3://bucket/", "--chunk-size", "4KiB"], "8192"),
        (["{file}", "s3://bucket/", "--connect-to", "a=b"], "HOST:PORT=ADDRESS:PORT"),
        (["{file}", "s3://bucket/", "--metadata", "name"], "NAME=VALUE"),
        (["{file}", "s3://bucket/", "--payload", "loud"], "loud"),
        (["{file}", "s3://bucket/", "--ca-file", "{folder}/none"], "ca_file"),
        (["{file}", "s3://bucket.with.dots/"], "has a dot"),
        (["{file}", "s3://bucket/", "--region", "cn-north-1"], "aws-cn"),
        (["{file}", "s3://bucket/", "--accelerate", "--endpoint-url", "https://h"], "exclude"),
        (["{file}"], "Missing argument"),
        (["--no-such-option"], "No such option"),
    ],
)
def test_usage(run: Run, keys: LocalServer, tmp_path: Path, arguments: list[str], says: str) -> None:
    (tmp_path / "f").write_bytes(b"x")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "f").write_bytes(b"y")
    before = keys.stats.requests
    ran = run("cp", *(text.format(file=tmp_path / "f", folder=tmp_path) for text in arguments))
    assert ran.code == 2
    assert says in ran.err
    assert ran.out == ""
    assert "Traceback" not in ran.err
    assert keys.stats.requests == before


def test_no_credentials(run: Run, s3accel_server: LocalServer, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    ran = run("cp", tmp_path / "f", "s3://bucket/")
    assert ran.code == 3
    assert "AWS_ACCESS_KEY_ID is not set" in ran.err
    assert "what to do" in ran.err


def test_wrong_secret_stops_the_run(
    run: Run, route: list[str], s3accel_bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-but-well-formed")
    for number in range(30):
        (tmp_path / f"{number:02}").write_bytes(b"x")
    ran = run("cp", "-r", tmp_path, f"s3://{s3accel_bucket}/", *route, "--json", "--concurrency", "2")
    assert ran.code == 3
    statuses = [line["status"] for line in ran.objects]
    assert len(statuses) == 30
    assert statuses.count("failed") <= 3
    assert statuses.count("not started") == 30 - statuses.count("failed")
    failed = next(line for line in ran.objects if line["status"] == "failed")
    assert failed["error"]["code"] == "SignatureDoesNotMatch"
    assert "secret access key" in failed["error"]["remedy"]


def test_no_connection(
    run: Run, keys: LocalServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, unused_port: int
) -> None:
    (tmp_path / "f").write_bytes(b"x")
    to = f"my-bucket.s3-accelerate.amazonaws.com:443=127.0.0.1:{unused_port}"
    ran = run("cp", tmp_path / "f", "s3://my-bucket/", "--connect-to", to)
    assert ran.code == 4
    assert "what to do: check the network" in ran.err


def test_certificate_of_an_unknown_authority(run: Run, keys: LocalServer, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    to = f"my-bucket.s3-accelerate.amazonaws.com:443={keys.address}"
    ran = run("cp", tmp_path / "f", "s3://my-bucket/", "--connect-to", to)
    assert ran.code == 4
    assert "certificate" in ran.err


def test_acceleration_is_off(run: Run, keys: LocalServer, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    keys.create_bucket("cli-without", acceleration=None)
    try:
        to = f"cli-without.s3-accelerate.amazonaws.com:443={keys.address}"
        options = ["--connect-to", to, "--ca-file", keys.ca_file]
        ran = run("cp", tmp_path / "f", "s3://cli-without/", *options)
        assert ran.code == 5
        assert "--no-accelerate" in ran.err
    finally:
        keys.empty_bucket("cli-without", delete=True)


def test_refused_by_s3(
    run: Run, route: list[str], keys: LocalServer, s3accel_bucket: str, tmp_path: Path
) -> None:
    (tmp_path / "f").write_bytes(b"x")

    def fault(request: FaultRequest) -> Answer | None:
        return Answer(403, "AccessDenied", "Access Denied") if request.operation == "PutObject" else None

    keys.set_fault(fault)
    try:
        ran = run("cp", tmp_path / "f", f"s3://{s3accel_bucket}/", *route)
    finally:
        keys.set_fault(None)
    assert ran.code == 5
    assert "403 AccessDenied" in ran.err
    assert "s3:PutObject" in ran.err


def test_a_retry_is_told(
    run: Run, route: list[str], keys: LocalServer, s3accel_bucket: str, tmp_path: Path
) -> None:
    (tmp_path / "f").write_bytes(b"x")
    answers = [Answer(500)]

    def fault(request: FaultRequest) -> Answer | None:
        return answers.pop() if answers and request.operation == "PutObject" else None

    keys.set_fault(fault)
    try:
        ran = run("cp", tmp_path / "f", f"s3://{s3accel_bucket}/", *route)
    finally:
        keys.set_fault(None)
    assert ran.code == 0
    assert "attempt 1 failed, trying again" in ran.err
    assert "1 repeated" in ran.out


# --- what is shown ------------------------------------------------------------------------------------------


def test_quiet(run: Run, route: list[str], s3accel_bucket: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    ran = run("cp", "-q", tmp_path / "f", f"s3://{s3accel_bucket}/", *route)
    assert (ran.code, ran.out, ran.err) == (0, "", "")


@pytest.mark.parametrize("secret", [None, "wrong-secret-CANARY/9876543210abcdefghij"])
def test_no_secret_is_shown(
    run: Run,
    route: list[str],
    keys: LocalServer,
    s3accel_bucket: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    secret: str | None,
) -> None:
    (tmp_path / "f").write_bytes(b"x" * 100_000)
    if secret is not None:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "session-token-CANARY-0123456789")
    ran = run("cp", "-vv", tmp_path / "f", f"s3://{s3accel_bucket}/", *route)
    shown = ran.out + ran.err
    assert "DEBUG s3accel" in shown  # there was something to see
    assert (secret or keys.secret_access_key) not in shown
    assert "CANARY" not in shown
    assert "AWS4-HMAC-SHA256 Credential=" not in shown


def test_names_cannot_move_the_cursor() -> None:
    assert report.printable("a\x1b[2Jb\r\nc\udcff é") == "a\\x1b[2Jb\\r\\nc\\udcff é"


def test_bars(
    keys: LocalServer,
    route: list[str],
    run: Run,
    s3accel_bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The whole reporter for terminals, drawn into a string."""
    from rich.console import Console

    from s3accel.cli import cp

    (tmp_path / "small").write_bytes(b"x")
    (tmp_path / "large").write_bytes(os.urandom(40 << 20))
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    drawn = io.StringIO()
    console = Console(file=drawn, force_terminal=True, width=120)

    def reporter(**_options: Any) -> report.Reporter:
        return report.BarReporter(console)

    monkeypatch.setattr(cp, "new_reporter", reporter)
    ran = run("cp", "-r", tmp_path, f"s3://{s3accel_bucket}/", *route)
    assert ran.code == 1
    text = drawn.getvalue()
    for part in ("of 3 objects", "large", "failed: ", "2 objects uploaded", "1 failed"):
        assert part in text


def test_json_stays_json_for_strange_names(
    run: Run, route: list[str], s3accel_bucket: str, tmp_path: Path
) -> None:
    name = os.fsdecode(b"bad-\xff-name\n")
    (tmp_path / name).write_bytes(b"x")
    ran = run("cp", "-r", tmp_path, f"s3://{s3accel_bucket}/", *route, "--json")
    assert ran.code == 2  # a key must be text; the file's name is none
    (line,) = ran.objects
    assert line["status"] == "failed"
    assert json.dumps(line).isascii()
