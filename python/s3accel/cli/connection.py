"""The options that say how S3 is reached, for commands that talk to one bucket."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from .values import CONNECT_TO

__all__ = ["connection_options", "connection_settings"]

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--region", metavar="NAME", help="The bucket's own region. Default: AWS_REGION, AWS_DEFAULT_REGION."
    ),
    click.option("--dualstack", is_flag=True, help="Hosts with IPv6 and IPv4."),
    click.option("--endpoint-url", metavar="URL", help="Another S3 service: https://host[:port]."),
    click.option(
        "--connect-to",
        metavar="HOST:PORT=ADDR:PORT",
        type=CONNECT_TO,
        multiple=True,
        help="Connect elsewhere for a host name (* for all); TLS still checks the name. May be repeated.",
    ),
    click.option(
        "--ca-file", metavar="FILE", help="PEM file of the authorities to trust instead of the system's."
    ),
    click.option(
        "--allow-http-host", metavar="HOST", help="The one host that may be spoken to without TLS. Never AWS."
    ),
    click.option(
        "-v", "--verbose", count=True, help="Log to standard error, redacted; -vv for every request."
    ),
)


def connection_options(function: F) -> F:
    """Adds them to a command; it gets them as keyword arguments."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def connection_settings(options: Mapping[str, Any]) -> dict[str, Any]:
    """The same as arguments of the library."""
    names = ("region", "dualstack", "endpoint_url", "ca_file", "allow_http_host")
    return {
        **{name: options[name] for name in names},
        "connect_to": dict(options["connect_to"]) or None,
    }
