"""Forked and patched processes, and processes where something is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

pytest.importorskip("botocore")

import botocore.auth

from s3accel.adapters import botocore as adapter
from support.botocore_wire import CREDENTIALS, frozen, request


def signed(cls: Any) -> Any:
    made = request()
    with frozen():
        cls(CREDENTIALS, "s3", "us-east-1").add_auth(made)
    return made.headers.items()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_fork() -> None:
    with adapter.install():
        expected = signed(botocore.auth.AUTH_TYPE_MAPS["s3v4"])
        assert adapter.stats()["keys"] > 0
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            ok = b"n"
            try:
                empty = adapter.stats()["keys"] == 0
                if empty and signed(botocore.auth.AUTH_TYPE_MAPS["s3v4"]) == expected:
                    ok = b"y"
            finally:
                os.write(write, ok)
                os._exit(0)
        os.close(write)
        assert os.read(read, 1) == b"y"
        os.close(read)
        os.waitpid(child, 0)


def test_gevent() -> None:
    pytest.importorskip("gevent")
    code = """
import gevent.monkey; gevent.monkey.patch_all()
import gevent
from s3accel.adapters import botocore as adapter
from support.botocore_wire import client, Wire
adapter.install(); c = client(); Wire(c)
jobs = [gevent.spawn(c.put_object, Bucket='b-b-b', Key=str(i), Body=b'x' * 9999) for i in range(20)]
gevent.joinall(jobs, raise_error=True)
assert adapter.stats()['signed'] == 20
print('done')
"""
    assert run_python(code) == "done"


def run_python(code: str, **environment: str) -> str:
    code = f"import sys; sys.path[:0] = {sys.path!r}\n{code}"
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def test_without_awscrt() -> None:
    """What botocore refuses without awscrt, in a process where it is switched off."""
    code = """
from botocore.compat import HAS_CRT
from botocore.exceptions import MissingDependencyException
from s3accel.adapters import botocore as adapter
from support.botocore_wire import Wire, client
assert not HAS_CRT
target = client()
wire = Wire(target)
for algorithm in ("CRC64NVME", "CRC32C"):
    def call():
        target.put_object(Bucket="b-b-b", Key="k", Body=b"123456789", ChecksumAlgorithm=algorithm)
    for _ in range(2):
        try:
            call()
        except MissingDependencyException:
            pass
        else:
            raise AssertionError("botocore can do it now")
        with adapter.install():
            call()
        print(wire.requests[-1][3].split()[-1].decode())
"""
    crc64nvme, crc32c = "x-amz-checksum-crc64nvme:rosUhgp5mIg=", "x-amz-checksum-crc32c:4waSgw=="
    assert run_python(code, BOTO_DISABLE_CRT="true").split() == [crc64nvme] * 2 + [crc32c] * 2


def test_without_botocore() -> None:
    code = """
import s3accel
sys.modules["botocore"] = None
try:
    s3accel.install()
except ImportError as error:
    print(error)
"""
    assert "pip install 's3accel[boto]'" in run_python(code)
