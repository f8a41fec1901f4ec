"""install, uninstall, attach: what is changed, what is left alone, and that it all comes back."""

from __future__ import annotations

import datetime
import importlib.util
import os
import sys
import threading
from typing import Any

import pytest

pytest.importorskip("botocore")

import botocore.auth
import botocore.awsrequest
import botocore.client
import botocore.exceptions
import botocore.httpchecksum
import botocore.signers
from botocore.awsrequest import AWSRequest
from botocore.compat import HAS_CRT
from botocore.credentials import ReadOnlyCredentials

from s3accel.adapters import botocore as adapter
from s3accel.errors import ConfigError
from support.botocore_wire import (
    ACCESS_KEY,
    CREDENTIALS,
    SECRET,
    TOKEN,
    Wire,
    client,
    frozen,
    outcome,
    pure_python,
    request,
    strip,
)


def everything() -> tuple[Any, ...]:
    """All that install may touch."""
    return (
        dict(botocore.auth.AUTH_TYPE_MAPS),
        list(botocore.auth.AUTH_TYPE_MAPS),
        dict(botocore.httpchecksum._CHECKSUM_CLS),
        list(botocore.httpchecksum._SUPPORTED_CHECKSUM_ALGORITHMS),
        dict(vars(botocore.httpchecksum)),
        botocore.signers.generate_presigned_url,
        botocore.awsrequest.AWSConnection.request,
        botocore.exceptions.ClientError.__init__,
        [cls.__dict__.get("generate_presigned_url") for cls in botocore.client.BaseClient.__subclasses__()],
    )


def signed(cls: Any, made: AWSRequest | None = None) -> Any:
    made = made or request()
    with frozen():
        cls(CREDENTIALS, "s3", "us-east-1").add_auth(made)
    return made.headers.items()


def test_uninstall_puts_everything_back() -> None:
    client()
    maps = botocore.auth.AUTH_TYPE_MAPS
    before = everything()
    adapter.install()
    client()
    assert botocore.auth.AUTH_TYPE_MAPS is maps  # other modules hold this very dict
    assert maps["s3v4"].__module__.startswith("s3accel.")
    # SigV4a is new only where awscrt has not brought it, and can be kept only with the package for ECDSA.
    added = not HAS_CRT and importlib.util.find_spec("cryptography") is not None
    assert set(maps) - set(before[0]) == ({"v4a", "s3v4a", "s3v4a-query"} if added else set())
    assert issubclass(maps["s3v4"], botocore.auth.S3SigV4Auth)
    assert maps["s3v4"].REQUIRES_REGION
    assert issubclass(maps["v4-s3express"], botocore.auth.S3ExpressAuth)
    assert maps["v4-s3express"].REQUIRES_IDENTITY_CACHE is True
    assert issubclass(maps["s3v4-query"], botocore.auth.S3SigV4QueryAuth)
    adapter.uninstall()
    after = everything()
    assert after[:-1] == before[:-1]
    assert {None if f is None else f.__module__ for f in after[-1]} <= {None, "botocore.signers"}
    adapter.uninstall()  # twice does no harm
    assert everything()[:-1] == before[:-1]


def test_context_manager_and_options_on_top() -> None:
    assert not adapter.installed()
    with adapter.install() as first:
        assert adapter.installed()
        assert "active" in repr(first)
        with adapter.install(check=1.0, payload="signed-chunks"):
            assert adapter.installed()
        assert adapter.installed()
    assert not adapter.installed()
    assert "taken back" in repr(first)
    with pytest.raises(ConfigError):
        adapter.install(check=2)
    with pytest.raises(ConfigError):
        adapter.install(payload="signed")  # type: ignore[arg-type]


