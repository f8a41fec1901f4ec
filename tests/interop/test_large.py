"""A large file and a large folder on servers nobody here wrote, and how much memory that takes.

Minutes and gigabytes, so only where S3ACCEL_LARGE is set to the size of the file in MiB (2048 for the figure
of the changelog); S3ACCEL_LARGE_FILES is the number of small files, 5,000 by default.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from servers.names import ACCELERATED, BUCKET, REGION
from servers.process import RunningServer

MIB = 1024 * 1024
SIZE = int(os.environ.get("S3ACCEL_LARGE", "0")) * MIB
FILES = int(os.environ.get("S3ACCEL_LARGE_FILES", "5000"))

pytestmark = [
    pytest.mark.skipif(
        not SIZE, reason="set S3ACCEL_LARGE=2048 to upload a file of 2 GiB and 5,000 small ones"
    ),
    pytest.mark.timeout(3000),
]

UPLOAD = """
import json, resource, sys, time
from pathlib import Path
from s3accel import Credentials
from s3accel.transfer import Client

options = json.loads(sys.stdin.readline())
credentials = Credentials(options["access"], options["secret"])
small = sorted(Path(options["folder"]).rglob("*.bin"))
with Client(
    region=options["region"],
    credentials=credentials,
    connect_to=options["connect_to"],
    ca_file=options["ca_file"],
    checksum=options["checksum"],
    payload="signed-chunks",
) as client:
    begin = time.perf_counter()
    large = client.upload(options["file"], options["bucket"], "large.bin")
    middle = time.perf_counter()
    peak_large = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    bad = 0
    for outcome in client.upload_many((p, options["bucket"], f"small/{p.name}") for p in small):
        bad += outcome.error is not None
    end = time.perf_counter()
print(json.dumps({
    "seconds_large": middle - begin,
    "seconds_small": end - middle,
    "parts": large.parts,
    "tls": large.connection.tls_version,
    "host": large.host,
    "bad": bad,
    "peak_mib_large": peak_large / 1024,
    "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
}))
"""


def make_large(path: Path) -> str:
    """Bytes that no compression or repetition can shorten, and their SHA-256."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for _ in range(SIZE // MIB):
            block = os.urandom(MIB)
            digest.update(block)
            file.write(block)
    return digest.hexdigest()


def run(options: dict[str, Any]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", UPLOAD],
        input=json.dumps(options) + "\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def read_back(boto: Any, bucket: str, expected: dict[str, str]) -> int:
    """Every object as boto3 reads it; how many are equal."""
    equal = 0
    for key, digest in expected.items():
        running = hashlib.sha256()
        for block in boto.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(MIB):
            running.update(block)
        equal += running.hexdigest() == digest
    return equal


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, str]]:
    folder = tmp_path_factory.mktemp("large")
    large = folder / "large.bin"
    expected = {"large.bin": make_large(large)}
    small = folder / "small"
    small.mkdir()
    for i in range(FILES):
        data = os.urandom(200 + i * 7 % 20_000)
        (small / f"{i:05}.bin").write_bytes(data)
        expected[f"small/{i:05}.bin"] = hashlib.sha256(data).hexdigest()
    return large, small, expected


def check(
    name: str, boto: Any, bucket: str, options: dict[str, Any], corpus: tuple[Path, Path, dict[str, str]]
) -> None:
    large, small, expected = corpus
    result = run({**options, "file": str(large), "folder": str(small), "bucket": bucket})
    assert result["bad"] == 0
    begin = time.perf_counter()
    assert read_back(boto, bucket, expected) == len(expected)
    print(
        f"\n{name}: {SIZE // MIB} MiB in {result['seconds_large']:.1f} s ({result['parts']} parts), "
        f"{FILES} files in {result['seconds_small']:.1f} s, through {result['host']} over {result['tls']}; "
        f"peak {result['peak_mib_large']:.0f} MiB after the large one, {result['peak_mib']:.0f} in all; "
        f"{len(expected)} objects read back equal by boto3 in {time.perf_counter() - begin:.1f} s"
    )
    assert result["host"] == f"{bucket}.{ACCELERATED}"
    assert result["peak_mib_large"] < 150


def test_server(server: RunningServer, boto_client: Any, corpus: tuple[Path, Path, dict[str, str]]) -> None:
    if server.name == "ministack" and SIZE >= 2048 * MIB:
        pytest.skip("ministack takes 2 GiB, but answers a GET of it with no body")
    options = {
        "region": REGION,
        "access": server.config.access_key_id,
        "secret": server.config.secret_access_key,
        "connect_to": {f"{BUCKET}.{ACCELERATED}:443": f"127.0.0.1:{server.port}"},
        "ca_file": str(server.ca_file),
        # MiniStack refuses right full-object values; Swift takes them.
        "checksum": "sha256" if server.name == "ministack" else "crc64nvme",
    }
    check(server.name, boto_client, BUCKET, options, corpus)


def test_local(corpus: tuple[Path, Path, dict[str, str]], tmp_path: Path) -> None:
    boto3 = pytest.importorskip("boto3")
    from s3accel.local import LocalServer

    with LocalServer(root=tmp_path / "store") as local:
        local.create_bucket("large-bucket")
        boto = boto3.client(
            "s3",
            endpoint_url=local.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id=local.access_key_id,
            aws_secret_access_key=local.secret_access_key,
            verify=str(local.ca_file),
        )
        host = f"large-bucket.{ACCELERATED}"
        options = {
            "region": "us-east-1",
            "access": local.access_key_id,
            "secret": local.secret_access_key,
            "connect_to": local.connect_to(host),
            "ca_file": str(local.ca_file),
            "checksum": "crc64nvme",
        }
        check("local endpoint", boto, "large-bucket", options, corpus)
