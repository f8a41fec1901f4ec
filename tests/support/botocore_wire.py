"""What botocore would put on the wire, caught before it gets there, for parameters made from a service model."""

from __future__ import annotations

import contextlib
import datetime
import io
import random
import sys
import types
import uuid
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import botocore.auth
import botocore.session
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.compat import HAS_CRT
from botocore.config import Config
from botocore.credentials import ReadOnlyCredentials

ACCESS_KEY = "AKIDEXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
TOKEN = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQW+LWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGd=="
NOW = datetime.datetime(2026, 8, 23, 12, 34, 56)
SESSION_XML = (
    b"<CreateSessionResult><Credentials><AccessKeyId>ASIAEXPRESS</AccessKeyId>"
    b"<SecretAccessKey>expressSecretKey</SecretAccessKey><SessionToken>expressToken==</SessionToken>"
    b"<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></CreateSessionResult>"
)
PURE = {
    "v4": botocore.auth.SigV4Auth,
    "v4-query": botocore.auth.SigV4QueryAuth,
    "s3v4": botocore.auth.S3SigV4Auth,
    "s3v4-query": botocore.auth.S3SigV4QueryAuth,
}

CREDENTIALS = ReadOnlyCredentials(ACCESS_KEY, SECRET, None)

_session: Any = None


def session() -> Any:
    global _session
    if _session is None:
        _session = botocore.session.Session()
    return _session


class Raw(io.BytesIO):
    """What a response's body is read from."""

    def stream(self, amt: int = 65536, decode_content: bool | None = None) -> Iterator[bytes]:
        while piece := self.read(amt):
            yield piece


def answer(status: int, url: str, headers: dict[str, str], body: bytes) -> AWSResponse:
    return AWSResponse(url, status, {"content-length": str(len(body)), **headers}, Raw(body))


def client(
    service: str = "s3", *, token: str | None = None, region: str = "us-east-1", **options: Any
) -> Any:
    endpoint = options.pop("endpoint_url", None)
    config = Config(retries={"total_max_attempts": 1}, **options)
    return session().create_client(
        service,
        region_name=region,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET,
        aws_session_token=token,
        endpoint_url=endpoint,
        config=config,
    )


class Wire:
    """Catches every request of a client and answers it."""

    def __init__(self, target: Any, reply: Callable[[Any], AWSResponse] | None = None) -> None:
        self.requests: list[Any] = []
        self.reply = reply
        target.meta.events.register_last("before-send", self._send)

    def _send(self, request: Any, **kwargs: Any) -> AWSResponse:
        body = request.body
        if hasattr(body, "read"):
            body = body.read()
        elif isinstance(body, str):
            body = body.encode()
        # HeadersDict keeps the order; values become bytes later, in urllib3's way.
        headers = [(str(name), value) for name, value in request.headers.items()]
        self.requests.append((request.method, request.url, headers, bytes(body or b"")))
        if self.reply is not None:
            return self.reply(request)
        if "session" in request.url.partition("?")[2].split("&"):
            return answer(200, request.url, {}, SESSION_XML)
        return answer(200, request.url, {}, b"" if request.method == "HEAD" else b"<Empty/>")


def outcome(call: Callable[[], Any], wire: Wire) -> Any:
    """The requests a call made, and the exception if it raised one."""
    wire.requests.clear()
    error = None
    try:
        call()
    except Exception as e:
        error = f"{type(e).__name__}: {e}"
    return list(wire.requests), error


@contextlib.contextmanager
def frozen(now: datetime.datetime = NOW) -> Iterator[None]:
    """botocore's clock stands still, and the ids it gives to requests repeat."""
    ids = random.Random(7)

    class Still(datetime.datetime):
        @classmethod
        def utcnow(cls) -> datetime.datetime:  # what botocore asked before it had get_current_datetime
            return now

    clock = types.SimpleNamespace(
        datetime=Still, timedelta=datetime.timedelta, timezone=datetime.timezone, UTC=datetime.timezone.utc
    )
    with contextlib.ExitStack() as stack:
        for module in ("botocore.auth", "botocore.signers", *(["botocore.crt.auth"] if HAS_CRT else [])):
            right = now.replace(tzinfo=datetime.timezone.utc) if "crt" in module else now
            if hasattr(sys.modules[module], "get_current_datetime"):
                stack.enter_context(mock.patch(f"{module}.get_current_datetime", return_value=right))
            else:
                stack.enter_context(mock.patch(f"{module}.datetime", clock))
        stack.enter_context(mock.patch("uuid.uuid4", side_effect=lambda: uuid.UUID(int=ids.getrandbits(128))))
        yield


