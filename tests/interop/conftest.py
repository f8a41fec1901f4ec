"""One Swift, one MiniStack and one SeaweedFS per session, over TLS, reached under AWS's own host names."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from servers import ministack, seaweedfs, swift
from servers.names import ACCELERATED, ACCESS_KEY_ID, BUCKET, REGION, REGIONAL, SECRET_ACCESS_KEY
from servers.process import RunningServer, ServerConfig
from servers.venvs import ServerUnavailable

# What every test runs against unless it asks for others: the two strict ones.
SERVERS: dict[str, ModuleType] = {"swift": swift, "ministack": ministack}
STARTERS: dict[str, ModuleType] = {**SERVERS, "seaweedfs": seaweedfs}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.interop)


@pytest.fixture(scope="session")
def server_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the servers' environments live: named by S3ACCEL_INTEROP_CACHE, else one folder for this user.

    About 360 MB, so it stays from run to run. A folder in the common temporary place could have been put
    there by somebody else, and what it holds is run: it must be ours alone.
    """
    named = os.environ.get("S3ACCEL_INTEROP_CACHE")
    if named:
        return Path(named).resolve()
    folder = Path(tempfile.gettempdir()) / f"s3accel-interop-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        return tmp_path_factory.mktemp("interop-servers")
    return folder


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """PEM files of a throwaway authority: CA certificate, server chain, server key."""
    pytest.importorskip("cryptography", reason="cryptography makes the servers' certificates")
    from servers import certificates

    hosts = (f"*.{ACCELERATED}", f"*.{REGIONAL}", REGIONAL, "localhost", "127.0.0.1")
    return certificates.make(tmp_path_factory.mktemp("tls"), hosts)


@pytest.fixture(scope="session", params=sorted(SERVERS))
def server(
    request: pytest.FixtureRequest,
    server_cache: Path,
    certificates: tuple[Path, Path, Path],
    pip_environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[RunningServer]:
    ca_file, chain, key = certificates
    config = ServerConfig(
        folder=tmp_path_factory.mktemp(request.param),
        access_key_id=ACCESS_KEY_ID,
        secret_access_key=SECRET_ACCESS_KEY,
        region=REGION,
        domains=(ACCELERATED, REGIONAL),
        certificate=chain,
        private_key=key,
    )
    with contextlib.ExitStack() as stack:
        try:
            running = stack.enter_context(
                STARTERS[request.param].start(server_cache, config, ca_file, pip_environment)
            )
        except ServerUnavailable as error:
            pytest.skip(str(error))
        yield running


@pytest.fixture(scope="session")
def boto_client(server: RunningServer) -> Iterator[Any]:
    """An independent client: what we upload is read back by this, and it makes the bucket."""
    boto3 = pytest.importorskip("boto3", reason="boto3 reads back what was uploaded")
    from botocore.config import Config

    client = boto3.client(
        "s3",
        endpoint_url=server.endpoint_url,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key=SECRET_ACCESS_KEY,
        verify=str(server.ca_file),
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            retries={"mode": "standard", "max_attempts": 2},
        ),
    )
    client.create_bucket(Bucket=BUCKET)
    yield client
    client.close()
