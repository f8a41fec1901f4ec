"""requests with SigV4Auth, against the local endpoint."""

from __future__ import annotations

import io
import pickle
import time
from collections.abc import Iterator
from typing import Any

import pytest

requests = pytest.importorskip("requests")

from requests.adapters import HTTPAdapter  # noqa: E402
from urllib3 import Retry  # noqa: E402

from s3accel.adapters.requests import SigV4Adapter, SigV4Auth, _collapses_slashes, object_url  # noqa: E402
from s3accel.errors import ConfigError, EndpointError  # noqa: E402
from s3accel.local import LocalServer  # noqa: E402
from s3accel.local.faults import Answer  # noqa: E402
from support.httplibs import BIG, Contract, Reply, Watch, redirect  # noqa: E402


class TestRequests(Contract):
    object_url = staticmethod(object_url)

    @pytest.fixture
    def make(self, s3accel_server: LocalServer) -> Iterator[Any]:
        sessions = []

        def make(ca_file: Any = None, **options: Any) -> Any:
            auth = SigV4Auth(
                options.pop("credentials", s3accel_server.credentials),
                options.pop("region", s3accel_server.region),
                **options,
            )

            def send(
                method: str,
                url: str,
                body: Any = None,
                headers: Any = None,
                follow: bool = False,
                retries: int = 0,
            ) -> Reply:
                session = requests.Session()
                session.trust_env = False
                session.verify = str(ca_file or s3accel_server.ca_file)
                sessions.append(session)
                if retries:
                    policy = Retry(retries, status_forcelist=[500], allowed_methods=None, backoff_factor=0)
                    session.mount("https://", SigV4Adapter(max_retries=policy))
                answer = session.request(
                    method, url, data=body, headers=headers, auth=auth, allow_redirects=follow, timeout=20
                )
                return Reply(answer.status_code, answer.content)

            return send

        yield make
        for session in sessions:
            session.close()

    def test_leading_slash_in_a_virtual_host(
        self, make: Any, watch: Watch, s3accel_server: LocalServer, s3accel_bucket: str, names: None
    ) -> None:
        """requests up to 2.32 sends one slash for two: refused, or sent right by our transport adapter."""
        host = f"https://{s3accel_bucket}.s3.us-east-1.amazonaws.com:{s3accel_server.port}"
        if _collapses_slashes():
            with pytest.raises(ConfigError, match="SigV4Adapter"):
                make()("PUT", self.url(host, "/a//b/"), b"x")
        else:
            assert make()("PUT", self.url(host, "/a//b/"), b"x").status == 200
        assert make()("PUT", self.url(host, "/a//b/"), b"x", retries=1).status == 200
        assert watch.seen[-1].target == "//a//b/"

    def test_bytes_headers(self, make: Any, s3accel_server: LocalServer, base: str, watch: Watch) -> None:
        headers = {b"x-amz-meta-b": b"v\xc3\xa9", "x-amz-meta-c": "caf\xe9"}
        assert make()("PUT", self.url(base), b"x", headers).status == 200
        assert "x-amz-meta-b;x-amz-meta-c" in (watch.seen[-1].header("authorization") or "")

    def test_prepared_request(self, s3accel_server: LocalServer, base: str, watch: Watch, make: Any) -> None:
        """It carries its signature, is signed again when changed, and pickles without any of it."""
        auth = SigV4Auth(s3accel_server.credentials, s3accel_server.region)
        prepared = requests.Request("PUT", self.url(base), data="text é", auth=auth).prepare()
        assert isinstance(prepared, requests.PreparedRequest)
        assert "Signature=" in prepared.headers["Authorization"]
        prepared.body = "other"
        with requests.Session() as session:
            session.verify, session.trust_env = str(s3accel_server.ca_file), False
            for _ in range(2):
                answer = session.send(prepared, timeout=20)
                assert answer.status_code == 200
        assert make()("GET", self.url(base)).body == b"other"
        again = pickle.loads(pickle.dumps(answer)).request
        assert type(again) is requests.PreparedRequest
        assert "Authorization" not in again.headers
        assert again.body == b"other"

    def test_old_prepared_request(
        self, s3accel_server: LocalServer, base: str, watch: Watch, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("s3accel.adapters.requests.FRESH", -1.0)
        times = iter(range(100))
        now = time.time()
        auth = SigV4Auth(
            s3accel_server.credentials, s3accel_server.region, clock=lambda: now + 2 * next(times)
        )
        prepared = requests.Request("PUT", self.url(base), data=io.BytesIO(BIG), auth=auth).prepare()
        with requests.Session() as session:
            session.verify, session.trust_env = str(s3accel_server.ca_file), False
            for _ in range(2):
                assert session.send(prepared, timeout=20).status_code == 200
        first, second = watch.seen
        assert first.header("x-amz-date") != second.header("x-amz-date")

    def test_copy_carries_no_token(self, s3accel_server: LocalServer, base: str, watch: Watch) -> None:
        """Session.send(allow_redirects=False) leaves the next request for the caller to send."""
        watch.plan = [redirect("https://example.com/")]
        auth = SigV4Auth(s3accel_server.credentials, s3accel_server.region)
        with requests.Session() as session:
            session.verify, session.trust_env = str(s3accel_server.ca_file), False
            answer = session.put(self.url(base), data=BIG, auth=auth, allow_redirects=False, timeout=20)
            assert not {"authorization", "x-amz-date", "x-amz-content-sha256"} & {
                name.lower() for name in answer.next.headers
            }
            with pytest.raises(EndpointError, match="nothing was sent"):
                session.send(answer.next, timeout=5)

    def test_params(self, make: Any, s3accel_server: LocalServer, base: str, watch: Watch) -> None:
        auth = SigV4Auth(s3accel_server.credentials, s3accel_server.region)
        answer = requests.get(
            base,
            params={"list-type": 2, "prefix": "a b+é"},
            auth=auth,
            verify=str(s3accel_server.ca_file),
            timeout=20,
        )
        assert answer.status_code == 200
        assert watch.seen[-1].target.endswith("?list-type=2&prefix=a%20b%2B%C3%A9")

    def test_retry_of_plain_adapter_repeats_the_same_bytes(
        self, s3accel_server: LocalServer, base: str, watch: Watch, make: Any, tmp_path: Any
    ) -> None:
        watch.plan = [Answer(500)]
        auth = SigV4Auth(s3accel_server.credentials, s3accel_server.region)
        with requests.Session() as session, self.file(BIG, tmp_path) as file:
            session.verify, session.trust_env = str(s3accel_server.ca_file), False
            policy = Retry(2, status_forcelist=[500], allowed_methods=None, backoff_factor=0)
            session.mount("https://", HTTPAdapter(max_retries=policy))
            file.seek(10)
            assert session.put(self.url(base), data=file, auth=auth, timeout=20).status_code == 200
        first, second = watch.seen
        assert first.header("authorization") == second.header("authorization")
        assert make()("GET", self.url(base)).body == BIG[10:]
