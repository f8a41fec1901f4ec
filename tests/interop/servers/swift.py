"""OpenStack Swift with its s3api middleware: the strictest S3 verifier that installs from PyPI.

Four processes on loopback (proxy, account, container, object), one device, one replica, rings built in
place. It checks body hashes, every chunk signature, trailer signatures and checksums, chunk sizes and
clock skew. It knows no session tokens and no POST forms, and it syncs every object to disk, so small
uploads cost about 20 ms.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from .process import RunningServer, ServerConfig, free_port, running, wait_until_healthy
from .venvs import ServerUnavailable, ensure_venv

NAME = "swift"
# Without anycrc (or ISA-L) Swift refuses the crc32c and crc64nvme checksums.
REQUIREMENTS = ("swift==2.38.3", "anycrc")
STORAGE = ("account", "container", "object")

# tempauth insists on access keys of the form account:user. This filter adds one user under any name; how
# s3api computes and compares the signature is untouched. The key comes from the environment because
# paste's ini files interpolate percent signs.
AUTH_FILTER = """
import os
from swift.common.middleware.tempauth import TempAuth


def filter_factory(global_conf, **local_conf):
    conf = {**global_conf, **local_conf}

    def wrap(app):
        auth = TempAuth(app, conf)
        auth.users[os.environ["TESTER_KEY"]] = {
            "key": os.environ["TESTER_SECRET"],
            "url": "$HOST/v1/AUTH_tester",
            "groups": [".admin", ".reseller_admin"],
        }
        return auth

    return wrap
"""

BUILD_RINGS = """
import os, sys
from swift.common.ring import RingBuilder
folder = sys.argv[1]
for pair in sys.argv[2:]:
    kind, port = pair.split("=")
    builder = RingBuilder(part_power=6, replicas=1, min_part_hours=1)
    device = {"region": 1, "zone": 1, "ip": "127.0.0.1", "port": int(port), "device": "disk", "weight": 1.0}
    device.update(replication_ip="127.0.0.1", replication_port=int(port), meta="")
    builder.add_dev(device)
    builder.rebalance()
    builder.get_ring().save(os.path.join(folder, kind + ".ring.gz"))
"""

PIPELINE = (
    "catch_errors gatekeeper healthcheck listing_formats s3api tester bulk copy slo dlo versioned_writes"
    " symlink proxy-server"
)
# Those that need no settings.
PLAIN_FILTERS = [
    "catch_errors",
    "gatekeeper",
    "healthcheck",
    "listing_formats",
    "bulk",
    "copy",
    "slo",
    "dlo",
    "symlink",
]


def _sections(**sections: Mapping[str, object]) -> str:
    """An ini file. Section names are given with ``__`` for the colon."""
    lines = []
    for name, values in sections.items():
        lines.append(f"[{name.replace('__', ':', 1)}]")
        lines.extend(f"{key} = {value}" for key, value in values.items())
    return "\n".join(lines) + "\n"


def _write_configuration(config: ServerConfig, ports: Mapping[str, int]) -> None:
    folder = config.folder
    for name in ("disks/disk", "recon"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    probe = folder / "disks" / "probe"
    probe.touch()
    try:
        # Swift keeps an object's metadata in extended attributes; some file systems have none for users.
        os.setxattr(probe, "user.swift.probe", b"x" * 2000)
    except OSError as error:
        raise ServerUnavailable(f"{NAME}: {folder} has no user extended attributes: {error}") from error

    common = {
        "swift_dir": folder,
        "devices": folder / "disks",
        "mount_check": "false",
        "disable_fallocate": "true",
        "bind_ip": "127.0.0.1",
        "workers": 0,
        "user": getpass.getuser(),
        "recon_cache_path": folder / "recon",
        "log_level": "WARNING",
        "log_statsd_host": "",
    }
    (folder / "swift.conf").write_text(
        _sections(
            **{
                "swift-hash": {"swift_hash_path_prefix": "interop", "swift_hash_path_suffix": "tests"},
                "storage-policy__0": {"name": "only", "default": "yes"},
            }
        )
    )
    for kind in STORAGE:
        (folder / f"{kind}.conf").write_text(
            _sections(
                **{
                    "DEFAULT": {**common, "bind_port": ports[kind]},
                    "pipeline__main": {"pipeline": f"{kind}-server"},
                    f"app__{kind}-server": {"use": f"egg:swift#{kind}"},
                }
            )
        )
    (folder / "tester_auth.py").write_text(AUTH_FILTER)
    s3api = {
        "use": "egg:swift#s3api",
        "location": config.region,
        "storage_domain": ",".join(config.domains),
        "auth_pipeline_check": "false",
        "allowable_clock_skew": 900,
    }
    tls = {"cert_file": config.certificate, "key_file": config.private_key}
    (folder / "proxy.conf").write_text(
        _sections(
            **{
                "DEFAULT": {**common, **tls, "bind_port": ports["proxy"], "client_timeout": 30},
                "pipeline__main": {"pipeline": PIPELINE},
                "app__proxy-server": {
                    "use": "egg:swift#proxy",
                    "allow_account_management": "true",
                    "account_autocreate": "true",
                    "node_timeout": 60,
                },
                "filter__tester": {"paste.filter_factory": "tester_auth:filter_factory"},
                "filter__s3api": s3api,
                "filter__versioned_writes": {
                    "use": "egg:swift#versioned_writes",
                    "allow_versioned_writes": "true",
                    "allow_object_versioning": "true",
                },
                **{f"filter__{name}": {"use": f"egg:swift#{name}"} for name in PLAIN_FILTERS},
            }
        )
    )


@contextlib.contextmanager
def start(
    cache: Path, config: ServerConfig, ca_file: Path, environ: Mapping[str, str] | None = None
) -> Iterator[RunningServer]:
    """Run Swift until the context ends. Raises ``ServerUnavailable`` when it cannot run here."""
    python = ensure_venv(cache, NAME, REQUIREMENTS, environ)
    folder = config.folder
    ports = {kind: free_port() for kind in (*STORAGE, "proxy")}
    _write_configuration(config, ports)
    rings = [f"{kind}={ports[kind]}" for kind in STORAGE]
    built = subprocess.run(
        [str(python), "-c", BUILD_RINGS, str(folder), *rings], capture_output=True, text=True, timeout=60
    )
    if built.returncode:
        raise ServerUnavailable(f"{NAME}: its rings could not be built: {built.stderr.strip()[-300:]}")
    settings = dict(os.environ if environ is None else environ)
    settings.update(
        PYTHONPATH=str(folder), TESTER_KEY=config.access_key_id, TESTER_SECRET=config.secret_access_key
    )
    # -v sends the logs to the standard output: there may be no syslog.
    commands = {
        kind: [str(python.parent / f"swift-{kind}-server"), str(folder / f"{kind}.conf"), "-v"]
        for kind in ports
    }
    with running(commands, settings, folder) as children:
        server = RunningServer(NAME, ports["proxy"], config, ca_file)
        wait_until_healthy(NAME, f"{server.endpoint_url}/healthcheck", ca_file, children, folder)
        yield server
