"""The ASGI application: parse, check the signature, route, work, answer; every refusal in S3's words.

Order of a request: head limits and address, fault hook, signature (before a byte of the body is asked for),
what the host and the operation allow, then the operation. See the S3 API Reference for the operations and
"Error responses" for the codes.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from ..credentials import Credentials
from ..errors import ConfigError, VerificationError
from ..verify import VerifiedRequest, Verifier
from .body import check_framing
from .exchange import Receive, Reply, Request, Scope, Send, send_reply
from .faults import Answer, Cut, FaultHook, FaultRequest, Slow, abort_connection
from .names import DEFAULT_BASE_DOMAINS, Address, check_bucket_name, locate
from .operations import HANDLERS
from .operations.common import OWNER_ACCOUNT, Call, Services
from .operations.forms import post_object
from .refusals import ClientGone, Refusal, invalid_request, not_implemented
from .routing import Operation, check_understood, route
from .stats import Stats
from .store import Store
from .uploads import Uploads
from .xml import error_document

log = logging.getLogger("s3accel.local")


class ClockLike(Protocol):
    def now(self) -> float: ...


ClockOption = ClockLike | Callable[[], float] | None
CredentialOption = Mapping[str, str | Credentials]

# What the acceleration endpoint does not serve (S3 User Guide, "Transfer Acceleration": requirements).
_NOT_ACCELERATED = frozenset({"ListBuckets", "CreateBucket", "DeleteBucket"})


def _time_source(clock: ClockOption) -> Callable[[], float]:
    if clock is None:
        return time.time
    if callable(clock):
        return clock
    return clock.now


def known_credentials(credentials: CredentialOption) -> dict[str, Credentials]:
    """Access key id to Credentials. Raises ConfigError if one is filed under another's id."""
    known = {
        name: secret if isinstance(secret, Credentials) else Credentials(name, secret)
        for name, secret in credentials.items()
    }
    for name, one in known.items():
        if one.access_key_id != name:
            raise ConfigError(f"the credentials under {name!r} are those of {one.access_key_id!r}")
    return known


