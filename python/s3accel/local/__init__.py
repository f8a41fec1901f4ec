"""A local S3 endpoint that verifies every byte: for tests, demonstrations and development.

    from s3accel.local import LocalServer

    with LocalServer() as server:
        ...  # server.endpoint_url, server.ca_file, server.access_key_id, server.secret_access_key

It answers under every S3 host name, the acceleration endpoint included, over TLS from a throwaway certificate
authority, keeps objects in a folder, and refuses what S3 refuses in S3's words. Needs ``pip install
's3accel[local]'``. With pytest the fixtures ``s3accel_server`` and ``s3accel_bucket`` come with the package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .app import S3App, create_app
    from .faults import Answer, Cut, FaultAction, FaultHook, FaultRequest, Slow
    from .server import LocalServer
    from .stats import Stats, StatsSnapshot
    from .tls import CertificateFiles, make_certificates

__all__ = [
    "Answer",
    "CertificateFiles",
    "Cut",
    "FaultAction",
    "FaultHook",
    "FaultRequest",
    "LocalServer",
    "S3App",
    "Slow",
    "Stats",
    "StatsSnapshot",
    "create_app",
    "make_certificates",
]

_HOMES = {
    "app": ("S3App", "create_app"),
    "faults": ("Answer", "Cut", "FaultAction", "FaultHook", "FaultRequest", "Slow"),
    "server": ("LocalServer",),
    "stats": ("Stats", "StatsSnapshot"),
    "tls": ("CertificateFiles", "make_certificates"),
}


def __getattr__(name: str) -> Any:
    # Loaded on first use: the pytest plugin imports this package in every test run of every user.
    from importlib import import_module

    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f".{module}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
