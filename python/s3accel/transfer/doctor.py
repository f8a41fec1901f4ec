"""Looks at everything an upload depends on, one thing after the other, and says what to do about what is wrong.

Nothing is changed in the bucket unless ``write_test`` or ``throughput`` is asked for; both delete what they stored.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from s3accel.credentials import (
    BotocoreProvider,
    Credentials,
    EnvironmentProvider,
    Provider,
    StaticProvider,
)
from s3accel.errors import ConfigError, CredentialsError, EndpointError
from s3accel.signer import Signer
from s3accel.transfer.doctor_access import Access
from s3accel.transfer.doctor_ask import Answer, Asker, remedy_of
from s3accel.transfer.doctor_checks import (
    FAIL,
    OK,
    SKIP,
    WARN,
    Check,
    Report,
    check_clock,
    check_credentials,
    check_tls,
)
from s3accel.transfer.doctor_speed import Speed
from s3accel.transfer.endpoint import Endpoint, resolve
from s3accel.transfer.routepolicy import ACCELERATE, REGIONAL
from s3accel.transfer.transport import CurlTransport, Transport

__all__ = ["FAIL", "OK", "SKIP", "WARN", "Check", "Doctor", "Report"]

#: A host that does not answer must not hold up the rest for the minute that an upload would wait.
CONNECT_SECONDS = 5.0
STALL_SECONDS = 20.0

Lookup = Callable[..., Sequence[Any]]


class Doctor:
    """The checks of one bucket. `checks` gives them as they are made, `report` all of them.

    Args:
        accelerate: False: only the regional route is looked at.
        region: where the bucket is believed to be; None: AWS_REGION, AWS_DEFAULT_REGION, else us-east-1.
        credentials: None: the environment, then botocore's chain.
        write_test: store an object of a few bytes under ``.s3accel-doctor/`` and delete it.
        throughput: bytes to store (and delete) through each route; 0 for none.
        connections: at the same time, for the throughput.
        round_trips: requests measured on each route.
        lookup, clock, monotonic, transport: for tests.

    The other arguments are those of `Client`. Raises ConfigError (EndpointError) for what cannot go together.
    """

    def __init__(
        self,
        bucket: str,
        *,
        region: str | None = None,
        credentials: Credentials | Provider | None = None,
        accelerate: bool = True,
        dualstack: bool = False,
        endpoint_url: str | None = None,
        connect_to: Mapping[str, str] | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        allow_http_host: str | None = None,
        write_test: bool = False,
        throughput: int = 0,
        connections: int = 4,
        round_trips: int = 7,
        lookup: Lookup = socket.getaddrinfo,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        transport: Transport | None = None,
    ) -> None:
        if throughput < 0 or connections < 1 or round_trips < 1:
            raise ConfigError("throughput must not be negative; connections and round_trips are at least 1")
        if endpoint_url is not None and accelerate:
            raise ConfigError(
                "another endpoint cannot be accelerated: use accelerate=False with endpoint_url"
            )
        self.bucket = bucket
        self._given = region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ""
        self._region = self._given or "us-east-1"
        self._accelerate = accelerate
        self._options: dict[str, Any] = {
            "dualstack": dualstack,
            "endpoint_url": endpoint_url,
            "allow_http_host": allow_http_host,
        }
        self._connect_to = dict(connect_to or {})
        self._credentials = credentials
        self._write_test = write_test
        self._sizes = (throughput, connections, round_trips)
        self._lookup = lookup
        self._clock = clock
        self._monotonic = monotonic
        self._transport = transport
        self._ca_file = ca_file
        resolve("bucket-name", self._region, accelerate=False, **self._options)

    def report(self) -> Report:
        """All checks."""
        return Report(self.bucket, tuple(self.checks()))

    def checks(self) -> Iterator[Check]:
        """One check after the other. Ends early only if the bucket cannot exist; raises nothing but interrupts."""
        if self._transport is not None:
            yield from self._all(self._transport)
            return
        with CurlTransport(
            ca_file=self._ca_file,
            connect_to=self._connect_to,
            connect_timeout=CONNECT_SECONDS,
            stall_seconds=STALL_SECONDS,
        ) as transport:
            yield from self._all(transport)

    # -- the order of things

    def _all(self, transport: Transport) -> Iterator[Check]:
        asker = Asker(transport, monotonic=self._monotonic)
        try:
            endpoints, name = self._names()
        except EndpointError as error:
            yield Check("bucket-name", FAIL, error.reason, error.remedy)
            return
        yield name
        found, credentials = self._find_credentials()
        yield found
        for route, endpoint in endpoints.items():
            yield self._dns(route, endpoint)
        offset: float | None = None
        if credentials is not None:
            # Not the process's clock: what the doctor learns about the time must not hide it from whoever asks next.
            asker.signer = lambda region: Signer(
                credentials, region, clock=lambda: self._clock() + (offset or 0.0)
            )
        first = {route: asker.ask(endpoint, "HeadBucket", "HEAD") for route, endpoint in endpoints.items()}
        clock_check, offset = check_clock(first.values(), self._clock, self._monotonic)
        region_check = self._find_region(asker, endpoints, first)
        yield region_check
        yield clock_check
        endpoints = self._resolve()  # the region may be another one now
        for route, endpoint in list(endpoints.items()):
            answer = first[route]
            if answer.response is not None and answer.connection.host not in ("", endpoint.host):
                answer = asker.ask(endpoint, "HeadBucket", "HEAD")
            yield check_tls(route, endpoint, answer, self._clock())
            if answer.response is None:
                del endpoints[route]
        if region_check.status == FAIL:
            return
        access = Access(asker, endpoints)
        yield from access.checks(self._write_test)
        throughput, connections, round_trips = self._sizes
        speed = Speed(asker, endpoints, access.usable, self._monotonic)
        # Without credentials the answers are refusals, which take as long to come as others.
        yield from speed.checks(throughput if asker.signer else 0, connections, round_trips)

    def _resolve(self) -> dict[str, Endpoint]:
        """The routes' endpoints, the accelerated one last and only if the bucket can be accelerated."""
        found = {REGIONAL: resolve(self.bucket, self._region, accelerate=False, **self._options)}
        if self._accelerate:
            with contextlib.suppress(EndpointError):  # `_names` has said so
                found[ACCELERATE] = resolve(self.bucket, self._region, accelerate=True, **self._options)
        return found

    def _names(self) -> tuple[dict[str, Endpoint], Check]:
        found = self._resolve()
        if not self._accelerate:
            return found, Check("bucket-name", OK, f"{self.bucket} is a possible name")
        try:
            resolve(self.bucket, self._region, accelerate=True, **self._options)
        except EndpointError as error:
            return found, Check("bucket-name", FAIL, error.reason, error.remedy)
        return found, Check("bucket-name", OK, f"{self.bucket} can be accelerated, by its name")

    def _find_credentials(self) -> tuple[Check, Credentials | None]:
        given = self._credentials
        if isinstance(given, Credentials):
            providers: list[tuple[str, Provider]] = [("the caller", StaticProvider(given))]
        elif given is not None:
            providers = [(repr(given), given)]
        else:
            providers = [
                ("the environment", EnvironmentProvider()),
                ("botocore's chain", BotocoreProvider()),
            ]
        reasons = []
        for origin, provider in providers:
            try:
                credentials = provider.load()
            except CredentialsError as error:
                reasons.append(str(error))
                if error.absent:
                    continue
                # There are some, and they are bad: what uploads use next would hide that.
                return Check("credentials", FAIL, str(error), "correct them where they come from"), None
            except Exception as error:  # noqa: BLE001 (a provider of the caller's own; the doctor goes on)
                reasons.append(f"{origin}: {type(error).__name__}: {error}")
                continue
            # botocore says by which of its ways it found them ("iam-role", "sso", "shared-credentials-file").
            method = getattr(getattr(provider, "_source", None), "method", "")
            where = f"{origin} ({method})" if isinstance(method, str) and method else origin
            return check_credentials(credentials, where, self._clock())
        return check_credentials(None, "; ".join(reasons), self._clock())

    def _dns(self, route: str, endpoint: Endpoint) -> Check:
        port = endpoint.port or (443 if endpoint.scheme == "https" else 80)
        target = f"{endpoint.host}:{port}".lower()
        for source, address in self._connect_to.items():
            if source.lower() == target or (source.startswith("*") and target.endswith(source[1:].lower())):
                text = f"{endpoint.host} is not looked up: connected to {address} (connect_to)"
                return Check("dns", OK, text, route=route, data={"connect_to": address})
        proxy = next((name for name in ("https_proxy", "HTTPS_PROXY") if os.environ.get(name)), "")
        began = self._monotonic()
        try:
            answers = self._lookup(endpoint.host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            text = f"{endpoint.host} cannot be looked up: {error.strerror or error}"
            if proxy:
                text += f"; the proxy of {proxy} may know it"
            remedy = "check the name server (resolv.conf), a VPN's name rules, and the bucket's name"
            return Check("dns", WARN if proxy else FAIL, text, remedy, route)
        seconds = self._monotonic() - began
        addresses = list(dict.fromkeys(str(answer[4][0]) for answer in answers))
        shown = ", ".join(addresses[:3]) + (f" and {len(addresses) - 3} more" if len(addresses) > 3 else "")
        text = f"{endpoint.host} is {shown} ({1000 * seconds:.0f} ms)"
        data = {"addresses": addresses, "seconds": seconds}
        if proxy:
            text += f"; requests go through the proxy of {proxy}"
        return Check("dns", OK, text, route=route, data=data)

    def _find_region(
        self, asker: Asker, endpoints: Mapping[str, Endpoint], first: Mapping[str, Answer]
    ) -> Check:
        regional = first[REGIONAL]
        region = next((answer.region for answer in first.values() if answer.region), "")
        if not region and asker.signer is not None and regional.error is not None:
            # HEAD has no body to say it in; a GET that is refused for its region names the right one.
            query = [("list-type", "2"), ("max-keys", "1")]
            answer = asker.ask(endpoints[REGIONAL], "ListObjectsV2", "GET", query=query)
            region = answer.region
            if not region and answer.error is None:
                region = self._region
        if not region and all(answer.response is None for answer in first.values()):
            return Check("region", FAIL, f"no answer from S3: {regional.text}", remedy_of(regional.error))
        if regional.code in ("NoSuchBucket", "404"):
            return Check("region", FAIL, f"there is no bucket {self.bucket!r}", "check the bucket's name")
        if not region:
            remedy = "give the bucket's own region with --region"
            text = f"S3 does not say where the bucket is; {self._region} is assumed"
            return Check("region", WARN, text, remedy, data={"region": self._region})
        data = {"region": region, "given": self._given}
        asked, self._region = self._given, region
        if not asked or asked == region:
            return Check("region", OK, f"the bucket is in {region}", data=data)
        text = f"the bucket is in {region}, not in {asked}: every first request costs a redirection"
        return Check("region", WARN, text, f"give --region {region} or set AWS_REGION={region}", data=data)