def test_what_others_put_in_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    class Theirs(botocore.auth.S3SigV4Auth):  # type: ignore[misc]
        pass

    monkeypatch.setitem(botocore.auth.AUTH_TYPE_MAPS, "s3v4", Theirs)
    with adapter.install():
        assert botocore.auth.AUTH_TYPE_MAPS["s3v4"] is Theirs
        botocore.auth.AUTH_TYPE_MAPS["v4"] = Theirs  # after us
    assert botocore.auth.AUTH_TYPE_MAPS["v4"] is Theirs
    monkeypatch.undo()
    botocore.auth.AUTH_TYPE_MAPS["v4"] = (
        sys.modules["botocore.crt.auth"].CrtSigV4Auth if HAS_CRT else botocore.auth.SigV4Auth
    )


# --- hooks ------------------------------------------------------------------------------------------------------


def test_words_of_the_originals_work() -> None:
    with adapter.install():
        cls = botocore.auth.AUTH_TYPE_MAPS["s3v4"]
    made = request(b"body", timestamp="20260823T123456Z")
    ours, theirs = (kind(CREDENTIALS, "s3", "us-east-1") for kind in (cls, botocore.auth.S3SigV4Auth))
    for auth in (ours, theirs):
        assert auth.scope(made) == f"{ACCESS_KEY}/20260823/us-east-1/s3/aws4_request"
    canonical = theirs.canonical_request(made)
    assert ours.canonical_request(made) == canonical
    to_sign = theirs.string_to_sign(made, canonical)
    assert ours.string_to_sign(made, canonical) == to_sign
    assert ours.signature(to_sign, made) == theirs.signature(to_sign, made)
    assert ours.headers_to_sign(made).items() == theirs.headers_to_sign(made).items()
    assert ours.payload(made) == theirs.payload(made)


HOOKS: dict[str, Any] = {
    "headers_to_sign": lambda base: lambda self, request: _only_host(base.headers_to_sign(self, request)),
    "payload": lambda base: lambda self, request: "UNSIGNED-PAYLOAD",
    "canonical_request": lambda base: lambda self, request: base.canonical_request(self, request) + " ",
    "string_to_sign": lambda base: lambda self, request, text: base.string_to_sign(self, request, text) + " ",
    "signature": lambda base: lambda self, text, request: "0" * 64,
    "scope": lambda base: lambda self, request: "someone/else",
}


def _only_host(headers: Any) -> Any:
    for name in list(headers):
        if name != "host":
            del headers[name]
    return headers


@pytest.mark.parametrize("hook", HOOKS)
def test_overrides_are_honoured(hook: str, monkeypatch: pytest.MonkeyPatch) -> None:
    base = botocore.auth.S3SigV4Auth
    with adapter.install():
        ours = botocore.auth.AUTH_TYPE_MAPS["s3v4"]
    function = HOOKS[hook](base)
    plain = signed(base)
    expected = signed(type("Theirs", (base,), {hook: function}))
    assert expected != plain
    assert signed(ours) == plain
    assert signed(type("OnOurs", (ours,), {hook: function})) == expected  # in a subclass of ours

    auth = ours(CREDENTIALS, "s3", "us-east-1")  # on one instance
    auth.__dict__[hook] = function.__get__(auth)
    made = request()
    with frozen():
        auth.add_auth(made)
    assert made.headers.items() == expected

    function = HOOKS[hook](type("Copy", (base,), {hook: getattr(base, hook)}))
    owner = next(cls for cls in base.__mro__ if hook in cls.__dict__)
    monkeypatch.setattr(owner, hook, function)  # in botocore itself, after we were loaded
    assert signed(ours) == expected


def test_add_auth_replaced_in_botocore_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    with adapter.install():
        ours = botocore.auth.AUTH_TYPE_MAPS["s3v4"]
    seen = []
    original = botocore.auth.SigV4Auth.add_auth
    monkeypatch.setattr(
        botocore.auth.SigV4Auth,
        "add_auth",
        lambda self, request: (seen.append(self), original(self, request)),
    )
    signed(ours)
    assert len(seen) == 1


