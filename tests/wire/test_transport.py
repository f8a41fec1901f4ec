"""The transport over real sockets: what is on the wire, what is reported, what is refused."""

from __future__ import annotations

import logging
import os
import signal
import socket
import ssl
import threading
import time
import warnings

import pytest

from s3accel.errors import (
    ConfigError,
    ConnectError,
    ConnectionLost,
    SourceError,
    TlsError,
    TransferTimeout,
    TransportError,
)
from s3accel.transfer.messages import BytesBody, Request
from s3accel.transfer.transport import CurlTransport

MIB = 1024 * 1024
BODY = bytes(range(251)) * 40_000  # 10 MB; 251 is prime, so swapped blocks show


class Frames:
    """A body of given frames, that may fail on its way."""

    def __init__(self, frames, length=None, error=None):
        self._frames = frames
        self._error = error
        self.length = sum(len(frame) for frame in frames) if length is None else length

    def frames(self):
        yield from self._frames
        if self._error is not None:
            raise self._error


@pytest.fixture
def new_transport():
    made = []

    def make(**options):
        made.append(CurlTransport(**options))
        return made[-1]

    yield make
    for transport in made:
        transport.close()


@pytest.fixture
def transport(new_transport):
    return new_transport()


def echo(connection):
    """Answers every request with its method, target, headers and body length; keeps the connection."""
    while (request := connection.request()) is not None:
        method, target, headers, body = request
        lines = [
            f"{method} {target}",
            *(f"{name}={value}" for name, value in headers.items()),
            f"{len(body)}",
        ]
        connection.answer(200, b"" if method == "HEAD" else "\n".join(lines).encode("latin-1"))


def lines_of(response):
    return response.body.decode("latin-1").split("\n")


# -- what is on the wire


def test_nothing_is_sent_that_was_not_given(transport, serve):
    server = serve(echo)
    request = Request(
        "PUT", f"{server.url}/k?partNumber=1", (("X-A", "1"), ("X-Empty", "")), BytesBody(b"abc")
    )
    lines = lines_of(transport.send(request))
    assert lines[0] == "PUT /k?partNumber=1"
    assert lines[-1] == "3"
    assert sorted(lines[1:-1]) == [
        "content-length=3",
        f"host=localhost:{server.port}",
        "user-agent=s3accel",
        "x-a=1",
        "x-empty=",
    ]


@pytest.mark.parametrize("method", ["GET", "DELETE", "HEAD", "POST", "PUT"])
def test_methods_and_empty_bodies(transport, serve, method):
    server = serve(echo)
    body = BytesBody(b"") if method in ("POST", "PUT") else None
    response = transport.send(Request(method, f"{server.url}/", (), body))
    assert response.status == 200
    if method == "HEAD":
        assert response.body == b""
        return
    lines = lines_of(response)
    assert lines[0] == f"{method} /"
    assert ("content-length=0" in lines) == (body is not None)
    assert not any(
        line.startswith(("transfer-encoding", "expect", "accept", "content-type")) for line in lines
    )


@pytest.mark.parametrize(
    "target",
    ["/a//b/./c/../d", "//x", "/.", "/..", "/%2E%2E/%2F", "/a%20b?x=%2B&y=", "/%00%FF", "/k?uploads="],
)
def test_targets_arrive_as_they_were_signed(transport, serve, target):
    server = serve(echo)
    assert lines_of(transport.send(Request("GET", server.url + target)))[0] == f"GET {target}"


def test_a_large_body_arrives_whole(transport, serve):
    got = []

    def handler(connection):
        got.append(connection.request()[3])
        connection.answer()

    server = serve(handler)
    sizes = [1, 70_000, MIB, 3 * MIB, 17]
    frames, position = [], 0
    while position < len(BODY):
        size = sizes[len(frames) % len(sizes)]
        frames.append(memoryview(BODY)[position : position + size])
        position += size
    transport.send(Request("PUT", server.url + "/", (), Frames(frames)))
    assert got == [BODY]


def test_expect_is_sent_only_when_asked_for(transport, serve):
    def handler(connection):
        _, _, headers = connection.head()
        assert headers["expect"] == "100-continue"
        connection.answer(403, b"<Error/>", "Connection: close\r\n")

    server = serve(handler)
    response = transport.send(Request("PUT", server.url, (("Expect", "100-continue"),), BytesBody(BODY)))
    assert response.status == 403


