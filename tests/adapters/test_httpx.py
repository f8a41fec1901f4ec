"""httpx with SigV4Auth, sync and async, against the local endpoint."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import pytest

httpx = pytest.importorskip("httpx")

from s3accel.adapters.httpx import SigV4Auth, object_url  # noqa: E402
from s3accel.errors import ConfigError, EndpointError  # noqa: E402
from s3accel.local import LocalServer  # noqa: E402
from support.httplibs import BIG, Contract, Reply, Watch, redirect  # noqa: E402


def context(ca_file: Any) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(ca_file))


def auth_of(server: LocalServer, follow: bool = False, **options: Any) -> SigV4Auth:
    credentials = options.pop("credentials", server.credentials)
    return SigV4Auth(credentials, options.pop("region", server.region), follow_redirects=follow, **options)


class TestHttpx(Contract):
    object_url = staticmethod(object_url)

    @pytest.fixture
    def make(self, s3accel_server: LocalServer) -> Any:
        def make(ca_file: Any = None, **options: Any) -> Any:
            auths = {follow: auth_of(s3accel_server, follow, **options) for follow in (False, True)}

            def send(
                method: str,
                url: str,
                body: Any = None,
                headers: Any = None,
                follow: bool = False,
                retries: int = 0,
            ) -> Reply:
                with httpx.Client(
                    verify=context(ca_file or s3accel_server.ca_file), trust_env=False, timeout=20
                ) as client:
                    request = client.build_request(method, url, content=body, headers=headers)
                    answer = client.send(request, auth=auths[follow])
                    while answer.status_code == 500 and retries:
                        retries -= 1
                        answer = client.send(request, auth=auths[follow])
                    return Reply(answer.status_code, answer.content)

            return send

        return make

    def test_httpx_itself_follows(self, s3accel_server: LocalServer, base: str, watch: Watch) -> None:
        """It does so beneath the auth object, token and all: stopped before anything is sent."""
        with LocalServer() as other:
            for location in (str(object_url(base, "there")), f"{other.endpoint_url}/b/key"):
                watch.plan = [redirect(location)]
                with (
                    httpx.Client(verify=False, trust_env=False, follow_redirects=True) as client,
                    pytest.raises(EndpointError, match="follow_redirects=True"),
                ):
                    client.put(object_url(base, "key"), content=BIG, auth=auth_of(s3accel_server))
            assert other.stats.snapshot().requests == 0

    def test_next_request_carries_no_token(
        self, s3accel_server: LocalServer, base: str, watch: Watch
    ) -> None:
        watch.plan = [redirect("https://example.com/")]
        with httpx.Client(verify=context(s3accel_server.ca_file), trust_env=False) as client:
            answer = client.put(object_url(base, "key"), content=BIG, auth=auth_of(s3accel_server))
        assert not {"authorization", "x-amz-date", "x-amz-content-sha256"} & set(answer.next_request.headers)
        assert not {"trace", "target"} & set(answer.next_request.extensions)

    def test_callers_trace_and_target(self, s3accel_server: LocalServer, base: str, watch: Watch) -> None:
        events: list[str] = []
        with httpx.Client(verify=context(s3accel_server.ca_file), trust_env=False) as client:
            target = object_url(base, "").removeprefix(s3accel_server.endpoint_url) + "a/../b"
            answer = client.put(
                base,
                content=b"x",
                auth=auth_of(s3accel_server),
                extensions={"target": target.encode(), "trace": lambda event, info: events.append(event)},
            )
        assert answer.status_code == 200
        assert watch.seen[-1].target.endswith("/a/../b")
        assert "http11.send_request_headers.started" in events

    def test_params(self, s3accel_server: LocalServer, base: str, watch: Watch) -> None:
        with httpx.Client(verify=context(s3accel_server.ca_file), trust_env=False) as client:
            params = {"list-type": "2", "prefix": "a b+é"}
            assert client.get(base, params=params, auth=auth_of(s3accel_server)).status_code == 200
        assert watch.seen[-1].target.endswith("?list-type=2&prefix=a%20b%2B%C3%A9")


class TestHttpxAsync(Contract):
    object_url = staticmethod(object_url)
    unread_files = True

    @pytest.fixture
    def make(self, s3accel_server: LocalServer) -> Any:
        def make(ca_file: Any = None, **options: Any) -> Any:
            auths = {follow: auth_of(s3accel_server, follow, **options) for follow in (False, True)}

            async def go(method: str, url: str, body: Any, headers: Any, follow: bool, retries: int) -> Reply:
                async with httpx.AsyncClient(
                    verify=context(ca_file or s3accel_server.ca_file), trust_env=False, timeout=20
                ) as client:
                    if isinstance(body, Iterator) and not hasattr(body, "read"):
                        body = slowly(body)
                    request = client.build_request(method, url, content=body, headers=headers)
                    answer = await client.send(request, auth=auths[follow])
                    while answer.status_code == 500 and retries:
                        retries -= 1
                        answer = await client.send(request, auth=auths[follow])
                    return Reply(answer.status_code, answer.content)

            def send(
                method: str,
                url: str,
                body: Any = None,
                headers: Any = None,
                follow: bool = False,
                retries: int = 0,
            ) -> Reply:
                return asyncio.run(go(method, url, body, headers, follow, retries))

            return send

        return make

    def test_blocking_file(self, make: Any, base: str, tmp_path: Any) -> None:
        with self.file(BIG, tmp_path) as file, pytest.raises(ConfigError, match="async iterable"):
            make()("PUT", self.url(base), file)

    def test_httpx_itself_follows(self, s3accel_server: LocalServer, base: str, watch: Watch) -> None:
        watch.plan = [redirect(object_url(base, "there"))]

        async def go() -> None:
            async with httpx.AsyncClient(
                verify=context(s3accel_server.ca_file), trust_env=False, follow_redirects=True
            ) as client:
                await client.put(object_url(base, "key"), content=BIG, auth=auth_of(s3accel_server))

        with pytest.raises(EndpointError, match="follow_redirects=True"):
            asyncio.run(go())
        assert len(watch.seen) == 1


async def slowly(blocks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for block in blocks:
        await asyncio.sleep(0)
        yield block
