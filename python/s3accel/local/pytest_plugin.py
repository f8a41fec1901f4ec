"""Fixtures for tests that need an S3 endpoint: ``s3accel_server`` and ``s3accel_bucket``.

Registered through the entry point ``pytest11``, so this module is imported by every pytest run where
s3accel is installed: it imports nothing but pytest until a fixture is asked for, and a missing extra skips
the test by name.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from s3accel.local import LocalServer


@pytest.fixture(scope="session")
def s3accel_server() -> Iterator[LocalServer]:
    """A :class:`s3accel.local.LocalServer` over TLS for the whole session, with random credentials."""
    pytest.importorskip("uvicorn", reason="the local S3 endpoint needs pip install 's3accel[local]'")
    pytest.importorskip("cryptography", reason="the local S3 endpoint needs pip install 's3accel[local]'")
    from s3accel.local import LocalServer

    with LocalServer() as server:
        yield server


@pytest.fixture
def s3accel_bucket(s3accel_server: LocalServer) -> Iterator[str]:
    """The name of a fresh, empty bucket with acceleration enabled; deleted with all its objects after the
    test."""
    name = f"test-{secrets.token_hex(8)}"
    s3accel_server.create_bucket(name)
    yield name
    s3accel_server.empty_bucket(name, delete=True)
