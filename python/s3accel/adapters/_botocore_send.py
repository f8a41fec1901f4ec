"""Bodies on their way into the socket: the same bytes as urllib3 sends, without its copies.

urllib3 joins each block of 128 KiB with its chunk's frame, which copies it, and TLS then makes nine records of it,
the last of a few bytes. Here nearly all of a body goes to TLS from where it is in memory, in whole records.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["RECORD", "sending"]

RECORD = 16_384  #: bytes in a TLS record


def sending(original: Any) -> Any:
    """For ``AWSConnection.request``: bodies of ours are sent by `_Blocks`."""

    def request(
        self: Any, method: str, url: str, body: Any = None, headers: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        # Since urllib3 2 this says how a body is framed. A subclass of our bodies may have a `read` of its own.
        if "chunked" in kwargs and "s3accel_pieces" in type(body).__dict__:
            body = _Blocks(self, body, bool(kwargs["chunked"]))
        return original(self, method, url, body, headers, *args, **kwargs)

    return request


class _Blocks:
    """What urllib3 iterates over to send a body.

    The first block goes out as urllib3 sends it. If there are more, they are framed and sent from here, and for
    urllib3 the iteration is at its end. No send is longer than one of urllib3's: a socket's timeout is for each,
    and a slow link must not miss it.
    """

    def __init__(self, connection: Any, body: Any, framed: bool) -> None:
        self._connection, self._body, self._framed = connection, body, framed

    def __iter__(self) -> Iterator[bytes]:
        connection, body, block = self._connection, self._body, self._connection.blocksize
        ours = False
        while data := body.read(block):
            yield data
            # The headers are out, and the first block behind them?
            if ours := getattr(connection, "_HTTPConnection__state", None) == "Request-sent":
                break
        if not ours:
            return
        record, at = memoryview(bytearray(RECORD)), 0
        while pieces := body.s3accel_pieces(block):
            if self._framed:
                pieces = [b"%x\r\n" % sum(map(len, pieces)), *pieces, b"\r\n"]
            for piece in pieces:
                size = len(piece)
                if at + size < RECORD:
                    record[at : at + size] = piece
                    at += size
                    continue
                view = memoryview(piece)
                if at:
                    record[at:] = view[: RECORD - at]
                    connection.send(record)
                    view = view[RECORD - at :]
                whole = len(view) // RECORD * RECORD
                if whole:
                    connection.send(view[:whole])
                at = len(view) - whole
                record[:at] = view[whole:]
        if at:
            connection.send(record[:at])
