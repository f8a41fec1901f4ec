"""Runs one S3 call: endpoint, region, signer, request, answer, again if retry.py says so.

What answers teach (a bucket's region, the server's time, that a token is dead) is learned here, for all later calls.
With a router, calls of which nobody has said the route take the one that works.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from xml.etree.ElementTree import Element

from s3accel.clock import Clock, parse_http_date, system_clock
from s3accel.credentials import Credentials, Provider
from s3accel.errors import EndpointError, S3AccelError, S3Error, SignatureMismatch
from s3accel.signer import Signer
from s3accel.transfer import s3xml
from s3accel.transfer.attempts import Attempt, Attempts, History
from s3accel.transfer.body import Payload
from s3accel.transfer.endpoint import Endpoint, resolve, validate_key
from s3accel.transfer.messages import BytesBody, Request, Response, Sink
from s3accel.transfer.progress import AttemptMeter
from s3accel.transfer.retry import RetryPolicy, Verdict
from s3accel.transfer.route import ACCELERATE, REGIONAL, Router, fault_of
from s3accel.transfer.routepolicy import other_route
from s3accel.transfer.transport import Transport
from s3accel.transfer.tries import Tries

__all__ = ["Call", "Caller", "Operation", "Site", "Stored"]


#: Smaller bodies are on their way before a server can refuse them; asking first would only cost a round trip. This is
#: for attempts after one whose connection broke ...
ASK_ABOVE = 64 * 1024
#: ... and this for all: from here on a refusal that comes too late is dearer than a round trip (the AWS SDK for Go v2
#: asks from 2 MiB on).
EXPECT_ABOVE = 2 * 1024 * 1024


@dataclass(frozen=True)
class Site:
    """Where requests go; the arguments of `endpoint.resolve` that do not depend on the bucket."""

    region: str
    accelerate: bool = True
    dualstack: bool = False
    endpoint_url: str | None = None
    allow_http_host: str | None = None
    path_style: bool | None = None


@dataclass(frozen=True)
class Stored:
    """The answer to a successful call. ``checksum``: the value we computed for the body, base64 or ""."""

    etag: str
    version_id: str | None
    checksum: str
    response: Response
    endpoint: Endpoint
    root: Element | None = None


@dataclass
class Call:
    """What one call needs beside its arguments: who is told, who may stop it, where its history goes.

    ``deadline``: monotonic time by which it must have ended.
    ``route``: "accelerate" or "regional" where that was chosen for this call, "" for what the router or the site says.
    ``movable``: whoever makes this call takes the other route if this one cannot be reached, so that the same one is not
    tried again while the other is open.
    ``first``: the error of an attempt that somebody else has made; it counts as the first one.
    """

    history: History = field(default_factory=History)
    meter: AttemptMeter | None = None
    on_retry: Callable[[int, str], None] | None = None
    stopped: Callable[[], bool] | None = None
    sleep: Callable[[float], None] | None = None
    route: str = ""
    movable: bool = False
    deadline: float | None = None
    first: Exception | None = None


@dataclass(frozen=True)
class Operation:
    """One call as S3's documentation has it.

    Attributes:
        body: small and in memory, or None; ``payload``: object bytes. Not both.
        sink: called with the headers of each successful answer, gives what takes its bytes.
        root: the XML root that a success must have; an answer that is cut or empty is then a failed attempt.
        watched: as in `Request`: False if the TLS version of its connection is of no interest.
    """

    name: str
    method: str
    bucket: str
    key: str | None = None
    query: Sequence[tuple[str, str]] = ()
    headers: Sequence[tuple[str, str]] = ()
    body: bytes | None = None
    payload: Payload | None = None
    sink: Sink | None = None
    stall: float | None = None
    root: str = ""
    watched: bool = True


class Caller:
    """Thread-safe: regions, endpoints and signers are kept under a lock.

    Args:
        clock: learns the server's time when it refuses ours; the process's clock by default. A plain callable
            cannot learn.
        router: chooses between the accelerated and the regional host, or None: always what ``site`` says.
        expect_above: bytes of body above which the server is asked first (Expect: 100-continue); None: never.
        sleep, chance: for tests.
    """

    def __init__(
        self,
        transport: Transport,
        site: Site,
        credentials: Credentials | Provider | None,
        *,
        policy: RetryPolicy | None = None,
        clock: Clock | Callable[[], float] | None = None,
        router: Router | None = None,
        expect_above: int | None = EXPECT_ABOVE,
        sleep: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.transport = transport
        self.site = site
        self.router = router
        self._credentials = credentials
        self._clock = clock
        self._expect_above = expect_above
        self._attempts = Attempts(policy or RetryPolicy(), sleep=sleep, chance=chance)
        self._lock = threading.Lock()
        self._regions: dict[str, str] = {}
        self._signers: dict[str, Signer] = {}
        self._endpoints: dict[tuple[str, str, str, str], Endpoint] = {}

    @property
    def attempts(self) -> Attempts:
        return self._attempts

    # -- what is known

    @property
    def clock_offset(self) -> float:
        """Seconds by which the server's clock is ahead of ours, as far as that was learned."""
        clock = system_clock if self._clock is None else self._clock
        return clock.offset if isinstance(clock, Clock) else 0.0

    def region(self, bucket: str) -> str:
        """The region to sign for: learned from an answer, or the configured one."""
        return self._regions.get(bucket, self.site.region)

    def signer(self, region: str) -> Signer:
        signer = self._signers.get(region)
        if signer is not None:
            return signer
        with self._lock:
            signer = self._signers.get(region)
            if signer is None:
                signer = self._signers[region] = Signer(self._credentials, region, clock=self._clock)
            return signer

    def endpoint(self, bucket: str, operation: str = "", route: str = "") -> Endpoint:
        """Where requests for ``bucket`` go. ``route``: "accelerate", "regional", or "" for what the site says.

        Raises EndpointError.
        """
        region = self.region(bucket)
        found = self._endpoints.get((bucket, region, operation, route))
        if found is None:
            site = self.site
            found = resolve(
                bucket,
                region,
                accelerate=route == "accelerate" if route else site.accelerate,
                dualstack=site.dualstack,
                endpoint_url=site.endpoint_url,
                allow_http_host=site.allow_http_host,
                path_style=site.path_style,
                operation=operation,
            )
            with self._lock:
                if len(self._endpoints) > 4096:  # bounded for processes that see very many buckets
                    self._endpoints.clear()
                self._endpoints[(bucket, region, operation, route)] = found
        return found

    def admit(self, bucket: str, operation: str = "") -> Endpoint:
        """Refuse before any I/O a bucket that cannot be reached; with a router only one that no route takes.

        Returns the endpoint of the first route that is open. Raises EndpointError.
        """
        router = self.router
        if router is None:
            return self.endpoint(bucket, operation)
        if router.available(bucket, ACCELERATE):
            try:
                return self.endpoint(bucket, operation, ACCELERATE)
            except EndpointError as error:
                found = self.endpoint(bucket, operation, REGIONAL)
                router.rule_out(bucket, error.reason)
                return found
        return self.endpoint(bucket, operation, REGIONAL)

    def _fix(self, bucket: str, verdict: Verdict, error: BaseException) -> bool:
        extra = error.extra if isinstance(error, S3Error) else {}
        if verdict.fix == "region":
            self._regions[bucket] = extra["Region"]
            return True
        if verdict.fix == "credentials":
            if isinstance(self._credentials, Credentials):
                return False  # there are no others to be had
            self.signer(self.region(bucket)).refresh()
            return True
        if verdict.fix == "clock":
            clock = system_clock if self._clock is None else self._clock
            server = parse_http_date(extra.get("ServerTime", "") or extra.get("Date", ""))
            if not isinstance(clock, Clock) or server is None:
                return False
            clock.learn(server)
            return True
        return False

    # -- one call

    def run(self, operation: Operation, call: Call | None = None) -> Stored:
        """Make the call, attempt by attempt. Raises EndpointError, ConfigError, S3Error, TransportError, SourceError.

        With a router and no ``call.route`` it is made over the route that works, and once more over the other if that
        is lost.
        """
        call = call or Call()
        if self.router is None or call.route:
            return self._run(operation, call)
        self.admit(operation.bucket, operation.name)
        # Its time is mostly S3's own work.
        reading = operation.sink is not None
        tries = Tries(self.router, operation.bucket, None if reading else 0, download=reading, measure=False)
        while True:
            try:
                stored = self._run(operation, replace(call, route=tries.route, movable=True))
            except S3AccelError as error:
                lost = tries.failed(error, 0)
                if not lost:
                    raise
                call.history.reasons.append(lost)
                continue
            length = stored.response.headers.get("content-length", "0") if reading else "0"
            tries.done(int(length) if length.isdigit() else 0)
            return stored

    def _run(self, operation: Operation, call: Call) -> Stored:
        if operation.key is not None:
            validate_key(operation.key)
        bucket = operation.bucket
        return self._attempts.run(
            lambda attempt: self._once(operation, call, attempt),
            fix=lambda verdict, error: self._fix(bucket, verdict, error),
            region=lambda: self.region(bucket),
            history=call.history,
            rewindable=operation.payload is None or operation.payload.source.rewindable,
            on_retry=call.on_retry,
            deadline=call.deadline,
            sleep=call.sleep,
            final=lambda error: call.movable and self._moves(bucket, call.route, error),
        )

    def _moves(self, bucket: str, route: str, error: Exception) -> bool:
        """Whether the other route is a better next try than this one."""
        router = self.router
        if router is None or fault_of(error) != "unreachable":
            return False
        return router.available(bucket, other_route(route))

    def _asks(self, length: int, attempt: Attempt) -> bool:
        """Whether the server is asked before a body of ``length`` bytes is sent.

        After an attempt that broke it is asked earlier: perhaps it had refused already while the body was under way,
        and asked first, it can say so.
        """
        if self._expect_above is None:
            return False
        return length > (min(ASK_ABOVE, self._expect_above) if attempt.careful else self._expect_above)

    def _once(self, operation: Operation, call: Call, attempt: Attempt) -> Stored:
        if call.first is not None:
            first, call.first = call.first, None
            raise first
        endpoint = self.endpoint(operation.bucket, operation.name, call.route)
        url = endpoint.url(operation.key or "", operation.query)
        signer = self.signer(endpoint.region)
        headers = list(operation.headers)
        body: Any = None
        checksum: Callable[[], str] = str
        if operation.payload is not None:
            prepared = operation.payload.prepare(signer, operation.method, url, headers, call.meter)
            headers, body, checksum = prepared.headers, prepared.body, prepared.checksum
        else:
            data = operation.body
            headers += signer.sign(operation.method, url, headers, data or b"").items()
            body = None if data is None else BytesBody(data)
        if body is not None and self._asks(body.length, attempt):
            # Never signed: proxies drop this header.
            headers.append(("Expect", "100-continue"))
        request = Request(
            operation.method,
            url,
            tuple(headers),
            body,
            sink=operation.sink,
            stall_seconds=operation.stall,
            cancelled=call.stopped,
            deadline=call.deadline,
            watched=operation.watched,
        )
        response = self.transport.send(request)
        if not 200 <= response.status < 300 or s3xml.holds_error(response):
            error = s3xml.error_from(response, operation.name, operation.bucket, operation.key or "")
            raise _explained(request, error) if isinstance(error, SignatureMismatch) else error
        root = s3xml.parse_answer(response, operation.name, operation.root) if operation.root else None
        return Stored(
            etag=response.headers.get("etag"),
            version_id=response.headers.get("x-amz-version-id") or None,
            checksum=checksum(),
            response=response,
            endpoint=endpoint,
            root=root,
        )


def _explained(request: Request, error: S3Error) -> S3Error:
    """The error with what a comparison of S3's canonical request with ours shows, in its text."""
    from s3accel.explain import explain_s3_error  # here: a success has no use for it

    # Where the server shows nothing there is nothing to compare.
    why = explain_s3_error(request, error) if error.received.get("CanonicalRequest") else ""
    if why:
        error.message = f"{error.message.rstrip()} {why}" if error.message else why
        error.args = (error._describe(),)
    return error
