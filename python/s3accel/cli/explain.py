"""`s3accel explain`: why S3 refused a request, from a saved error body, log or raw HTTP answer."""

from __future__ import annotations

import json
import os
from typing import BinaryIO

import click

from s3accel.credentials import BotocoreProvider
from s3accel.explain import SignedRequest, explain
from s3accel.explain.request import curl_request

from .exits import Exit

__all__ = ["explain_command"]

#: An error and a request head are a few KiB each; the rest of a log is cut off by whoever saved it.
MAX_INPUT = 4 << 20


def _read(stream: BinaryIO, what: str) -> bytes:
    data = stream.read(MAX_INPUT + 1)
    if len(data) > MAX_INPUT:
        raise click.UsageError(
            f"{what} is larger than {MAX_INPUT} bytes; cut out the part that holds the error"
        )
    return data


def _request(
    saved: BinaryIO | None, url: str | None, method: str, headers: tuple[str, ...], answer: bytes
) -> SignedRequest | None:
    if saved is not None:
        if url is not None:
            raise click.UsageError("give the request as --request or as --url, not both")
        return SignedRequest.from_http(_read(saved, "the request"))
    if url is None:
        if headers:
            raise click.UsageError("--header needs --url")
        sent = curl_request(answer)  # a log of curl -v holds both
        return None if sent is None else SignedRequest.from_http(sent)
    pairs = []
    for line in headers:
        name, colon, value = line.partition(":")
        if not colon:
            # The line itself stays unsaid: it may be half of a secret.
            raise click.UsageError("--header is written as 'Name: value'")
        pairs.append((name.strip(), value.strip()))
    return SignedRequest(method, url, tuple(pairs))


def _credentials(profile: str | None, use: bool) -> object:
    """From the environment as they stand there, white space and all, or from a profile."""
    if profile is not None:
        return BotocoreProvider(profile)
    access, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    if not use or not access or not secret:
        return None
    return (access, secret, os.environ.get("AWS_SESSION_TOKEN") or None)


@click.command("explain")
@click.argument("file", type=click.File("rb"))
@click.option(
    "--request", "saved", type=click.File("rb"), help="The request as raw HTTP, or what curl -v printed."
)
@click.option("--url", help="The request's URL, for example a presigned one; instead of --request.")
@click.option("--method", default="GET", show_default=True, help="The request's method, with --url.")
@click.option(
    "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="A header of it, with --url."
)
@click.option("--profile", help="Take the credentials of this AWS profile (needs botocore).")
@click.option(
    "--credentials/--no-credentials",
    "use",
    default=True,
    help="Use AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to try the known mistakes (nothing is sent).",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def explain_command(
    file: BinaryIO,
    saved: BinaryIO | None,
    url: str | None,
    method: str,
    headers: tuple[str, ...],
    profile: str | None,
    use: bool,
    as_json: bool,
) -> None:
    """Say why S3 refused a signed request.

    FILE holds S3's error (XML, a raw HTTP answer, or a log around it); - reads standard input. If it is all that
    curl -v printed, the request is in it too: curl -sv URL 2>&1 | s3accel explain -. Nothing is sent anywhere, and no secret, token or signature is printed. Exit code: 0 explained, 1 not explained, 2 the
    input cannot be read.
    """
    answer = _read(file, "the error")
    request = _request(saved, url, method, headers, answer)
    found = explain(request, answer, credentials=_credentials(profile, use))
    click.echo(json.dumps(found.to_dict(), indent=2) if as_json else str(found))
    if found.cause in ("unknown", "no-body"):
        click.get_current_context().exit(int(Exit.SOME_FAILED))