def test_100_continue_is_not_the_answer(transport, serve):
    def handler(connection):
        connection.head()
        connection.sock.sendall(b"HTTP/1.1 100 Continue\r\nX-Early: 1\r\n\r\n")
        assert connection.file.read(3) == b"abc"
        connection.answer(200, b"ok")

    response = transport.send(
        Request("PUT", serve(handler).url, (("Expect", "100-continue"),), BytesBody(b"abc"))
    )
    assert (response.status, response.body) == (200, b"ok")
    assert "x-early" not in response.headers


def test_redirects_are_answers(transport, serve):
    server = serve(lambda connection: (connection.request(), connection.answer(301, b"", "Location: /x\r\n")))
    assert transport.send(Request("GET", server.url)).status == 301
    assert server.connections == 1


def test_coded_bodies_stay_as_they_are(transport, serve):
    def handler(connection):
        connection.request()
        connection.answer(200, b"\x1f\x8bnot unpacked", "Content-Encoding: gzip\r\n")

    response = transport.send(Request("GET", serve(handler).url))
    assert response.body == b"\x1f\x8bnot unpacked"
    assert response.headers.get("content-ENCODING") == "gzip"


def test_duplicate_headers_are_kept(transport, serve):
    server = serve(lambda c: (c.request(), c.answer(200, b"", "X-A: 1\r\nx-a:  2 \r\n")))
    headers = transport.send(Request("GET", server.url)).headers
    assert [value for name, value in headers if name == "x-a"] == ["1", "2"]


# -- bodies of answers


def test_a_sink_takes_only_what_is_a_success(transport, serve):
    def handler(connection):
        for status, body in ((404, b"<Error/>"), (200, BODY), (200, b"")):
            connection.request()
            connection.answer(status, body)

    server = serve(handler)
    got, opened = bytearray(), []

    def sink(headers):
        opened.append(headers.get("content-length"))
        return got.extend

    request = Request("GET", server.url, sink=sink)
    response = transport.send(request)
    assert (response.status, response.body, opened) == (404, b"<Error/>", [])
    assert transport.send(request).body == b""
    assert bytes(got) == BODY
    transport.send(request)
    assert opened == [str(len(BODY)), "0"]


def test_an_exception_of_the_sink_comes_back_as_it_is(transport, serve):
    server = serve(lambda connection: (connection.request(), connection.answer(200, BODY)))

    def sink(headers):
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        transport.send(Request("GET", server.url, sink=sink))


def test_bodies_in_memory_are_bounded(transport, serve):
    server = serve(lambda connection: (connection.request(), connection.answer(200, BODY)))
    with pytest.raises(TransportError, match="larger than 1000") as caught:
        transport.send(Request("GET", server.url, max_body=1000))
    assert not caught.value.retryable


# -- connections


def test_connections_are_kept_and_reported(transport, serve, tls, ca_file, new_transport):
    server = serve(echo, tls)
    transport = new_transport(ca_file=ca_file)
    first = transport.send(Request("GET", server.url)).connection
    assert first.tls_version == "TLSv1.3"
    assert first.cipher.startswith("TLS_")
    assert first.http_version == "1.1"
    assert first.address == server.address
    assert first.host == "localhost"
    assert not first.reused
    assert len(first.certificate.sha256) == 64
    assert first.certificate.expires
    for _ in range(20):
        info = transport.send(Request("PUT", server.url, (), BytesBody(bytes(1000)))).connection
        assert info.reused
        assert (info.tls_version, info.cipher, info.certificate) == (
            first.tls_version,
            first.cipher,
            first.certificate,
        )
    assert server.connections == 1


def test_threads_get_connections_of_their_own_and_share_the_session(serve, tls, ca_file, new_transport):
    server = serve(echo, tls)
    transport = new_transport(ca_file=ca_file)
    transport.send(Request("GET", server.url))
    barrier = threading.Barrier(6)
    infos = []

    def work():
        barrier.wait(10)
        for _ in range(10):
            infos.append(transport.send(Request("PUT", server.url, (), BytesBody(bytes(100_000)))).connection)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(infos) == 60
    assert all(info.tls_version == "TLSv1.3" for info in infos)
    assert server.connections <= 6
    assert any(server.resumed[1:]) or server.connections == 1
    assert any(info.resumed for info in infos) or server.connections == 1


