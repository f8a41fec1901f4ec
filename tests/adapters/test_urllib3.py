"""urllib3 with SigV4PoolManager, against the local endpoint."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from typing import Any

import pytest

urllib3 = pytest.importorskip("urllib3")

from s3accel.adapters.urllib3 import SigV4PoolManager, object_url  # noqa: E402
from s3accel.local import LocalServer  # noqa: E402
from support.httplibs import Contract, Reply, Watch  # noqa: E402


class TestUrllib3(Contract):
    object_url = staticmethod(object_url)

    @pytest.fixture
    def make(self, s3accel_server: LocalServer) -> Iterator[Any]:
        pools = []

        def make(ca_file: Any = None, **options: Any) -> Any:
            options.setdefault("credentials", s3accel_server.credentials)
            options.setdefault("region", s3accel_server.region)
            pool = SigV4PoolManager(ca_certs=str(ca_file or s3accel_server.ca_file), timeout=20, **options)
            pools.append(pool)

            def send(
                method: str,
                url: str,
                body: Any = None,
                headers: Any = None,
                follow: bool = False,
                retries: int = 0,
            ) -> Reply:
                policy = urllib3.Retry(
                    retries + 2 * follow, status_forcelist=[500], allowed_methods=None, backoff_factor=0
                )
                answer = pool.request(
                    method, url, body=body, headers=headers, redirect=follow, retries=policy
                )
                return Reply(answer.status, answer.data)

            return send

        yield make
        for pool in pools:
            pool.clear()

    def test_dots_written_plainly(self, make: Any, base: str, watch: Watch) -> None:
        """Here nobody resolves them before us."""
        assert make()("PUT", base + "/a/../b/./c", b"x").status == 200
        assert watch.seen[-1].target.endswith("/a/../b/./c")

    def test_fields_and_json(self, make: Any, s3accel_server: LocalServer, base: str, watch: Watch) -> None:
        pool = SigV4PoolManager(
            ca_certs=str(s3accel_server.ca_file),
            credentials=s3accel_server.credentials,
            region=s3accel_server.region,
            retries=False,
        )
        answer = pool.request("GET", base, fields={"list-type": "2", "prefix": "a b+"})
        assert answer.status == 200
        assert watch.seen[-1].target.endswith("?list-type=2&prefix=a%20b%2B")
        if not urllib3.__version__.startswith("1."):
            assert pool.request("PUT", self.url(base), json={"a": 1}).status == 200
            assert pool.request("GET", self.url(base)).json() == {"a": 1}
        pool.clear()

    def test_callers_headers_stay_as_they_are(self, s3accel_server: LocalServer, base: str) -> None:
        headers = {"x-amz-meta-a": b"bytes"}
        with SigV4PoolManager(
            ca_certs=str(s3accel_server.ca_file),
            credentials=s3accel_server.credentials,
            region=s3accel_server.region,
        ) as pool:
            assert pool.request("PUT", self.url(base), body=b"x", headers=headers).status == 200
        assert headers == {"x-amz-meta-a": b"bytes"}


@pytest.mark.parametrize("library", ["requests", "httpx", "aiohttp", "urllib3", "minio"])
def test_missing_library(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, f"s3accel.adapters.{library}", raising=False)
    with pytest.raises(ImportError, match=f"pip install '?{library}"):
        importlib.import_module(f"s3accel.adapters.{library}")
