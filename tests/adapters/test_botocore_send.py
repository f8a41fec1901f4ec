"""What goes into the socket: byte for byte what botocore and urllib3 write, whoever cuts and frames it."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

pytest.importorskip("botocore")
pytest.importorskip("cryptography")

from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from s3accel.adapters import botocore as adapter
from s3accel.adapters._botocore_body import ChunkedBody, Crc32
from s3accel.adapters._botocore_send import RECORD, sending
from s3accel.local.tls import make_certificates
from support.botocore_wire import client, frozen, pure_python

MIB = 1 << 20


class Recorder:
    """An HTTPS server that keeps every byte it is sent. It refuses keys that begin with "refused" before their
    body is sent, and takes all others."""

    def __init__(self, folder: Path) -> None:
        files = make_certificates(folder)
        self.ca_file = files.ca_file
        self._context = files.server_context()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        self.received: list[bytes] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                raw, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(raw,), daemon=True).start()

    def _serve(self, raw: socket.socket) -> None:
        with (
            contextlib.suppress(OSError, ssl.SSLError),
            raw,
            self._context.wrap_socket(raw, server_side=True) as connection,
            connection.makefile("rb") as stream,
        ):
            self._answer(connection, stream)

    def _answer(self, connection: ssl.SSLSocket, stream: IO[bytes]) -> None:
        while line := stream.readline():
            data = [line]
            while data[-1] != b"\r\n":
                data.append(stream.readline())
            head = b"".join(data).lower()
            if b"/refused" in head:
                self.received.append(b"".join(data))
                connection.sendall(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
                continue
            if b"expect:" in head:
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            length = next((int(h[15:]) for h in head.split(b"\r\n") if h[:15] == b"content-length:"), 0)
            data.append(stream.read(length))
            while b"transfer-encoding: chunked" in head and data[-1] != b"0\r\n\r\n":
                size = stream.readline()
                data.append(size + stream.read(int(size, 16) + 2))
            self.received.append(b"".join(data))
            connection.sendall(b'HTTP/1.1 200 OK\r\nETag: "0"\r\nContent-Length: 0\r\n\r\n')

    def close(self) -> None:
        self._listener.close()


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorder]:
    recorder = Recorder(tmp_path_factory.mktemp("recorder"))
    yield recorder
    recorder.close()


@pytest.fixture
def s3(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    adapter.uninstall()
    monkeypatch.setenv("AWS_CA_BUNDLE", str(recorder.ca_file))
    made = client(endpoint_url=recorder.url, s3={"addressing_style": "path"})
    yield made
    made.close()
    adapter.uninstall()


def sent(recorder: Recorder, s3: Any, body: Any, **more: Any) -> bytes:
    recorder.received.clear()
    with frozen():
        s3.put_object(Bucket="bucket", Key="key", Body=body, **more)
    (whole,) = recorder.received
    return whole


class Slow(io.BytesIO):
    """Gives less than it was asked for."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(size, 70_001) if size is not None and size > 0 else size)


SIZES = [0, 1, 65_536, 131_059, 131_060, 131_072, 131_073, MIB, MIB + 16_384, 3 * MIB + 4_321]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["bytes", "file", "slow", "half read"])
def test_same_bytes(recorder: Recorder, s3: Any, size: int, kind: str, tmp_path: Path) -> None:
    data = os.urandom(size)
    (tmp_path / "file").write_bytes(data)

    with (tmp_path / "file").open("rb") as file:
        body = {"bytes": data, "slow": Slow(data)}.get(kind, file)

        def send(**more: Any) -> bytes:
            if kind != "bytes":
                body.seek(size // 3 if kind == "half read" else 0)
            return sent(recorder, s3, body, **more)

        with pure_python():
            for more in ({}, {"ChecksumAlgorithm": "SHA256"}):
                expected = send(**more)
                assert len(expected) > size or kind == "half read"
                with adapter.install():
                    assert send(**more) == expected


def test_refused_before_the_body(recorder: Recorder, s3: Any) -> None:
    """The answer to "Expect: 100-continue" is the final one: no byte of the body may follow."""
    for arguments in ({}, {"payload": "signed-chunks"}):
        recorder.received.clear()
        with adapter.install(**arguments), pytest.raises(ClientError):  # type: ignore[arg-type]
            s3.put_object(Bucket="bucket", Key="refused", Body=b"x" * 500_000)
        assert [request.partition(b"\r\n\r\n")[2] for request in recorder.received] == [b""]
        s3.put_object(Bucket="bucket", Key="key", Body=b"x")


def test_exact_length_of_signed_chunks(recorder: Recorder, s3: Any) -> None:
    data = os.urandom(MIB + 99_999)
    with adapter.install(payload="signed-chunks"):
        whole = sent(recorder, s3, data)
    head, _, body = whole.partition(b"\r\n\r\n")
    assert f"content-length: {len(body)}".encode() in head.lower()
    assert b"transfer-encoding" not in head.lower()
    stripped = b""
    while size := int(body[: body.index(b";")], 16):
        body = body.partition(b"\r\n")[2]
        stripped, body = stripped + body[:size], body[size + 2 :]
    assert stripped == data


class Connection:
    """As much of an HTTPConnection as sending a body needs, and urllib3's loop over the body."""

    def __init__(self, block: int, state: str = "Request-sent") -> None:
        self.blocksize = block
        self._HTTPConnection__state = state
        self.sends: list[bytes] = []

    def send(self, data: Any) -> None:
        self.sends.append(bytes(data))

    def request(self, method: str, url: str, body: Any, headers: Any, *, chunked: bool) -> None:
        blocks = iter(lambda: body.read(self.blocksize), b"") if hasattr(body, "read") else body
        for block in blocks:
            self.send(b"%x\r\n%b\r\n" % (len(block), block) if chunked else block)


@given(
    size=st.one_of(st.integers(0, 3000), st.integers(0, 400_000)),
    block=st.sampled_from([16_384, 65_536, 131_072, 50_000]),
    chunk=st.sampled_from([4_096, 70_000, MIB]),
    state=st.sampled_from(["Request-sent", "Request-started"]),
    framed=st.booleans(),
)
def test_same_stream_in_no_longer_sends(size: int, block: int, chunk: int, state: str, framed: bool) -> None:
    data = os.urandom(size)
    plain, ours = Connection(block), Connection(block, state)
    for connection, request in ((plain, Connection.request), (ours, sending(Connection.request))):
        body = ChunkedBody(io.BytesIO(data), Crc32, "x-amz-checksum-crc32", chunk)
        request(connection, "PUT", "/", body, {}, chunked=framed)
    assert b"".join(ours.sends) == b"".join(plain.sends)
    if state == "Request-sent":
        longest = max(map(len, ours.sends), default=0)
        assert longest <= max(map(len, plain.sends), default=0) or longest <= RECORD
        assert all(len(piece) % RECORD == 0 for piece in ours.sends[1:-1])
    else:
        assert ours.sends == plain.sends


def test_a_read_of_ones_own_is_honoured() -> None:
    class Theirs(ChunkedBody):
        def read(self, size: int | None = None) -> bytes:
            return super().read(size).swapcase()

    connection = Connection(131_072)
    body = Theirs(io.BytesIO(b"x" * 300_000), None, "x-amz-checksum-crc32", MIB)
    sending(Connection.request)(connection, "PUT", "/", body, {}, chunked=False)
    assert b"x" not in b"".join(connection.sends)
