"""`s3accel doctor`: why uploads to a bucket work or do not, and how fast either route is from here."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from s3accel.transfer.doctor import FAIL, OK, SKIP, WARN, Doctor

from .connection import connection_options, connection_settings
from .exits import Exit, in_options
from .report import printable
from .values import S3_URL, SIZE, S3Url, count_text
from .verbose import logging_to_stderr

if TYPE_CHECKING:
    from s3accel.transfer.doctor import Check

__all__ = ["doctor"]

_MARKS = {OK: ("ok", "green"), WARN: ("warn", "yellow"), FAIL: ("FAIL", "red"), SKIP: ("-", "bright_black")}


@click.command(short_help="Look at everything that uploads to a bucket depend on.")
@click.argument("target", metavar="s3://BUCKET", type=S3_URL)
@click.option(
    "--accelerate/--no-accelerate",
    default=None,
    help="Look at the accelerated route too, or only at the regional one. Default: both, unless --endpoint-url.",
)
@click.option("--write-test", is_flag=True, help="Store an object of 64 bytes and delete it.")
@click.option(
    "--throughput", metavar="SIZE", type=SIZE, help="Upload SIZE bytes through each route, and delete them."
)
@click.option(
    "--connections",
    metavar="N",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    help="At the same time, for --throughput.",
)
@connection_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line: every check, then a summary.")
def doctor(target: S3Url, **options: Any) -> Exit:
    """Look at everything that uploads to a bucket depend on, line by line, with what to do.

    The name, the credentials (never shown), name lookup, region, clock, TLS and certificates, acceleration,
    permissions, round trips of both routes and, if asked for, their throughput. Nothing in the bucket is changed
    without --write-test or --throughput; what these store lies under .s3accel-doctor/ and is deleted.

    Exit code: 0 if nothing failed, 1 if something did, 2 for wrong arguments.
    """
    accelerate = options["endpoint_url"] is None if options["accelerate"] is None else options["accelerate"]
    examined = Doctor(
        target.bucket,
        accelerate=accelerate,
        write_test=options["write_test"],
        throughput=options["throughput"] or 0,
        connections=options["connections"],
        **connection_settings(options),
    )
    counts = dict.fromkeys((OK, WARN, FAIL, SKIP), 0)
    show = _json_line if options["as_json"] else _line
    with logging_to_stderr(options["verbose"]):
        for check in examined.checks():
            counts[check.status] += 1
            show(check)
    code = Exit.SOME_FAILED if counts[FAIL] else Exit.DONE
    if options["as_json"]:
        summary = {"event": "summary", "bucket": target.bucket, **counts, "exit_code": int(code)}
        click.echo(json.dumps(summary))
    else:
        failed = count_text(counts[FAIL], "check") if counts[FAIL] else "nothing"
        click.echo(f"{failed} failed, {count_text(counts[WARN], 'warning')}, {counts[OK]} good")
    return code


def _line(check: Check) -> None:
    word, color = _MARKS[check.status]
    name = f"{check.name} ({check.route})" if check.route else check.name
    mark = click.style(f"{word:>4}", fg=color)
    click.echo(f"{mark}  {name}: {printable(check.text)}")
    if check.remedy and check.status in (WARN, FAIL):
        click.echo(f"      what to do: {printable(in_options(check.remedy))}")
    sys.stdout.flush()


def _json_line(check: Check) -> None:
    click.echo(json.dumps({"event": "check", **check.as_dict(), "remedy": in_options(check.remedy)}))
    sys.stdout.flush()