@contextlib.contextmanager
def pure_python() -> Iterator[None]:
    """botocore as it is without awscrt."""
    with mock.patch.dict(botocore.auth.AUTH_TYPE_MAPS, PURE):
        yield


class Parameters:
    """Parameters for an operation, made from its model: every required one, and others by chance."""

    TEXTS = ("a", "with space", "päth/ü~*'()", "a+b=c&d%20", "..//x", "A" * 40, "key-7.txt")
    ASCII = ("a", "two  spaces", "x=1;y", "tab\tend", "Mixed Case-1")

    def __init__(self, seed: int, *, bucket: str = "amzn-s3-demo-bucket", share: float = 0.3) -> None:
        self.random = random.Random(seed)
        self.bucket = bucket
        self.share = share

    def of(self, operation: Any) -> dict[str, Any]:
        shape = operation.input_shape
        return {} if shape is None else self._structure(shape, 0)

    def _structure(self, shape: Any, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        members = list(shape.members.items())
        if getattr(shape, "is_tagged_union", False):
            members = [self.random.choice(members)]
        for name, member in members:
            wanted = name in shape.required_members or len(members) == 1
            if not wanted and (depth > 3 or self.random.random() > self.share):
                continue
            # Checksums and digests given by the caller, and keys that must have a certain length, go together
            # with other parameters; what botocore makes of wrong ones is compared as well, but seldom.
            if name.startswith(("Checksum", "SSECustomerKey", "CopySourceSSE")) and not wanted and depth == 0:
                continue
            value = self._value(name, member, depth)
            if value is not None:
                made[name] = value
        return made

    def _value(self, name: str, shape: Any, depth: int) -> Any:
        pick = self.random.choice
        kind = shape.type_name
        if name == "Bucket":
            return self.bucket
        if name == "CopySource":
            return pick(["amzn-s3-demo-bucket/källa/x y", {"Bucket": "amzn-s3-demo-bucket", "Key": "a b"}])
        if name == "AccountId":
            return "123456789012"
        if kind == "structure":
            return self._structure(shape, depth + 1)
        if kind == "list":
            return [self._value("member", shape.member, depth + 1) for _ in range(self.random.randint(1, 2))]
        if kind == "map":
            return {
                f"k{i}": self._value("value", shape.value, depth + 1)
                for i in range(self.random.randint(0, 2))
            }
        if kind == "string":
            if shape.enum:
                return pick(
                    [v for v in shape.enum if not v.startswith(("XX", "CRC32C", "CRC64"))] or shape.enum
                )
            header = shape.serialization.get("location") == "header" or name == "value"
            text = pick(self.ASCII if header else self.TEXTS)
            least = shape.metadata.get("min", 0)
            return (
                text.strip() + "x" * max(0, least - len(text))
                if header
                else text + "x" * max(0, least - len(text))
            )
        if kind in ("integer", "long"):
            return self.random.randint(int(shape.metadata.get("min", 1)), int(shape.metadata.get("max", 100)))
        if kind in ("float", "double"):
            return 1.5
        if kind == "boolean":
            return self.random.random() < 0.5
        if kind == "timestamp":
            return datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
        if kind == "blob":
            return self.random.randbytes(self.random.choice([0, 3, 70_000]))
        raise AssertionError(f"no value for {name} of type {kind}")


def request(data: Any = b"", **context: Any) -> AWSRequest:
    made = AWSRequest(
        "PUT",
        "https://amzn-s3-demo-bucket.s3.amazonaws.com/k?b=2&a=1",
        headers={"X-Amz-Meta-A": " x  y ", "User-Agent": "u"},
        data=data,
    )
    made.context = context
    return made


def strip(result: Any, names: set[str]) -> Any:
    """The requests of an outcome without some headers."""
    return [(m, u, [h for h in headers if h[0] not in names], b) for m, u, headers, b in result[0]]
