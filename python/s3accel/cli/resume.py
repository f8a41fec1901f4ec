"""`s3accel resume`: goes on with what a journal holds."""

from __future__ import annotations

import os
from typing import Any

import click
from click.core import ParameterSource

from s3accel.credentials import default_provider
from s3accel.errors import ConfigError, S3AccelError
from s3accel.transfer import Client
from s3accel.transfer.journal import Journal
from s3accel.transfer.journaled import JournaledUploader
from s3accel.transfer.route import ACCELERATE, ROUTES

from .connection import connection_options, connection_settings
from .exits import Exit, exit_of
from .journalrun import note_settings, noted_settings, run_journal
from .outcome import Summary
from .report import new_reporter
from .verbose import logging_to_stderr

__all__ = ["resume"]


@click.command(
    short_help="Go on with the uploads of a journal.",
    epilog="Credentials are never in a journal: they come from the environment, as for cp. Exit codes: see s3accel --help.",
)
@click.argument("journal", type=click.Path(dir_okay=False))
@connection_options
@click.option(
    "--route",
    type=click.Choice(["auto", *ROUTES]),
    help="Through the bucket's accelerated host, the regional one, or whichever is faster. Default: as cp was told.",
)
@click.option(
    "--accelerate/--no-accelerate", default=None, help="Short for --route accelerate and --route regional."
)
@click.option(
    "--concurrency", metavar="N", type=click.IntRange(1, 256), default=8, help="Requests at the same time."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line: every object, then a summary.")
@click.option("-q", "--quiet", is_flag=True, help="Only errors.")
def resume(journal: str, **options: Any) -> Exit:
    """Go on with every unfinished job of JOURNAL (made by `cp --journal`).

    Parts that S3 has already are not sent again, multipart uploads that nobody needs any more are aborted, and every job
    ends in exactly one recorded outcome. Options that are not given are those of the `cp` that made the journal.
    Exit code 0: nothing is left and nothing failed; 8: jobs are left for another time.
    """
    reporter = new_reporter(**options)
    with logging_to_stderr(options["verbose"]), reporter:
        summary = Summary()
        try:
            code = _resume(journal, options, reporter, summary)
        except (S3AccelError, OSError) as error:
            reporter.fatal(error)
            code = exit_of(error)
            if not options["as_json"]:
                return code
        reporter.finish(summary, code)
        return code


def _resume(path: str, options: dict[str, Any], reporter: Any, summary: Summary) -> Exit:
    if not os.path.exists(path):
        # Not success: a mistyped path would leave its jobs undone in silence, day after day.
        raise ConfigError(
            f"there is no journal {path}: cp --journal {path} makes it; nothing was sent (in a systemd unit,"
            f" ConditionPathExists={os.path.abspath(path)} skips the start until it is there)"
        )
    with Journal(path, readonly=True) as journal:
        settings = noted_settings(journal.noted("settings"))
    given = {
        **connection_settings(options),
        "accelerate": options["accelerate"],
        "max_concurrency": options["concurrency"],
    }
    for name, value in given.items():
        if name not in settings or _was_given({"max_concurrency": "concurrency"}.get(name, name)):
            settings[name] = value
    if options["route"] is not None:
        if options["accelerate"] is not None:
            raise ConfigError("resume: --route and --accelerate say the same; give one of them")
        settings["accelerate"] = "auto" if options["route"] == "auto" else options["route"] == ACCELERATE
    elif _was_given("endpoint_url") and options["accelerate"] is None:
        settings["accelerate"] = None
    if settings.get("accelerate") is None:
        settings["accelerate"] = settings.get("endpoint_url") is None
    settings["credentials"] = default_provider()
    with Client(**settings) as client, JournaledUploader(client, path) as uploads:
        if next(uploads.journal.pending(), None) is not None:
            settings["credentials"].load()  # would fail for every object
        note_settings(uploads, settings)
        return run_journal(uploads, reporter, summary)


def _was_given(name: str) -> bool:
    return click.get_current_context().get_parameter_source(name) is ParameterSource.COMMANDLINE
