"""`s3accel accelerate`: Transfer Acceleration of a bucket, on, off, or how it stands."""

from __future__ import annotations

import json
from typing import Any

import click

from s3accel.credentials import default_provider
from s3accel.errors import EndpointError
from s3accel.transfer.bucketconfig import ENABLED, SUSPENDED, BucketConfig
from s3accel.transfer.endpoint import USE_REGIONAL

from .connection import connection_options, connection_settings
from .exits import Exit
from .verbose import logging_to_stderr

__all__ = ["accelerate"]

_SAID = {
    ENABLED: "enabled",
    SUSPENDED: "suspended: the accelerated host refuses every request",
    "": "not configured: the accelerated host refuses every request",
}


@click.command(short_help="Turn Transfer Acceleration of a bucket on or off.")
@click.argument("action", metavar="on|off|status", type=click.Choice(["on", "off", "status"]))
@click.argument("bucket", metavar="BUCKET")
@connection_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def accelerate(action: str, bucket: str, **options: Any) -> Exit:
    """Turn Transfer Acceleration of BUCKET on or off, or say how it stands.

    The request goes to the regional endpoint and needs s3:PutAccelerateConfiguration (status:
    s3:GetAccelerateConfiguration). Acceleration is charged by the byte while it is used; off suspends it.
    Buckets with a dot in the name cannot be accelerated.

    Exit code: 0 if it was done or said; otherwise as for the other commands.
    """
    name = bucket[5:].rstrip("/") if bucket.lower().startswith("s3://") else bucket
    if "/" in name or not name:
        raise click.UsageError(f"{bucket!r} is no bucket; write it as my-bucket or s3://my-bucket")
    settings = connection_settings(options)
    with (
        logging_to_stderr(options["verbose"]),
        BucketConfig(credentials=default_provider(), **settings) as config,
    ):
        if action != "status":
            _set(config, name, action == "on")
        status = ENABLED if action == "on" else SUSPENDED if action == "off" else config.status(name)
    if options["as_json"]:
        click.echo(
            json.dumps({"bucket": name, "acceleration": status or None, "changed": action != "status"})
        )
        return Exit.DONE
    click.echo(f"{name}: Transfer Acceleration is {_SAID[status]}")
    if action == "on":
        # S3 User Guide, "Enabling and using S3 Transfer Acceleration"; the API page says 30 minutes.
        click.echo("The accelerated host can be used at once; it may take 20 to 30 minutes to become faster.")
    return Exit.DONE


def _set(config: BucketConfig, bucket: str, enabled: bool) -> None:
    try:
        config.set(bucket, enabled)
    except EndpointError as error:
        if error.remedy != USE_REGIONAL:
            raise
        # The regional endpoint is no remedy for whoever wants acceleration on.
        raise EndpointError(error.reason, "only a bucket of another name can be accelerated") from error