def test_blacklist_is_read_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with adapter.install():
        ours = botocore.auth.AUTH_TYPE_MAPS["s3v4"]
    assert "x-amz-meta-a" in dict(signed(ours))["Authorization"]
    monkeypatch.setattr(
        botocore.auth, "SIGNED_HEADERS_BLACKLIST", [*botocore.auth.SIGNED_HEADERS_BLACKLIST, "x-amz-meta-a"]
    )
    assert "x-amz-meta-a" not in dict(signed(ours))["Authorization"]
    assert signed(ours) == signed(botocore.auth.S3SigV4Auth)


STRANGE: dict[str, Any] = {
    "no-break space": {"x-a": "a\u00a0\u2003b"},
    "non-ascii": {"x-a": "ünï  cödé"},
    "control": {"x-a": "a\x1c\x1d b\x0b\x0cc"},
    "newline": {"x-a": "a\r\n b"},
    "name with space": {"x a ": "b"},
    "name beyond ASCII": {"x-ä": "b"},
    "date": {"Date": "Mon, 1 Jan 2024 00:00:00 GMT"},
    "old headers": {
        "Authorization": "x",
        "X-Amz-Date": "y",
        "X-Amz-Security-Token": "z",
        "x-amz-CONTENT-sha256": "q",
    },
    "host": {"HOST": "Other.Example"},
    "empty": {"x-a": "", "X-A": " ", "x-B": "1"},
}
URLS = [
    "https://h",
    "https://h?",
    "https://h/a//b/../c",
    "https://h/%41%7e%2f~?b&a=%20&a=+&=&&c=1=2#f",
    "http://u:p@H:80/x",
    "https://h:443/x",
    "https://h:08443/x",
    "http://[::1]:9000/x",
    "HTTPS://h/x",
    "https://h/x y",
    "https://h/ü",
    "https://h:/x",
]


@pytest.mark.parametrize("headers", STRANGE, ids=str)
@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("name", ["v4", "s3v4", "v4-query", "s3v4-query"])
def test_strange_requests(name: str, url: str, headers: str) -> None:
    with adapter.install():
        ours = botocore.auth.AUTH_TYPE_MAPS[name]
    theirs = next(cls for cls in ours.__mro__ if cls.__module__ == "botocore.auth")
    results = []
    for cls in (ours, theirs):
        made = AWSRequest("get", url, headers=STRANGE[headers], params={"q": "ä b"} if "=" in url else None)
        credentials = ReadOnlyCredentials(ACCESS_KEY, SECRET, TOKEN if "?" in url else None)
        with frozen():
            try:
                cls(credentials, "svc", "eu-west-1").add_auth(made)
            except Exception as e:
                results.append(type(e))
            else:
                results.append((made.headers.items(), made.url, made.params, made.context.get("timestamp")))
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("secret", "region"),
    [("short", "us-east-1"), ("with space ", "us-east-1"), ("ünïcode", "us-east-1"), (SECRET, "a/b;c")],
)
def test_secrets_and_regions_that_the_core_refuses(secret: str, region: str) -> None:
    with adapter.install():
        ours = botocore.auth.AUTH_TYPE_MAPS["s3v4"]
    results = []
    for cls in (ours, botocore.auth.S3SigV4Auth):
        made = request()
        with frozen():
            cls(ReadOnlyCredentials(ACCESS_KEY, secret, None), "s3", region).add_auth(made)
        results.append(made.headers.items())
    assert results[0] == results[1]


# --- attach -----------------------------------------------------------------------------------------------------


def count() -> int:
    found: int = adapter.stats()["signed"]
    return found


def test_attach_to_one_client() -> None:
    one, other = client(), client()
    wire, _ = Wire(one), Wire(other)
    with frozen(), pure_python():
        expected = outcome(lambda: one.put_object(Bucket="b-b-b", Key="k", Body=b"x" * 100), wire)
        before = count()
        with adapter.attach(one) as attachment:
            found = outcome(lambda: one.put_object(Bucket="b-b-b", Key="k", Body=b"x" * 100), wire)
            assert count() == before + 1
            assert "active" in repr(attachment)
            other.head_object(Bucket="b-b-b", Key="k")
            assert count() == before + 1
            assert "X-Amz-Algorithm" in one.generate_presigned_url(
                "get_object", {"Bucket": "b-b-b", "Key": "k"}
            )
        ids = {"amz-sdk-invocation-id"}
        assert strip(found, ids) == strip(expected, ids)
        one.head_object(Bucket="b-b-b", Key="k")
        assert count() == before + 1
    assert "get_auth_instance" not in vars(one._request_signer)
    with pytest.raises(ConfigError):
        adapter.attach(object())


