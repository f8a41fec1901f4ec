"""`s3accel serve`: the local endpoint in the foreground."""

from __future__ import annotations

import shlex
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path

import click

from s3accel.credentials import Credentials
from s3accel.errors import ConfigError
from s3accel.local import LocalServer

from .exits import Exit
from .run import Terminated, sigterm_as_interrupt
from .values import count_text, size_text

__all__ = ["serve"]


@click.command(short_help="Run a local S3 endpoint that verifies every byte.")
@click.option(
    "--root",
    metavar="DIR",
    type=click.Path(file_okay=False),
    help="Keep objects there. Default: a temporary folder that is deleted at the end.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0 (the default) takes a free one.")
@click.option(
    "--region", metavar="NAME", default="us-east-1", show_default=True, help="The endpoint's one region."
)
@click.option(
    "--access-key",
    metavar="ID",
    envvar="S3ACCEL_SERVE_ACCESS_KEY",
    show_envvar=True,
    help="The one key that may sign. Default: a random one.",
)
@click.option(
    "--secret-key",
    metavar="SECRET",
    envvar="S3ACCEL_SERVE_SECRET_KEY",
    show_envvar=True,
    help="Its secret. On the command line other users of this machine can read it; prefer the variable.",
)
@click.option("--no-tls", is_flag=True, help="Plain HTTP.")
@click.option(
    "--ca-out",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Put a copy of the CA certificate there.",
)
def serve(
    root: str | None,
    port: int,
    region: str,
    access_key: str | None,
    secret_key: str | None,
    no_tls: bool,
    ca_out: str | None,
) -> Exit:
    """Run an S3 endpoint on 127.0.0.1 until Ctrl-C, and print how to reach it.

    It answers under every S3 host name, the accelerated ones included, with a certificate from an authority made
    for this run, and checks every signature, chunk, checksum and date as S3 does. For tests and development: do not
    give it keys that are valid elsewhere.
    """
    if bool(access_key) != bool(secret_key):
        raise ConfigError("serve: give --access-key and --secret-key together, or neither for a random pair")
    if no_tls and ca_out:
        raise ConfigError("serve: --ca-out and --no-tls exclude each other: without TLS there is no CA")
    given: Mapping[str, str | Credentials] | None = None
    if access_key and secret_key:
        given = {access_key: secret_key}
    server = LocalServer(root, given, tls=not no_tls, port=port, region=region)
    with sigterm_as_interrupt():
        try:
            with server:
                ca_file = _copy_ca(server, ca_out) if not no_tls else None
                click.echo(_how_to_reach(server, ca_file, secret_is_ours=given is None))
                try:
                    threading.Event().wait()
                finally:
                    _say_what_was(server)
        except Terminated:
            return Exit.TERMINATED
        except KeyboardInterrupt:
            # Ctrl-C is the way to end this command, so it is no failure.
            return Exit.DONE
    return Exit.DONE


def _copy_ca(server: LocalServer, ca_out: str | None) -> Path:
    if ca_out is None:
        return server.ca_file
    try:
        shutil.copyfile(server.ca_file, ca_out)
    except OSError as error:
        raise ConfigError(
            f"serve: the CA certificate cannot be written to {ca_out!r}: {error.strerror}"
        ) from error
    return Path(ca_out).absolute()


def _how_to_reach(server: LocalServer, ca_file: Path | None, *, secret_is_ours: bool) -> str:
    # A secret that was given is not printed. Where these lines are pasted the variable may not be set: an empty
    # secret would look like wrong credentials, so the shell shall say it.
    given = '"${S3ACCEL_SERVE_SECRET_KEY:?set it to the secret that serve was given}"'
    secret = shlex.quote(server.secret_access_key) if secret_is_ours else given
    lines = [
        f"S3 endpoint at {server.endpoint_url}, region {server.region}, objects in {server.root}",
        "",
        "For boto3, the aws command and other clients:",
        f"  export AWS_ACCESS_KEY_ID={shlex.quote(server.access_key_id)}",
        f"  export AWS_SECRET_ACCESS_KEY={secret}",
        f"  export AWS_REGION={server.region} AWS_DEFAULT_REGION={server.region}",
        f"  export AWS_ENDPOINT_URL_S3={server.endpoint_url}",
    ]
    if ca_file is not None:
        lines += [
            f"  export AWS_CA_BUNDLE={shlex.quote(str(ca_file))}",
            "",
            "For s3accel, under the accelerated and every other name of S3 (with the two keys above):",
            f"  s3accel cp FILE s3://my-bucket/ --connect-to '*={server.address}' --ca-file {shlex.quote(str(ca_file))}",
            "ls, rm, doctor, accelerate take the same two options.",
        ]
    else:
        lines += [
            "",
            "With s3accel (with the two keys above):",
            f"  s3accel cp FILE s3://my-bucket/ --endpoint-url {server.endpoint_url} --allow-http-host 127.0.0.1",
        ]
    lines += ["", "The first object written to a bucket makes the bucket. Ctrl-C ends the endpoint."]
    return "\n".join(lines)


def _say_what_was(server: LocalServer) -> None:
    stats = server.stats.snapshot()
    refused = ", ".join(f"{count} {code}" for code, count in sorted(stats.refusals.items()))
    click.echo(
        f"\n{count_text(stats.requests, 'request')}, {count_text(stats.signatures_verified, 'signature')} and "
        f"{count_text(stats.chunks_verified, 'chunk')} verified, {size_text(stats.bytes_received)} received"
        + (f"; refused: {refused}" if refused else ""),
        err=True,
    )