def test_the_number_of_connections_is_bounded(serve, new_transport):
    server = serve(echo)
    transport = new_transport(max_connections=2)
    threads = [threading.Thread(target=transport.send, args=(Request("GET", server.url),)) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.connections <= 2


def test_one_handle_talks_to_several_hosts(serve, new_transport):
    first, second = serve(echo), serve(echo)
    transport = new_transport(max_connections=1)
    for _ in range(3):
        for server in (first, second):
            assert transport.send(Request("GET", server.url)).connection.address == server.address
    assert (first.connections, second.connections) == (1, 1)


def test_connection_close_is_heeded(transport, serve):
    server = serve(
        lambda connection: (connection.request(), connection.answer(200, b"", "Connection: close\r\n"))
    )
    for _ in range(3):
        assert not transport.send(Request("GET", server.url)).connection.reused
    assert server.connections == 3


def test_a_closed_transport_refuses(transport, serve):
    server = serve(echo)
    transport.send(Request("GET", server.url))
    transport.close()
    with pytest.raises(ConfigError, match="closed"):
        transport.send(Request("GET", server.url))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_leaves_its_parents_connections_alone(serve, tls, ca_file, new_transport):
    server = serve(echo, tls)
    transport = new_transport(ca_file=ca_file)
    transport.send(Request("GET", server.url))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        code = 1
        try:
            code = 0 if not transport.send(Request("GET", server.url)).connection.reused else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert transport.send(Request("GET", server.url)).connection.reused
    assert server.connections == 2


# -- TLS


@pytest.mark.parametrize(
    "key", ["bkt.s3-accelerate.amazonaws.com:443", "*.s3-accelerate.amazonaws.com:443", "*"]
)
def test_connect_to_keeps_the_name(serve, tls, ca_file, new_transport, key):
    server = serve(echo, tls)
    transport = new_transport(ca_file=ca_file, connect_to={key: server.address})
    response = transport.send(Request("GET", "https://bkt.s3-accelerate.amazonaws.com/k"))
    assert "host=bkt.s3-accelerate.amazonaws.com" in lines_of(response)
    assert response.connection.host == "bkt.s3-accelerate.amazonaws.com"
    assert response.connection.address == server.address


def test_a_certificate_for_another_name_is_refused(serve, tls, ca_file, new_transport):
    server = serve(echo, tls)
    transport = new_transport(ca_file=ca_file, connect_to={"other.example:443": server.address})
    with pytest.raises(TlsError, match="certificate was refused") as caught:
        transport.send(Request("GET", "https://other.example/"))
    assert not caught.value.retryable
    assert caught.value.host == "other.example"
    assert caught.value.__cause__ is not None


def test_an_unknown_authority_is_refused(serve, tls, transport):
    server = serve(echo, tls)
    with pytest.raises(TlsError, match="certificate"):
        transport.send(Request("GET", server.url))


def old_context(certificates, version):
    context = certificates.server_context()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = version
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


def test_tls_1_1_is_refused(serve, certificates, ca_file, new_transport):
    server = serve(echo, old_context(certificates, ssl.TLSVersion.TLSv1_1))
    with pytest.raises(TlsError) as caught:
        new_transport(ca_file=ca_file).send(Request("GET", server.url))
    assert caught.value.phase == "tls"
    assert not caught.value.retryable


def test_tls_1_2_is_taken_unless_1_3_is_asked_for(serve, certificates, ca_file, new_transport):
    context = certificates.server_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    server = serve(echo, context)
    info = new_transport(ca_file=ca_file).send(Request("GET", server.url)).connection
    assert info.tls_version == "TLSv1.2"
    assert "ECDHE" in info.cipher
    with pytest.raises(TlsError):
        new_transport(ca_file=ca_file, tls_min="1.3").send(Request("GET", server.url))


def test_suites_without_forward_secrecy_are_refused(serve, certificates, ca_file, new_transport):
    context = certificates.server_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-ECDSA-AES256-SHA:@SECLEVEL=0")
    server = serve(echo, context)
    with pytest.raises(TlsError):
        new_transport(ca_file=ca_file).send(Request("GET", server.url))


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"tls_min": "1.1"}, "tls_min"),
        ({"ca_file": "/no/such/file"}, "no file"),
        ({"connect_to": {"host": "a:1"}}, "host:port"),
        ({"connect_to": {"host:1": "a"}}, "address:port"),
        ({"max_connections": 0}, "at least 1"),
    ],
)
def test_bad_options(options, word):
    with pytest.raises(ConfigError, match=word):
        CurlTransport(**options)


# -- failures


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("read_first", [0, 3 * MIB])
def test_an_early_refusal_is_the_answer_not_a_broken_pipe(
    serve, new_transport, tls, ca_file, secure, read_first
):
    """A server may refuse on the headers alone, and close after a short while, whatever is still coming."""

    def handler(connection):
        connection.head()
        connection.file.read(read_first)
        connection.answer(403, b"<Error><Code>AccessDenied</Code></Error>", "Connection: close\r\n")
        time.sleep(0.2)

    server = serve(handler, tls if secure else None)
    transport = new_transport(ca_file=ca_file)
    frames = [memoryview(BODY)[:MIB]] * 100
    for _ in range(5):
        response = transport.send(Request("PUT", server.url, (), Frames(frames)))
        assert response.status == 403
        assert b"AccessDenied" in response.body


