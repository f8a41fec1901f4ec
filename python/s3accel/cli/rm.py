"""`s3accel rm`: deletes objects."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

import click

from s3accel.credentials import default_provider
from s3accel.errors import ConfigError
from s3accel.transfer import Client
from s3accel.transfer.deletes import DeleteOutcome

from .connection import connection_options, connection_settings
from .exits import Exit, exit_of, overall
from .outcome import error_dict
from .report import error_lines, printable
from .values import S3_URL, S3Url, count_text, size_text
from .verbose import logging_to_stderr

__all__ = ["rm"]


@click.command(short_help="Delete objects.")
@click.argument("urls", metavar="s3://BUCKET/KEY...", nargs=-1, required=True, type=S3_URL)
@click.option(
    "-r", "--recursive", is_flag=True, help="What is below a prefix: KEY/ and everything behind it."
)
@click.option("--yes", is_flag=True, help="Do not ask, with -r. Needed where there is no terminal.")
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line: every key, then a summary.")
@click.option("-q", "--quiet", is_flag=True, help="Only errors.")
@connection_options
def rm(urls: tuple[S3Url, ...], **options: Any) -> Exit:
    """Delete objects, up to 1,000 with one request.

    \b
    s3accel rm s3://bucket/key...          these objects (S3 does not say whether there were any)
    s3accel rm -r s3://bucket/prefix/      everything below a prefix; s3://bucket: everything in the bucket

    With -r the objects are counted and you are asked first, unless --yes is given. In a bucket with versioning
    the older versions stay. Requests go to the regional endpoint.
    """
    bucket = urls[0].bucket
    if any(url.bucket != bucket for url in urls):
        raise ConfigError("rm: the objects are in several buckets; use one command for each")
    if not options["recursive"] and any(not url.key for url in urls):
        raise ConfigError(f"rm: {str(urls[0])!r} names no object; add -r to delete everything in the bucket")
    started = time.monotonic()
    counted = {"deleted": 0, "would delete": 0, "failed": 0}
    failures: list[Exit] = []
    with (
        logging_to_stderr(options["verbose"]),
        Client(credentials=default_provider(), accelerate=False, **connection_settings(options)) as client,
    ):
        keys = _keys(client, urls, options)
        dry = options["dry_run"]
        outcomes = (DeleteOutcome(key) for key in keys) if dry else client.delete_many(bucket, keys)
        for outcome in outcomes:
            status = "failed" if outcome.error is not None else "would delete" if dry else "deleted"
            counted[status] += 1
            if outcome.error is not None:
                failures.append(exit_of(outcome.error))
            _report(bucket, outcome, status, options)
    done = counted["would delete" if dry else "deleted"]
    code = overall(failures, done)
    if options["as_json"]:
        summary: dict[str, Any] = {"event": "summary", "dry_run": dry, "deleted": counted["deleted"]}
        summary |= {"would_delete": counted["would delete"], "failed": counted["failed"]}
        summary |= {"seconds": round(time.monotonic() - started, 6), "exit_code": int(code)}
        sys.stdout.write(json.dumps(summary) + "\n")
    elif not options["quiet"]:
        text = f"{count_text(done, 'object')} {'would be ' if dry else ''}deleted"
        sys.stdout.write(text + (f"; {counted['failed']:,} failed\n" if failures else "\n"))
    sys.stdout.flush()
    return code


def _keys(client: Client, urls: tuple[S3Url, ...], options: dict[str, Any]) -> Iterable[str]:
    if not options["recursive"]:
        return [url.key for url in urls]
    prefixes = [url.key if url.is_prefix else url.key + "/" for url in urls]
    if options["yes"] or options["dry_run"]:
        return _below(client, urls[0].bucket, prefixes)
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ConfigError(
            "rm: -r without a terminal to ask at needs --yes (or --dry-run); nothing was deleted"
        )
    found = [item for prefix in prefixes for item in client.list(urls[0].bucket, prefix)]
    what = f"{count_text(len(found), 'object')} ({size_text(sum(item.size for item in found))})"
    where = ", ".join(printable(f"s3://{urls[0].bucket}/{prefix}") for prefix in prefixes)
    if found and not click.confirm(f"Delete {what} below {where}?", err=True):
        raise ConfigError("rm: not confirmed; nothing was deleted")
    return [item.key for item in found]


def _below(client: Client, bucket: str, prefixes: Iterable[str]) -> Iterator[str]:
    for prefix in prefixes:
        for item in client.list(bucket, prefix):
            yield item.key


def _report(bucket: str, outcome: DeleteOutcome, status: str, options: dict[str, Any]) -> None:
    if options["as_json"]:
        line: dict[str, Any] = {"event": "object", "status": status, "bucket": bucket, "key": outcome.key}
        if outcome.error is not None:
            line["error"] = error_dict(outcome.error)
        sys.stdout.write(json.dumps(line) + "\n")
        return
    url = f"s3://{bucket}/{outcome.key}"
    if outcome.error is not None:
        for text in error_lines(f"failed: {url}: ", outcome.error):
            sys.stderr.write(text + "\n")
    elif not options["quiet"]:
        sys.stdout.write(printable(f"{status}: {url}") + "\n")
