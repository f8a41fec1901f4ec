"""What libcurl is given of a request: header lines, and where to connect."""

from __future__ import annotations

from collections.abc import Mapping

from s3accel.errors import ConfigError
from s3accel.transfer.messages import Request

__all__ = ["ConnectTo", "header_lines"]


def header_lines(request: Request) -> list[str]:
    """libcurl's header list: ours, and an empty line for each header it would add on its own."""
    lines = []
    expect = False
    for name, value in request.headers:
        lowered = name.lower()
        if lowered == "content-length":
            continue  # libcurl writes it from INFILESIZE
        expect = expect or lowered == "expect"
        lines.append(f"{name}: {value}" if value else f"{name};")
    if not expect:
        lines.append("Expect:")
    lines.append("Accept:")
    return lines


class ConnectTo:
    """host:port -> libcurl's CONNECT_TO entry; exact names first, then the longest matching suffix, then ``*``."""

    def __init__(self, mapping: Mapping[str, str]) -> None:
        self._exact: dict[str, str] = {}
        self._suffixes: list[tuple[str, str]] = []
        for source, target in mapping.items():
            host, separator, port = target.rpartition(":")
            if not separator or not host or not port.isdigit():
                raise ConfigError(f"connect_to[{source!r}] is {target!r}; it must be 'address:port'")
            if source.startswith("*"):
                self._suffixes.append((source[1:].lower(), target))
            elif source.rpartition(":")[2].isdigit():
                self._exact[source.lower()] = target
            else:
                raise ConfigError(
                    f"connect_to has {source!r}; it must be 'host:port', '*.domain:port' or '*'"
                )
        self._suffixes.sort(key=lambda item: -len(item[0]))

    def lookup(self, origin: tuple[str, str]) -> str | None:
        if not self._exact and not self._suffixes:
            return None
        scheme, authority = origin
        if not authority.rpartition(":")[2].isdigit() or authority.endswith("]"):
            authority += ":443" if scheme == "https" else ":80"
        authority = authority.lower()
        target = self._exact.get(authority)
        if target is None:
            target = next((value for suffix, value in self._suffixes if authority.endswith(suffix)), None)
        return None if target is None else f"{authority}:{target}"
