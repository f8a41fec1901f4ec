"""MiniStack: a young Python emulation of S3, STS and IAM. With AUTH=true it verifies SigV4 and SigV4a.

It never verifies the signatures of its root key, so the key under test is given to an IAM user and root
gets a random one. It checks every chunk signature and trailer checksum; it does not hash a body against a
signed x-amz-content-sha256 and does not check trailer signatures (Swift does both).
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

from .process import RunningServer, ServerConfig, free_port, running, wait_until_healthy
from .venvs import ensure_venv

NAME = "ministack"
REQUIREMENTS = ("ministack==1.5.33", "cryptography>=42")

# Runs inside the server's own environment. MiniStack has no option for a chosen access key, so the key
# made for the user is renamed in its table before the server starts.
BOOT = """
import json, os, sys
from ministack.services import iam
wanted, secret = os.environ.pop("BOOT_KEY"), os.environ.pop("BOOT_SECRET")
iam._create_user({"UserName": ["tester"]})
iam._put_user_policy({"UserName": ["tester"], "PolicyName": ["everything"], "PolicyDocument": [json.dumps({
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["s3:*", "sts:*", "iam:*"], "Resource": "*"}]})]})
iam._create_access_key({"UserName": ["tester"]})
given = [key for key, record in iam._access_keys.items() if record["UserName"] == "tester"][0]
record = dict(iam._access_keys[given])
del iam._access_keys[given]
record.update(AccessKeyId=wanted, SecretAccessKey=secret)
iam._access_keys[wanted] = record
from ministack.app import main
sys.argv = ["ministack"]
main()
"""


@contextlib.contextmanager
def start(
    cache: Path, config: ServerConfig, ca_file: Path, environ: Mapping[str, str] | None = None
) -> Iterator[RunningServer]:
    """Run MiniStack until the context ends. Raises ``ServerUnavailable`` when it cannot run here."""
    python = ensure_venv(cache, NAME, REQUIREMENTS, environ)
    port = free_port()
    inherited = os.environ if environ is None else environ
    mine = ("AWS_", "MINISTACK_", "LOCALSTACK_", "S3_", "PYTHON")
    settings = {key: value for key, value in inherited.items() if not key.startswith(mine)}
    settings.update(
        AUTH="true",
        BIND_HOST="127.0.0.1",
        GATEWAY_PORT=str(port),
        SERVICES="s3,sts,iam",
        SFTP_ENABLED="0",
        IOT_MTLS_ENABLED="0",
        LOG_LEVEL="WARNING",
        MINISTACK_REGION=config.region,
        TMPDIR=str(config.folder),
        S3_DATA_DIR=str(config.folder / "objects"),
        DOCKER_HOST=f"unix://{config.folder / 'absent.sock'}",
        USE_SSL="1",
        MINISTACK_SSL_CERT=str(config.certificate),
        MINISTACK_SSL_KEY=str(config.private_key),
        AWS_ACCESS_KEY_ID="ROOT" + secrets.token_hex(8).upper(),
        AWS_SECRET_ACCESS_KEY=secrets.token_hex(20),
        BOOT_KEY=config.access_key_id,
        BOOT_SECRET=config.secret_access_key,
    )
    with running({NAME: [str(python), "-c", BOOT]}, settings, config.folder) as children:
        server = RunningServer(NAME, port, config, ca_file)
        wait_until_healthy(NAME, f"{server.endpoint_url}/_ministack/health", ca_file, children, config.folder)
        yield server
