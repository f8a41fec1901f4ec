"""What the tests of all adapters share."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest


def uninstall() -> None:
    adapter = sys.modules.get("s3accel.adapters.botocore")
    if adapter is not None:
        adapter.uninstall()


@pytest.fixture(autouse=True)
def _nothing_stays_installed() -> Iterator[None]:
    """install() changes botocore for the whole process; no test may leave that to the next one."""
    uninstall()
    yield
    uninstall()
