"""`s3accel cp` from the local endpoint: what is written where, what is refused, what is printed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from s3accel.cli import downloads
from s3accel.local import Answer, LocalServer
from s3accel.transfer import Client

from .conftest import Ran

Run = Callable[..., Ran]
DATA = os.urandom((11 << 20) + 7)


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def put(client: Client, s3accel_bucket: str) -> Callable[..., None]:
    def store(*keys: str, data: bytes | None = None) -> None:
        for key in keys:
            client.upload(key.encode() if data is None else data, s3accel_bucket, key)

    return store


def test_one_object_in_ranges(
    run: Run, route: list[str], put: Any, s3accel_bucket: str, tmp_path: Path
) -> None:
    put("in/a b.bin", data=DATA)
    to = ["--part-size", "5MiB", *route]
    ran = run("cp", f"s3://{s3accel_bucket}/in/a b.bin", tmp_path / "out", "--json", *to)
    assert ran.code == 0, ran.err
    (line,) = ran.objects
    assert (line["status"], line["key"], line["target"]) == ("downloaded", "in/a b.bin", f"{tmp_path}/out")
    assert (line["ranges"], line["verified"], line["checksum_algorithm"]) == (3, True, "crc64nvme")
    assert (line["route"], line["endpoint"]) == ("accelerate", "accelerate")
    assert ran.summary == {**ran.summary, "downloaded": 1, "failed": 0, "bytes": len(DATA), "exit_code": 0}
    ran = run("cp", f"s3://{s3accel_bucket}/in/a b.bin", tmp_path, *to)
    assert ran.code == 0, ran.err
    assert "3 ranges, crc64nvme verified" in ran.out
    assert "1 object downloaded" in ran.out
    assert files_in(tmp_path) == {"out": DATA, "a b.bin": DATA}


def test_several_objects_into_a_folder(
    run: Run, route: list[str], put: Any, s3accel_bucket: str, tmp_path: Path
) -> None:
    put("x/1", "y/2", "z/1")
    urls = [f"s3://{s3accel_bucket}/{key}" for key in ("x/1", "y/2")]
    ran = run("cp", *urls, f"{tmp_path}/new/", *route)
    assert ran.code == 0, ran.err
    assert files_in(tmp_path) == {"new/1": b"x/1", "new/2": b"y/2"}
    ran = run("cp", urls[0], f"s3://{s3accel_bucket}/z/1", tmp_path / "new", "--json", *route)
    assert ran.code == 1
    assert (
        "has the place of"
        in ran.objects[1 if ran.objects[0]["status"] == "downloaded" else 0]["error"]["message"]
    )


@pytest.mark.parametrize("size", [0, 5, len(DATA)])
def test_standard_output(
    put: Any, route: list[str], s3accel_bucket: str, capfdbinary: Any, size: int
) -> None:
    from s3accel.cli import main

    put("k", data=DATA[:size])
    assert main(["cp", f"s3://{s3accel_bucket}/k", "-", "--part-size", "5MiB", *route]) == 0
    out, err = capfdbinary.readouterr()
    assert out == DATA[:size]
    assert b"downloaded" in err


def test_a_prefix(
    run: Run, route: list[str], put: Any, keys: LocalServer, s3accel_bucket: str, tmp_path: Path
) -> None:
    put("p/a", "p/b/c d", "p/b/ü", "p/+%25", "pq", "q/p/a", "p/b/")
    put("p/m/", data=b"")
    before = keys.stats.operations.get("HeadObject", 0)
    ran = run("cp", "-r", f"s3://{s3accel_bucket}/p", tmp_path / "out", "--json", *route)
    assert ran.code == 1  # "p/b/" holds bytes and has no name for a file
    assert keys.stats.operations.get("HeadObject", 0) == before  # the listing says enough
    expected = {key: f"p/{key}".encode() for key in ("a", "b/c d", "b/ü", "+%25")}
    assert files_in(tmp_path / "out") == expected
    (failed,) = [line for line in ran.objects if line["status"] == "failed"]
    assert (failed["key"], failed["error"]["exit_code"]) == ("p/b/", 6)
    assert ran.summary["skipped"] == 1
    ran = run(
        "cp", "-r", *(f"s3://{s3accel_bucket}/{name}" for name in ("p", "q")), tmp_path / "both", *route
    )
    assert set(files_in(tmp_path / "both")) == {*(f"p/{key}" for key in expected), "q/p/a"}


EVIL = [
    "../up",
    "a/../../up",
    "/abs",
    "a//b",
    "./dot",
    "..",
    "x/.",
    ".good.s3accel-part",
    "sub/.n.s3accel-data",
    "file/below",
    "a" * 300,
]


def test_keys_that_are_no_files_are_refused_by_name(
    run: Run, route: list[str], put: Any, s3accel_bucket: str, tmp_path: Path
) -> None:
    put("good", "file", "link/x", *EVIL)
    folder, outside = tmp_path / "in" / "folder", tmp_path / "outside"
    folder.mkdir(parents=True)
    outside.mkdir()
    (folder / "link").symlink_to(outside)
    ran = run("cp", "-r", f"s3://{s3accel_bucket}/", folder, "--json", *route)
    assert ran.code == 1
    ended = {line["key"]: line for line in ran.objects}
    assert {key for key, line in ended.items() if line["status"] == "downloaded"} == {"good", "file"}
    assert {key for key, line in ended.items() if line["status"] == "failed"} == {*EVIL, "link/x"}
    for key in EVIL[:-1]:
        assert key in ended[key]["error"]["message"]
        assert "refused" in ended[key]["error"]["message"]
    assert files_in(tmp_path) == {"in/folder/good": b"good", "in/folder/file": b"file"}
    assert (ran.summary["downloaded"], ran.summary["failed"]) == (2, len(EVIL) + 1)


def test_a_disk_that_folds_case(
    run: Run,
    route: list[str],
    put: Any,
    s3accel_bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put("A/x", "a/X", "é", "e\u0301")
    monkeypatch.setattr(downloads, "_folds_case", lambda _folder: True)
    ran = run("cp", "-r", f"s3://{s3accel_bucket}", tmp_path, "--json", *route)
    assert ran.code == 1
    assert (ran.summary["downloaded"], ran.summary["failed"]) == (2, 2)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["{b}/p/", "out"], "add -r"),
        (["{b}/p/", "-"], "one full key"),
        (["-r", "{b}/p", "-"], "one full key"),
        (["{b}/1", "{b}/2", "out"], "give a folder"),
        (["{b}/1", "file", "out/"], "no S3 address"),
        (["{b}/1", "s3://other-bucket/2", "out/"], "several buckets"),
        (["{b}/1", "out", "--content-type", "a/b"], "is for uploads"),
        (["{b}/1", "out", "--journal", "j"], "is for uploads"),
        (["{b}/1", "-", "--json"], "both write"),
        (["{b}/1", "{b}/2"], "are in S3"),
    ],
)
def test_what_cannot_be(
    run: Run,
    route: list[str],
    s3accel_bucket: str,
    tmp_path: Path,
    monkeypatch: Any,
    arguments: Any,
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run("cp", *(text.format(b=f"s3://{s3accel_bucket}") for text in arguments), *route)
    assert ran.code == 2
    assert says in ran.err + ran.out
    assert os.listdir(tmp_path) == []


def test_absent_and_interrupted_and_gone_on_with(
    run: Run, route: list[str], put: Any, keys: LocalServer, s3accel_bucket: str, tmp_path: Path
) -> None:
    url = f"s3://{s3accel_bucket}/k"
    ran = run("cp", url, tmp_path / "out", *route)
    assert (ran.code, os.listdir(tmp_path)) == (5, [])
    put("k", data=DATA)
    keys.set_fault(
        lambda r: (
            Answer(403, "AccessDenied") if (r.header("range") or "").startswith("bytes=10485760") else None
        )
    )
    try:
        ran = run("cp", url, tmp_path / "out", "--json", "--part-size", "5MiB", "--concurrency", "1", *route)
    finally:
        keys.set_fault(None)
    assert ran.code == 5
    error = ran.objects[0]["error"]
    assert (error["type"], error["kept"]) == ("AccessDenied", 10 << 20)
    assert "s3:GetObject" in error["remedy"]
    ran = run("cp", url, tmp_path / "out", "--json", *route)
    assert ran.objects[0]["resumed"] == 10 << 20
    assert files_in(tmp_path) == {"out": DATA}