def test_an_early_refusal_followed_by_a_reset(serve, transport):
    """The rudest of servers: answer and reset at once, while the body is being made."""

    def handler(connection):
        connection.head()
        connection.answer(403, b"<Error/>", "Connection: close\r\n")
        connection.reset()

    server = serve(handler)

    class Slow(Frames):
        def frames(self):
            for frame in self._frames:
                time.sleep(0.002)
                yield frame

    for _ in range(20):
        response = transport.send(Request("PUT", server.url, (), Slow([bytes(MIB)] * 50)))
        assert response.status == 403


def test_a_reset_while_sending(transport, serve):
    def handler(connection):
        connection.head()
        connection.file.read(100_000)
        connection.reset()

    server = serve(handler)
    with pytest.raises(ConnectionLost, match="of 104857600 bytes") as caught:
        transport.send(Request("PUT", server.url, (), Frames([bytes(MIB)] * 100)))
    assert caught.value.retryable
    assert caught.value.phase == "send"


def test_no_answer_and_half_an_answer(transport, serve):
    server = serve(lambda connection: connection.request() and connection.reset())
    with pytest.raises(ConnectionLost) as caught:
        transport.send(Request("PUT", server.url, (), BytesBody(b"x")))
    assert caught.value.phase == "receive"
    server = serve(lambda connection: (connection.request(), connection.answer(200, b"half", length=100)))
    with pytest.raises(ConnectionLost) as caught:
        transport.send(Request("GET", server.url))
    assert caught.value.phase == "receive"


def test_what_is_no_http(transport, serve):
    server = serve(lambda connection: (connection.request(), connection.sock.sendall(b"SSH-2.0-x\r\n\r\n")))
    with pytest.raises(TransportError) as caught:
        transport.send(Request("GET", server.url))
    assert caught.value.retryable


def test_nobody_listens(transport):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    with pytest.raises(ConnectError, match="no connection"):
        transport.send(Request("GET", f"http://127.0.0.1:{port}/"))


def test_a_name_that_does_not_exist(transport):
    with pytest.raises(ConnectError):
        transport.send(Request("GET", "http://no-such-host.invalid/"))


def test_a_stalled_server_is_left(serve, new_transport):
    release = threading.Event()
    server = serve(lambda connection: (connection.request(), release.wait(20)))
    transport = new_transport(stall_seconds=1)
    started = time.monotonic()
    with pytest.raises(TransferTimeout) as caught:
        transport.send(Request("GET", server.url))
    release.set()
    assert 0.5 < time.monotonic() - started < 5
    assert caught.value.retryable
    assert caught.value.phase == "receive"


def test_a_handshake_that_does_not_come_times_out(serve, new_transport, ca_file):
    release = threading.Event()
    server = serve(lambda connection: release.wait(20))
    transport = new_transport(connect_timeout=0.3, ca_file=ca_file)
    with pytest.raises(TransferTimeout) as caught:
        transport.send(Request("GET", f"https://localhost:{server.port}/"))
    release.set()
    assert caught.value.phase == "connect"


def test_an_exception_of_the_body_comes_back_with_its_cause(transport, serve):
    server = serve(lambda connection: connection.request())
    error = SourceError("the file ended early")
    error.__cause__ = OSError("below")
    with pytest.raises(SourceError) as caught:
        transport.send(Request("PUT", server.url, (), Frames([b"x" * 10], length=100, error=error)))
    assert caught.value is error
    assert isinstance(caught.value.__cause__, OSError)


def test_a_body_shorter_than_announced(transport, serve):
    server = serve(lambda connection: connection.request())
    with pytest.raises(TransportError, match="ended after 10 of 100 bytes"):
        transport.send(Request("PUT", server.url, (), Frames([b"x" * 10], length=100)))