def test_attach_to_a_session() -> None:
    fresh = botocore.session.Session()
    old = fresh.create_client(
        "s3", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key=SECRET
    )
    attachment = adapter.attach(fresh)
    new = fresh.create_client(
        "sts", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key=SECRET
    )
    Wire(old)
    wire = Wire(new)
    before = count()
    outcome(new.get_caller_identity, wire)
    assert count() == before + 1
    old.head_object(Bucket="b-b-b", Key="k")
    assert count() == before + 1
    attachment.detach()
    assert "create_client" not in vars(fresh)
    boto3 = pytest.importorskip("boto3")
    with adapter.attach(
        boto3.Session(aws_access_key_id="a", aws_secret_access_key=SECRET, region_name="eu-west-1")
    ):
        pass


# --- time, threads, fork ------------------------------------------------------------------------------------------


def test_freezegun() -> None:
    freezegun = pytest.importorskip("freezegun")
    with adapter.install(), freezegun.freeze_time("2031-02-03 04:05:06"):
        made = request()
        botocore.auth.AUTH_TYPE_MAPS["s3v4"](CREDENTIALS, "s3", "us-east-1").add_auth(made)
    assert made.headers["X-Amz-Date"] == "20310203T040506Z" == made.context["timestamp"]
    assert "/20310203/" in made.headers["Authorization"]


def test_keys_follow_the_day_and_the_secret() -> None:
    with adapter.install():
        ours = botocore.auth.AUTH_TYPE_MAPS["s3v4"]
    start = datetime.datetime(2026, 8, 23, 23, 59, 59)
    for step in (0, 1, 2, -100_000, 200_000):
        for secret in (SECRET, SECRET[::-1]):
            results = []
            for cls in (ours, botocore.auth.S3SigV4Auth):
                made = request()
                with frozen(start + datetime.timedelta(seconds=step)):
                    cls(ReadOnlyCredentials(ACCESS_KEY, secret, None), "s3", "us-east-1").add_auth(made)
                results.append(made.headers.items())
            assert results[0] == results[1]
    for i in range(200):  # bounded
        signed_with(ours, f"{i}-secret")
    assert adapter.stats()["keys"] <= 64


def signed_with(cls: Any, secret: str) -> None:
    cls(ReadOnlyCredentials(ACCESS_KEY, secret, None), "s3", "us-east-1").add_auth(request())


def test_no_secret_is_kept() -> None:
    with adapter.install():
        secret = "kept-by-nobody-" + os.urandom(8).hex()
        before = sys.getrefcount(secret)
        signed_with(botocore.auth.AUTH_TYPE_MAPS["s3v4"], secret)
        assert sys.getrefcount(secret) == before


def test_threads() -> None:
    before = threading.active_count()
    with adapter.install():
        ours = botocore.auth.AUTH_TYPE_MAPS["s3v4"]
    expected = dict.fromkeys(("us-east-1", "eu-west-1", "ap-south-1"))
    with frozen():
        for region in expected:
            made = request(b"x" * 10_000)
            botocore.auth.S3SigV4Auth(CREDENTIALS, "s3", region).add_auth(made)
            expected[region] = made.headers.items()
        wrong: list[Any] = []

        def work() -> None:
            for _ in range(200):
                for region, right in expected.items():
                    made = request(b"x" * 10_000)
                    ours(CREDENTIALS, "s3", region).add_auth(made)
                    if made.headers.items() != right:
                        wrong.append(made)

        signed(ours)
        assert threading.active_count() == before  # the signer has none of its own
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong
