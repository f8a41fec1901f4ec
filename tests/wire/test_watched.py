"""Handshakes that nobody asks about are not looked at, and what a result says of its connection was seen all the same."""

from __future__ import annotations

import pytest

from s3accel.transfer.exchange import Exchange
from s3accel.transfer.messages import BytesBody, Request
from s3accel.transfer.transport import CurlTransport

BODY = bytes(1 << 20)


@pytest.fixture
def told(monkeypatch):
    """How often libcurl's debug callback was called."""
    calls = []
    debug = Exchange.debug

    def counted(self, kind, data):
        calls.append(kind)
        debug(self, kind, data)

    monkeypatch.setattr(Exchange, "debug", counted)
    return calls


@pytest.fixture
def server(serve, tls):
    def answer(connection):
        while connection.request() is not None:
            connection.answer(200, b"")

    return serve(answer, tls)


def put(transport, server, watched):
    url = f"https://localhost:{server.port}/k"
    return transport.send(Request("PUT", url, body=BytesBody(BODY), watched=watched)).connection


def test_an_unwatched_body_costs_no_debug_callbacks(server, ca_file, told):
    with CurlTransport(ca_file=ca_file) as transport:
        first = put(transport, server, watched=False)
        assert (first.tls_version, first.cipher, first.certificate, first.reused) == (None, None, None, False)
        again = put(transport, server, watched=False)
        assert (again.tls_version, again.reused) == (None, True)
        assert told == []
        put(transport, server, watched=True)
        assert told != []
    assert server.connections == 2


def test_a_watched_request_takes_a_connection_that_was_seen_being_made(server, ca_file):
    with CurlTransport(ca_file=ca_file) as transport:
        pool, origin = transport._pool, ("https", f"localhost:{server.port}")
        put(transport, server, watched=True)
        seen = pool.take(origin)
        put(transport, server, watched=False)
        unseen = pool.take(origin, watched=False)
        for handle in (seen, unseen):
            pool.give(handle, origin, keep=True)
        # The unseen one was used last; a part takes what comes, a result does not.
        found = put(transport, server, watched=True)
        assert (found.tls_version, found.reused) == ("TLSv1.3", True)
    assert server.connections == 2


def test_with_room_for_one_connection_only_the_unseen_one_makes_way(server, ca_file):
    with CurlTransport(ca_file=ca_file, max_connections=1) as transport:
        for _ in range(2):
            assert put(transport, server, watched=False).tls_version is None
        for reused in (False, True):
            found = put(transport, server, watched=True)
            assert (found.tls_version, found.reused) == ("TLSv1.3", reused)
        # What is known of it stays known while somebody uses it who does not ask.
        assert put(transport, server, watched=False).tls_version == "TLSv1.3"
    assert server.connections == 2
