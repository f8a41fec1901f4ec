"""aiohttp with SigV4Middleware, against the local endpoint."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import pytest

aiohttp = pytest.importorskip("aiohttp")

from s3accel.adapters.aiohttp import SigV4Middleware, object_url  # noqa: E402
from s3accel.errors import ConfigError  # noqa: E402
from s3accel.local import LocalServer  # noqa: E402
from support.httplibs import BIG, Contract, Reply, Watch, redirect  # noqa: E402


class Again:
    """A retrying middleware outside the signing one, as users write it."""

    def __init__(self, retries: int) -> None:
        self.retries = retries

    async def __call__(self, request: Any, handler: Any) -> Any:
        for _ in range(self.retries):
            response = await handler(request)
            if response.status != 500:
                return response
            response.release()
        return await handler(request)


async def slowly(blocks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for block in blocks:
        await asyncio.sleep(0)
        yield block


class TestAiohttp(Contract):
    object_url = staticmethod(object_url)

    @pytest.fixture
    def make(self, s3accel_server: LocalServer) -> Any:
        def make(ca_file: Any = None, **options: Any) -> Any:
            signed = SigV4Middleware(
                options.pop("credentials", s3accel_server.credentials),
                options.pop("region", s3accel_server.region),
                **options,
            )

            async def go(method: str, url: Any, body: Any, headers: Any, follow: bool, retries: int) -> Reply:
                context = ssl.create_default_context(cafile=str(ca_file or s3accel_server.ca_file))
                connector = aiohttp.TCPConnector(ssl=context, resolver=aiohttp.ThreadedResolver())
                async with aiohttp.ClientSession(
                    connector=connector, middlewares=[Again(retries), signed]
                ) as session:
                    if isinstance(body, Iterator) and not hasattr(body, "read"):
                        body = slowly(body)
                    async with session.request(
                        method, url, data=body, headers=headers, allow_redirects=follow
                    ) as answer:
                        return Reply(answer.status, await answer.read())

            def send(
                method: str,
                url: Any,
                body: Any = None,
                headers: Any = None,
                follow: bool = False,
                retries: int = 0,
            ) -> Reply:
                return asyncio.run(go(method, url, body, headers, follow, retries))

            return send

        return make

    def test_two_calls_in_one_task(self, s3accel_server: LocalServer, base: str, watch: Watch) -> None:
        """A redirect that the caller answers with a request of his own is his decision."""

        async def go() -> list[int]:
            context = ssl.create_default_context(cafile=str(s3accel_server.ca_file))
            signed = SigV4Middleware(s3accel_server.credentials, s3accel_server.region)
            async with aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=context), middlewares=[signed]
            ) as session:
                location = base.replace("127.0.0.1", "localhost") + "/key"
                watch.plan = [redirect(location)]
                statuses = []
                async with session.put(base + "/key", data=BIG, allow_redirects=False) as answer:
                    statuses.append(answer.status)
                async with session.put(location, data=BIG, allow_redirects=False) as answer:
                    statuses.append(answer.status)
                return statuses

        assert asyncio.run(go()) == [307, 200]

    def test_form_and_json(self, make: Any, s3accel_server: LocalServer, base: str) -> None:
        async def go() -> list[int]:
            context = ssl.create_default_context(cafile=str(s3accel_server.ca_file))
            signed = SigV4Middleware(s3accel_server.credentials, s3accel_server.region)
            async with aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=context), middlewares=[signed]
            ) as session:
                statuses = []
                for options in ({"json": {"a": 1}}, {"data": "text é"}, {"data": {"field": "x y"}}, {}):
                    async with session.put(base + "/key", **options) as answer:
                        statuses.append(answer.status)
                async with session.get(base, params={"prefix": "k e+y", "list-type": "2"}) as answer:
                    statuses.append(answer.status)
                with pytest.raises(ConfigError, match="compress"):
                    await session.put(base + "/key", data=BIG, compress=True)
                return statuses

        assert asyncio.run(go()) == [200] * 5