class S3App:
    """An S3 endpoint as an ASGI application. :func:`create_app` describes the arguments."""

    def __init__(
        self,
        root: Path | str,
        credentials: CredentialOption,
        *,
        region: str = "us-east-1",
        base_domains: Sequence[str] = DEFAULT_BASE_DOMAINS,
        clock: ClockOption = None,
        max_skew: float = 900,
        auto_create_buckets: bool = True,
        require_tls: bool = False,
        durable: bool = False,
        fault: FaultHook | None = None,
        stats: Stats | None = None,
    ) -> None:
        self._now = _time_source(clock)
        self._secrets = known_credentials(credentials)
        self._base_domains = tuple(domain.lower().strip(".") for domain in base_domains)
        self._require_tls = require_tls
        self._fault = fault
        self._numbers = itertools.count(1)
        self.region = region
        self.stats = stats if stats is not None else Stats()
        store = Store(Path(root), durable=durable)
        self.services = Services(store, Uploads(store), region, self._now, self.stats, auto_create_buckets)
        self._verifier = Verifier(self._secrets.get, region=region, clock=self._now, max_skew=max_skew)

    def __repr__(self) -> str:
        return f"<S3App {self.services.store.root} {self.region}>"

    def set_fault(self, fault: FaultHook | None) -> None:
        """Change the fault hook."""
        self._fault = fault

    def close(self) -> None:
        """Let go of the folder, so that another endpoint may open it."""
        self.services.store.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"an S3 endpoint answers HTTP only, not {scope['type']!r}")
        request = Request(scope, receive, send)
        self.stats.add_request()
        address = Address(None, None, "path", "custom")
        try:
            request.check_head()
            address = locate(request.host, request.raw_path, self._base_domains)
            reply = await self._answer(request, address)
        except ClientGone:
            return
        except (Refusal, VerificationError) as refusal:
            reply = self._refuse(request, address, refusal)
        except ConfigError as error:
            # While a request is handled only a missing extra raises this (xxhash, for its checksums).
            reply = self._refuse(request, address, not_implemented(str(error), request.method, "Method"))
        except Exception:  # whatever it is, the client gets an answer and the log the traceback
            log.exception("request %s to %s failed", request.request_id, address.resource)
            reply = self._refuse(
                request,
                address,
                Refusal("InternalError", 500, "We encountered an internal error. Please try again."),
            )
        finally:
            self.stats.add_bytes(request.received)
        try:
            await send_reply(request, reply, self._now())
        finally:
            if reply.done is not None:
                reply.done()

    async def _answer(self, request: Request, address: Address) -> Reply:
        operation = route(request, address)
        action = self._ask_hook(request, address, operation)
        if isinstance(action, Answer):
            return await self._injected(request, address, action)
        if isinstance(action, Slow):
            await asyncio.sleep(action.seconds)
            request.seconds_per_byte = action.per_mebibyte / (1 << 20)
        if isinstance(action, Cut) and not action.after_work:
            if action.after_bytes <= 0 or request.ended:
                await self._hang_up(request)
            request.cut_after = action.after_bytes
        reply = await self._work(request, address, operation)
        if isinstance(action, Cut):
            if reply.done is not None:
                reply.done()
            await self._hang_up(request)
        return reply

    async def _work(self, request: Request, address: Address, operation: Operation) -> Reply:
        if self._require_tls and request.scheme != "https":
            raise Refusal("AccessDenied", 403, "Access Denied: this endpoint takes requests over TLS only")
        if operation.name == "PostObject":
            # The signature of a form is in its body.
            self._check_asked(request, address, operation)
            return await post_object(self.services, self._verifier, request, address, operation)
        verified = self._verify(request)
        self.stats.add_signature()
        self.stats.add_operation(operation.name)
        self._check_asked(request, address, operation)
        check_framing(request, verified, operation.name)
        return await HANDLERS[operation.name](Call(self.services, request, verified, address, operation))

    def _verify(self, request: Request) -> VerifiedRequest:
        try:
            return self._verifier.verify(request.method, request.target, request.headers)
        except VerificationError as error:
            if error.code == "NotImplemented":
                # The verifier tells a client what S3 would; here the client is next to the server.
                raise not_implemented(
                    "SigV4a: the endpoint needs the package cryptography for it, pip install 's3accel[sigv4a]'",
                    "AWS4-ECDSA-P256-SHA256",
                    "Algorithm",
                ) from None
            raise

    def _check_asked(self, request: Request, address: Address, operation: Operation) -> None:
        self._check_host(request, address, operation)
        check_understood(request, operation)
        owner = request.amz("x-amz-expected-bucket-owner")
        if owner not in (None, OWNER_ACCOUNT):
            raise Refusal("AccessDenied", 403, "Access Denied")

    def _check_host(self, request: Request, address: Address, operation: Operation) -> None:
        """What this host serves: the right region, and on the acceleration host only what can be
        accelerated."""
        bucket = address.bucket
        if address.host_region not in (None, self.region):
            endpoint = f"s3.{self.region}.amazonaws.com"
            raise Refusal(
                "PermanentRedirect",
                301,
                "The bucket you are attempting to access must be addressed using the specified endpoint. "
                "Please send all future requests to this endpoint.",
                {"Endpoint": f"{bucket}.{endpoint}" if bucket else endpoint, "Bucket": bucket or ""},
                {"x-amz-bucket-region": self.region},
            )
        if bucket is not None:
            check_bucket_name(bucket)
        if address.kind != "accelerate":
            return
        if address.style == "path":
            raise invalid_request("S3 Transfer Acceleration endpoint only supports virtual style requests.")
        if bucket is None or operation.name in _NOT_ACCELERATED:
            raise invalid_request(f"S3 Transfer Acceleration does not support {operation.name}")
        if "." in bucket:
            raise invalid_request(
                "S3 Transfer Acceleration is not supported for buckets with periods (.) in their names"
            )
        known = self.services.store.buckets.get(bucket)
        if known is None:
            # A write creates it (with acceleration) or the operation itself answers NoSuchBucket.
            return
        if known.record.acceleration is None:
            raise invalid_request("S3 Transfer Acceleration is not configured on this bucket")
        if known.record.acceleration != "Enabled":
            raise invalid_request("S3 Transfer Acceleration is disabled on this bucket")

    def _refuse(self, request: Request, address: Address, refusal: Refusal | VerificationError) -> Reply:
        self.stats.add_refusal(refusal.code)
        log.info("%s %s refused: %s", request.method, address.resource, refusal.code)
        headers = list(refusal.headers.items()) if isinstance(refusal, Refusal) else []
        if "Region" in refusal.extra:
            headers.append(("x-amz-bucket-region", refusal.extra["Region"]))
        body = error_document(
            refusal.code,
            refusal.message,
            refusal.extra,
            address.resource,
            request.request_id,
            request.host_id,
        )
        if request.method == "HEAD":
            return Reply(refusal.status, headers=headers)
        return Reply(refusal.status, body, headers)

    # -- faults --------------------------------------------------------------------------------------------

    def _ask_hook(
        self, request: Request, address: Address, operation: Operation
    ) -> Answer | Cut | Slow | None:
        if self._fault is None:
            return None
        return self._fault(
            FaultRequest(
                next(self._numbers),
                request.method,
                request.host,
                request.target,
                tuple(request.headers),
                operation.name,
                address.bucket,
                address.key,
            )
        )

    async def _injected(self, request: Request, address: Address, action: Answer) -> Reply:
        if action.read_body:
            while await request.chunk() is not None:
                pass
        if action.body is not None:
            return Reply(action.status, action.body, list(action.headers.items()))
        refusal = Refusal(action.code, action.status, action.message, headers=action.headers)
        return self._refuse(request, address, refusal)

    async def _hang_up(self, request: Request) -> None:
        abort_connection(request.receive)
        # Give the transport a turn to notice, so that the server does not take the missing answer for a
        # fault.
        while (await request.receive())["type"] != "http.disconnect":
            pass
        raise ClientGone


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def create_app(
    root: Path | str,
    credentials: CredentialOption,
    *,
    region: str = "us-east-1",
    base_domains: Sequence[str] = DEFAULT_BASE_DOMAINS,
    clock: ClockOption = None,
    max_skew: float = 900,
    auto_create_buckets: bool = True,
    require_tls: bool = False,
    durable: bool = False,
    fault: FaultHook | None = None,
    stats: Stats | None = None,
) -> S3App:
    """An ASGI application that answers as an S3 endpoint and verifies every byte it is sent.

    Run it under uvicorn with the httptools or h11 protocol (or use :class:`s3accel.local.LocalServer`).

    Args:
        root: the folder that holds buckets and objects; made if missing. One endpoint at a time.
        credentials: access key id to secret access key, or to :class:`~s3accel.Credentials`: one with a
            session token is taken with that token only (InvalidToken), until it expires (ExpiredToken).
        region: the one region of the endpoint and of all its buckets.
        base_domains: hosts below which the first labels name a bucket. The ``amazonaws.com`` forms are
            always known; a host that is neither is addressed in path style.
        clock: what the time is, in epoch seconds: a callable or an object with ``now()``. Also used for
            ``Date``.
        max_skew: how far a request's date may be from that time, seconds.
        auto_create_buckets: the first object written to an unknown bucket creates it, with acceleration
            enabled.
        require_tls: refuse requests that did not come over TLS (AccessDenied).
        durable: fsync files before they count as stored.
        fault: see :mod:`s3accel.local.faults`.
        stats: counters to add to.

    Raises:
        ConfigError: the folder cannot be used as a store, or another endpoint uses it.
    """
    return S3App(
        root,
        credentials,
        region=region,
        base_domains=base_domains,
        clock=clock,
        max_skew=max_skew,
        auto_create_buckets=auto_create_buckets,
        require_tls=require_tls,
        durable=durable,
        fault=fault,
        stats=stats,
    )
