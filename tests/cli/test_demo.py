"""`s3accel demo`, small: all proofs hold, and a proof that does not hold is seen."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from s3accel.cli import demo_proofs
from s3accel.cli.demo_input import tree_jobs
from s3accel.cli.endpoint_process import EndpointProcess, EndpointStats
from s3accel.errors import ConfigError
from s3accel.transfer import Client

from .conftest import Ran


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    (folder / "sub").mkdir(parents=True)
    (folder / "empty").write_bytes(b"")
    (folder / "sub" / "ä b").write_bytes(os.urandom(150_000))
    return folder


def test_whole(tree: Path, tmp_path: Path) -> None:
    arguments = ["demo", "--source", tree, "--size", "17MiB", "--keep", tmp_path / "kept"]
    done = subprocess.run(
        [sys.executable, "-m", "s3accel", *map(str, arguments)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("[ok]") == 5
    for part in (
        "3 objects, 17.1 MiB",
        "275 signed, 275 verified",  # 0 + 3 chunks of the tree, 272 of 17 MiB
        "s3-accelerate.amazonaws.com, TLSv1.",
        "403 SignatureDoesNotMatch",
        "All 5 proofs hold",
    ):
        assert part in done.stdout, part
    assert "\x1b" not in done.stdout
    assert done.stderr == ""
    assert any((tmp_path / "kept").iterdir())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_it_leaves_nothing(tree: Path, tmp_path: Path, number: int, code: int) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "s3accel", "demo", "--source", str(tree), "--size", "128MiB"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    assert process.stdout is not None
    while "generated file" not in (line := process.stdout.readline()):
        assert line
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, out + err
    assert "Traceback" not in out + err
    assert list(temporary.iterdir()) == []


def test_nothing_to_upload(run: Callable[..., Ran], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ran = run("demo", "--source", tmp_path / "empty", "--size", "0")
    assert ran.code == 2
    assert "holds no file" in ran.err


def test_standard_library_is_found() -> None:
    folder, jobs = tree_jobs(None, "bucket")
    keys = {job.key for job in jobs}
    assert {"tree/os.py", "tree/json/__init__.py"} <= keys
    assert not any("site-packages" in key or "__pycache__" in key for key in keys)
    assert all(Path(job.source).is_relative_to(folder) for job in jobs)


def test_a_file_is_a_tree_too(tree: Path) -> None:
    _, (job,) = tree_jobs(str(tree / "empty"), "bucket")
    assert job.key == "tree/empty"


def test_proofs_see_what_is_wrong(tree: Path) -> None:
    """Each proof is shown a fault of the kind it is there for."""
    bucket = "demo-test"
    _, jobs = tree_jobs(str(tree), bucket)
    with EndpointProcess(None) as endpoint:
        host = f"{bucket}.s3-accelerate.amazonaws.com"
        with Client(
            region="us-east-1",
            credentials=endpoint.credentials,
            connect_to={f"{host}:443": endpoint.address},
            ca_file=endpoint.ca_file,
        ) as client:
            for job in jobs:
                client.upload(job.source, bucket, job.key)
            assert demo_proofs.prove_equal(client, bucket, jobs, 2, lambda _n: None).holds
            Path(jobs[1].source).write_bytes(b"changed afterwards")
            proof = demo_proofs.prove_equal(client, bucket, jobs, 2, lambda _n: None)
            assert not proof.holds
            assert "the bytes differ" in proof.details[0]
            client.upload(b"x", bucket, "stranger")
            assert not demo_proofs.prove_equal(client, bucket, jobs[:1], 2, lambda _n: None).holds
    nothing = EndpointStats(0, 0, 0, 0, {}, {})
    refused = replace(nothing, requests=2, signatures_verified=1, refusals={"AccessDenied": 1})
    assert not demo_proofs.prove_signatures([], nothing, refused).holds
    assert not demo_proofs.prove_signatures([], nothing, nothing).holds
    assert not demo_proofs.prove_chunks([], nothing, nothing, 65536, 16 << 20).holds


def test_endpoint_process_says_why_it_cannot_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match="file"), EndpointProcess(tmp_path / "file"):
        pass
    with pytest.raises(ConfigError, match="not running"):
        EndpointProcess(None).stats()
