"""What the tests of the local endpoint share: the endpoint, boto3 clients for it, and a hand-driven connection."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("cryptography")

FOLDER = str(Path(__file__).parent)
if FOLDER not in sys.path:
    sys.path.insert(0, FOLDER)

from local_wire import Wire  # noqa: E402

from s3accel.local import LocalServer  # noqa: E402


@pytest.fixture(scope="session")
def wire(s3accel_server: LocalServer) -> Wire:
    return Wire(s3accel_server)


@pytest.fixture(scope="session")
def boto(s3accel_server: LocalServer) -> Iterator[Callable[..., Any]]:
    """A function that makes boto3 clients for the endpoint (path style over TLS unless told otherwise)."""
    boto3 = pytest.importorskip("boto3")
    config = pytest.importorskip("botocore.config")
    made = []

    def make(secret: str | None = None, server: LocalServer | None = None, **options: Any) -> Any:
        server = server or s3accel_server
        s3 = {"addressing_style": "path", **options.pop("s3", {})}
        retries = {"max_attempts": 1, "mode": "standard"}
        url = None if s3.get("use_accelerate_endpoint") else server.endpoint_url
        client = boto3.client(
            "s3",
            region_name=server.region,
            endpoint_url=options.pop("endpoint_url", url),
            verify=str(server.ca_file),
            aws_access_key_id=server.access_key_id,
            aws_secret_access_key=secret or server.secret_access_key,
            config=config.Config(s3=s3, retries=retries, signature_version="s3v4", **options),
        )
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()


@pytest.fixture(scope="session")
def s3(boto: Callable[..., Any]) -> Any:
    return boto()
