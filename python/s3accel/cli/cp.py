"""`s3accel cp`: files, folders or standard input to S3, and back."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from s3accel.checksums import ALGORITHMS
from s3accel.credentials import default_provider
from s3accel.errors import ConfigError, S3AccelError
from s3accel.transfer import Client
from s3accel.transfer.journaled import JournaledUploader
from s3accel.transfer.route import ACCELERATE, ROUTES

from .downloads import STDOUT, StderrReporter, fetch
from .exits import Exit, exit_of
from .jobs import STDIN, Job, content_type_of, find_jobs
from .journalrun import note_settings, run_journal
from .outcome import Summary
from .report import Reporter, new_reporter
from .run import Stop, run_jobs
from .values import CONNECT_TO, METADATA, S3_URL, SIZE, S3Url
from .verbose import logging_to_stderr

if TYPE_CHECKING:
    from s3accel.transfer import ProgressEvent, UploadResult

__all__ = ["cp"]

PAYLOADS = ("auto", "signed-chunks", "signed", "unsigned-trailer", "unsigned")
#: Bytes in one read from standard input.
STDIN_BLOCK = 1 << 20
#: Seconds to wait at the end of standard input for a Ctrl-C that may have ended the producer.
END_PAUSE = 0.1


@click.command(
    short_help="Copy files, folders or a stream to S3, or from it.",
    epilog="Sizes: 65536, 64KiB, 8MiB, 5MB. Credentials: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, "
    "or (with botocore installed) AWS's usual chain. Exit codes: see s3accel --help.",
)
@click.argument("sources", metavar="SRC...", nargs=-1, required=True)
@click.argument("destination", metavar="DST")
@click.option(
    "-r", "--recursive", is_flag=True, help="What is in folders or below prefixes, with the names there."
)
@click.option(
    "--region", metavar="NAME", help="The bucket's own region. Default: AWS_REGION, AWS_DEFAULT_REGION."
)
@click.option(
    "--route",
    type=click.Choice(["auto", *ROUTES]),
    help="Through the bucket's accelerated host, the regional one, or whichever is faster, measured meanwhile. Default: "
    "accelerate, unless --endpoint-url.",
)
@click.option(
    "--accelerate/--no-accelerate", default=None, help="Short for --route accelerate and --route regional."
)
@click.option("--dualstack", is_flag=True, help="Hosts with IPv6 and IPv4.")
@click.option("--endpoint-url", metavar="URL", help="Another S3 service: https://host[:port].")
@click.option(
    "--connect-to",
    metavar="HOST:PORT=ADDR:PORT",
    type=CONNECT_TO,
    multiple=True,
    help="Connect elsewhere for a host name; TLS still checks the name. May be repeated.",
)
@click.option(
    "--ca-file", metavar="FILE", help="PEM file of the authorities to trust instead of the system's."
)
@click.option(
    "--payload",
    type=click.Choice(PAYLOADS),
    default="auto",
    show_default=True,
    help="How the body is protected.",
)
@click.option(
    "--checksum",
    type=click.Choice([*ALGORITHMS, "none"]),
    default="crc64nvme",
    show_default=True,
    help="Computed while sending; S3 compares it.",
)
@click.option(
    "--chunk-size", metavar="SIZE", type=SIZE, help="Payload bytes in one signed chunk, 8KiB to 16MiB."
)
@click.option(
    "--part-size", metavar="SIZE", type=SIZE, help="Bytes in one part of a multipart upload, 5MiB to 5GiB."
)
@click.option(
    "--concurrency",
    metavar="N",
    type=click.IntRange(1, 256),
    default=8,
    show_default=True,
    help="Requests at the same time.",
)
@click.option("--content-type", metavar="TYPE", help="For all objects. Default: from each file's name.")
@click.option(
    "--metadata", metavar="NAME=VALUE", type=METADATA, multiple=True, help="User metadata; may be repeated."
)
@click.option(
    "--allow-http-host", metavar="HOST", help="The one host that may be spoken to without TLS. Never AWS."
)
@click.option(
    "--journal",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Keep every job and finished part in FILE: nothing is lost by a crash, and resume goes on. Files only.",
)
@click.option(
    "--resume/--no-resume",
    default=True,
    show_default=True,
    help="Downloads: keep what arrived of a large object after a failure, and go on from it.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line: every object, then a summary.")
@click.option("-q", "--quiet", is_flag=True, help="Only errors.")
@click.option("-v", "--verbose", count=True, help="Log to standard error, redacted; -vv for every request.")
def cp(sources: tuple[str, ...], destination: str, **options: Any) -> Exit:
    """Copy SRC to S3, signed chunk by chunk, or from S3, checked as a whole.

    \b
    s3accel cp FILE s3://bucket/key        one file, under that key
    s3accel cp FILE... s3://bucket/prefix/ many files, each under its own name
    s3accel cp -r FOLDER s3://bucket/prefix/   what is in the folder, below the prefix
    producer | s3accel cp - s3://bucket/key    standard input, of any length
    s3accel cp s3://bucket/key FILE|FOLDER|-   one object, to a file or standard output
    s3accel cp -r s3://bucket/prefix/ FOLDER   what is below a prefix

    A destination that ends in '/' (or names only a bucket) is a prefix. With several sources, what comes from a
    folder goes below prefix/FOLDER/. Keys are taken letter by letter. Ctrl-C ends the uploads under way and aborts
    their multipart uploads.
    """
    down = sources[0].lower().startswith("s3://") and not destination.lower().startswith("s3://")
    reporter = StderrReporter(options["quiet"]) if down and destination == STDOUT else new_reporter(**options)
    with logging_to_stderr(options["verbose"]), reporter:
        summary = Summary(downloads=down)
        try:
            if down:
                code = fetch(sources, destination, reporter, summary, _client_settings(options), options)
            else:
                code = _copy(sources, _remote(destination), reporter, summary, options)
        except (S3AccelError, OSError) as error:
            reporter.fatal(error)
            code = exit_of(error)
            if options["as_json"]:
                reporter.finish(summary, code)
            return code
        reporter.finish(summary, code)
        if summary.abandoned:
            # Threads still hold connections that may not end for a minute; the interpreter would wait for them.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        return code


def _remote(destination: str) -> S3Url:
    context = click.get_current_context()
    parameter = next(one for one in context.command.params if one.name == "destination")
    if not destination.lower().startswith("s3://"):
        raise click.BadParameter(
            f"{destination!r} is no S3 address, and neither is the source; one of them must be s3://bucket/key",
            context,
            parameter,
        )
    return S3_URL.convert(destination, parameter, context)


def _copy(
    sources: tuple[str, ...],
    destination: S3Url,
    reporter: Reporter,
    summary: Summary,
    options: dict[str, Any],
) -> Exit:
    def skipped(path: str, reason: str) -> None:
        summary.skipped += 1
        reporter.skipped(path, reason)

    if options["journal"] is not None and STDIN in sources:
        raise ConfigError("cp: standard input cannot be journaled: after a crash it could not be read again")
    jobs = find_jobs(sources, destination, recursive=options["recursive"], skipped=skipped)
    settings = _client_settings(options)
    client = Client(**settings)
    try:
        # Whatever would fail for every object is asked before the first one.
        client.endpoint(destination.bucket)
        settings["credentials"].load()
        if options["journal"] is not None:
            return _journaled(client, settings, jobs, destination.bucket, reporter, summary, options)
        reporter.begin(jobs)
        upload = _uploader(client, destination.bucket, options)
        return run_jobs(
            jobs, destination.bucket, upload, reporter, workers=options["concurrency"], summary=summary
        )
    finally:
        if not summary.abandoned:
            client.close()


def _journaled(
    client: Client,
    settings: dict[str, Any],
    jobs: list[Job],
    bucket: str,
    reporter: Reporter,
    summary: Summary,
    options: dict[str, Any],
) -> Exit:
    metadata = dict(options["metadata"]) or None
    with JournaledUploader(client, options["journal"]) as uploads:
        note_settings(uploads, settings)
        uploads.submit_many(
            (
                job.source,
                bucket,
                job.key,
                {
                    "content_type": options["content_type"] or content_type_of(job.source),
                    "metadata": metadata,
                },
            )
            for job in jobs
        )
        return run_journal(uploads, reporter, summary)


def _client_settings(options: dict[str, Any]) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "region": options["region"],
        "credentials": default_provider(),
        "accelerate": _accelerate(options),
        "dualstack": options["dualstack"],
        "endpoint_url": options["endpoint_url"],
        "connect_to": dict(options["connect_to"]) or None,
        "ca_file": options["ca_file"],
        "payload": options["payload"],
        "checksum": None if options["checksum"] == "none" else options["checksum"],
        "part_size": options["part_size"],
        "max_concurrency": options["concurrency"],
        "allow_http_host": options["allow_http_host"],
    }
    if options["chunk_size"] is not None:
        settings["chunk_size"] = options["chunk_size"]
    return settings


def _accelerate(options: dict[str, Any]) -> bool | str:
    route, accelerate = options["route"], options["accelerate"]
    if route is None:
        return options["endpoint_url"] is None if accelerate is None else bool(accelerate)
    if accelerate is not None and route != ROUTES[not accelerate]:
        raise ConfigError(
            f"cp: --route {route} and --{'' if accelerate else 'no-'}accelerate contradict each other"
        )
    return "auto" if route == "auto" else bool(route == ACCELERATE)


def _uploader(
    client: Client, bucket: str, options: dict[str, Any]
) -> Callable[[Job, Callable[[ProgressEvent], None], Stop], UploadResult]:
    metadata = dict(options["metadata"]) or None

    def upload(job: Job, progress: Callable[[ProgressEvent], None], stop: Stop) -> UploadResult:
        stop.check()
        return client.upload(
            _stdin(stop) if job.source == STDIN else job.source,
            bucket,
            job.key,
            content_type=options["content_type"] or content_type_of(job.source),
            metadata=metadata,
            progress=progress,
        )

    return upload


def _stdin(stop: Stop) -> Any:
    """Standard input: the file behind it if it is one (its size is known then), else its blocks as they come."""
    stream = sys.stdin.buffer
    try:
        number = stream.fileno()
    except (OSError, ValueError):
        return stream
    if stat.S_ISREG(os.fstat(number).st_mode):
        return stream
    return _blocks(number, stop)


def _blocks(number: int, stop: Stop) -> Iterator[bytes]:
    while block := os.read(number, STDIN_BLOCK):
        stop.check()
        yield block
    # Ctrl-C reaches a whole pipeline: the producer ends, and its half output must not become an object because
    # the end of the pipe was seen before our own signal.
    stop.event.wait(END_PAUSE)
    stop.check()
