"""`s3accel ls`: what is in a bucket."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import click

from s3accel.credentials import default_provider
from s3accel.transfer import Client, ObjectSummary

from .connection import connection_options, connection_settings
from .exits import Exit
from .report import printable
from .values import S3_URL, S3Url, count_text, size_text
from .verbose import logging_to_stderr

__all__ = ["ls"]


@click.command(short_help="List objects.")
@click.argument("url", metavar="s3://BUCKET[/PREFIX]", type=S3_URL)
@click.option("-r", "--recursive", is_flag=True, help="All objects, not only those up to the next '/'.")
@click.option("--human", is_flag=True, help="Sizes as KiB, MiB, ..., and a line with the total.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, then a summary.")
@connection_options
def ls(url: S3Url, recursive: bool, human: bool, as_json: bool, **options: Any) -> Exit:
    """List what is in BUCKET below PREFIX, in S3's order: time of the last change, bytes, key.

    PREFIX is taken letter by letter: s3://bucket/a shows a1 and a/ as well. Requests go to the regional endpoint.
    """
    count = size = 0
    with (
        logging_to_stderr(options["verbose"]),
        Client(credentials=default_provider(), accelerate=False, **connection_settings(options)) as client,
    ):
        for item in _items(client, url, recursive):
            count += not item.is_prefix
            size += item.size
            line = json.dumps(_as_dict(url.bucket, item)) if as_json else _line(item, human)
            sys.stdout.write(line + "\n")
    if as_json:
        sys.stdout.write(json.dumps({"event": "summary", "objects": count, "bytes": size}) + "\n")
    elif human:
        sys.stdout.write(f"{count_text(count, 'object')}, {size_text(size)}\n")
    sys.stdout.flush()
    return Exit.DONE


def _items(client: Client, url: S3Url, recursive: bool) -> Iterator[ObjectSummary]:
    return client.list(url.bucket, url.key, delimiter=None if recursive else "/")


def _as_dict(bucket: str, item: ObjectSummary) -> dict[str, Any]:
    if item.is_prefix:
        return {"event": "prefix", "bucket": bucket, "key": item.key}
    return {
        "event": "object",
        "bucket": bucket,
        "key": item.key,
        "size": item.size,
        "etag": item.etag,
        "last_modified": item.last_modified,
        "storage_class": item.storage_class,
    }


def _line(item: ObjectSummary, human: bool) -> str:
    if item.is_prefix:
        return f"{'':19}  {'PRE':>14}  {printable(item.key)}"
    # S3 writes 2026-08-23T10:11:12.000Z: UTC, and the milliseconds are always 0.
    moment = item.last_modified[:19].replace("T", " ")
    return f"{moment:19}  {size_text(item.size) if human else item.size:>14}  {printable(item.key)}"