def test_a_cancelled_request_ends_soon(transport, serve):
    """Nobody reads, so the body stalls in the socket; the request still ends."""
    release, cancelled = threading.Event(), threading.Event()
    server = serve(lambda connection: (connection.head(), release.wait(20)))
    threading.Timer(0.3, cancelled.set).start()
    started = time.monotonic()
    request = Request("PUT", server.url, (), Frames([bytes(MIB)] * 200), cancelled=cancelled.is_set)
    with pytest.raises(TransportError, match="cancelled"):
        transport.send(request)
    release.set()
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("sent", [None, 0, 20_000])
def test_a_cancelled_answer_ends_soon(transport, serve, sent):
    """The server falls silent before the head of its answer, or in its body; the request is made in a thread."""
    release, cancelled = threading.Event(), threading.Event()

    def handler(connection):
        connection.head()
        if sent is not None:
            connection.answer(200, bytes(sent), length=100_000)
        release.wait(20)

    server = serve(handler)
    took = []

    def run():
        request = Request("GET", server.url, sink=lambda _: len, cancelled=cancelled.is_set)
        started = time.monotonic()
        with pytest.raises(TransportError, match="cancelled"):
            transport.send(request)
        took.append(time.monotonic() - started)

    thread = threading.Thread(target=run)
    thread.start()
    threading.Timer(0.3, cancelled.set).start()
    thread.join(15)
    release.set()
    thread.join()
    assert took[0] < 5


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_ctrl_c_gets_through_to_the_main_thread(transport, serve, method):
    release = threading.Event()
    server = serve(lambda connection: (connection.head(), release.wait(20)))
    body = Frames([bytes(MIB)] * 100) if method == "PUT" else None
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        transport.send(Request(method, server.url, (), body))
    release.set()
    assert time.monotonic() - started < 5


def test_idle_connections_of_a_host_that_dropped_one_are_not_trusted(serve, new_transport):
    """A server that goes away takes all its connections along; one failure is enough to know."""
    gate = threading.Barrier(3)

    def handler(connection):
        connection.request()
        if connection.number <= 3:
            gate.wait(10)
        connection.answer()
        if connection.request() is not None and connection.number <= 3:
            connection.reset()
        else:
            connection.answer()

    server = serve(handler)
    transport = new_transport()
    threads = [threading.Thread(target=transport.send, args=(Request("GET", server.url),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with pytest.raises(ConnectionLost):
        transport.send(Request("PUT", server.url, (), BytesBody(b"x")))
    assert transport.send(Request("PUT", server.url, (), BytesBody(b"x"))).status == 200
    assert server.connections == 4


# -- proxies, secrets


def test_a_proxy_sees_no_secret(serve, new_transport, tls, ca_file):
    inner = serve(echo, tls)
    seen = []

    def proxy(connection):
        method, target, headers = connection.head()
        seen.append((method, target, headers))
        connection.sock.sendall(b"HTTP/1.1 200 Connection established\r\nX-Proxy: 1\r\n\r\n")
        with socket.create_connection(("127.0.0.1", inner.port)) as upstream:

            def pump(source, target):
                while data := source.recv(65536):
                    target.sendall(data)

            thread = threading.Thread(target=pump, args=(upstream, connection.sock), daemon=True)
            thread.start()
            pump(connection.sock, upstream)

    outer = serve(proxy)
    transport = new_transport(ca_file=ca_file, proxy=f"http://127.0.0.1:{outer.port}")
    url = "https://bkt.s3-accelerate.amazonaws.com/k"
    response = transport.send(Request("GET", url, (("Authorization", "canary"),)))
    assert response.status == 200
    assert "x-proxy" not in response.headers
    assert seen[0][:2] == ("CONNECT", "bkt.s3-accelerate.amazonaws.com:443")
    assert "canary" not in str(seen)


def test_a_proxy_that_refuses_is_not_s3(serve, new_transport, ca_file):
    server = serve(lambda c: (c.head(), c.answer(407, b"", "Connection: close\r\n")))
    transport = new_transport(ca_file=ca_file, proxy=f"http://127.0.0.1:{server.port}")
    with pytest.raises(TransportError):
        transport.send(Request("GET", "https://bkt.s3-accelerate.amazonaws.com/k"))


def test_no_secret_in_logs_reprs_or_errors(serve, transport, caplog):
    caplog.set_level(logging.DEBUG)
    server = serve(echo)
    headers = (("Authorization", "canary-a Signature=" + "ab" * 32), ("X-Amz-Security-Token", "canary-b"))
    url = f"{server.url}/k?X-Amz-Signature=canary-c&X-Amz-Security-Token=canary-d"
    request = Request("GET", url, headers)
    response = transport.send(request)
    with pytest.raises(TransportError) as caught:
        transport.send(Request("GET", url.replace("localhost", "no-such-host.invalid"), headers))
    shown = caplog.text + repr(request) + repr(response) + repr(caught.value)
    assert "canary" not in shown
    assert "GET http://localhost" in caplog.text
