"""What a check is, and those that need no further request: clock, credentials, TLS."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from s3accel.clock import parse_http_date
from s3accel.credentials import Credentials
from s3accel.transfer.doctor_ask import Answer, remedy_of
from s3accel.transfer.endpoint import Endpoint

__all__ = [
    "FAIL",
    "OK",
    "SKIP",
    "WARN",
    "Check",
    "Report",
    "check_clock",
    "check_credentials",
    "check_tls",
]

OK = "ok"
WARN = "warn"
FAIL = "fail"
#: Not looked at, because nobody asked for it or because something before it failed. Never counts as good.
SKIP = "skip"

#: S3 refuses a request that is further away than this (S3 API Reference, "RequestTimeTooSkewed").
MAX_SKEW = 900.0
SKEW_WARN = 60.0
#: A certificate of AWS is renewed long before; one that is this near its end has been forgotten.
CERTIFICATE_DAYS = 14
#: A transfer that begins now should not outlive its token.
TOKEN_SECONDS = 900.0


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: stable, for machines.
        status: ``"ok"``, ``"warn"`` (uploads work, something is not as it should be), ``"fail"`` or ``"skip"``.
        text: what was found; no secrets.
        remedy: what to do, or "".
        route: ``"accelerate"`` or ``"regional"`` where it is about one of them, else "".
        data: the same in numbers and names.
    """

    name: str
    status: str
    text: str
    remedy: str = ""
    route: str = ""
    data: Mapping[str, object] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """For JSON; names and values are stable between versions."""
        return {
            "check": self.name,
            "route": self.route or None,
            "status": self.status,
            "text": self.text,
            "remedy": self.remedy,
            "data": dict(self.data),
        }


@dataclass(frozen=True)
class Report:
    """All checks of one bucket. ``ok``: none of them failed."""

    bucket: str
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        return all(check.status != FAIL for check in self.checks)

    def find(self, name: str, route: str = "") -> Check | None:
        """The check of that name (and route), or None if it was not made."""
        return next((check for check in self.checks if (check.name, check.route) == (name, route)), None)


def check_clock(
    answers: Iterable[Answer], clock: Callable[[], float], monotonic: Callable[[], float]
) -> tuple[Check, float | None]:
    """Our clock against the servers' Date headers (whole seconds), and the seconds that S3 is ahead, or None."""
    wall = clock() - monotonic()
    offsets: list[float] = []
    for answer in answers:
        date = parse_http_date(answer.response.headers.get("date")) if answer.response is not None else None
        if date is not None:
            # The header is cut to the second, so the server's time was half a second more on average.
            offsets.append(date + 0.5 - (wall + (answer.began + answer.ended) / 2))
    if not offsets:
        return Check("clock", SKIP, "no answer said the time"), None
    offset = min(offsets, key=abs)
    data = {"offset": round(offset, 1)}
    if abs(offset) <= SKEW_WARN:
        return Check(
            "clock",
            OK,
            f"this machine's clock agrees with S3's (within {max(1.0, abs(offset)):.0f} s)",
            data=data,
        ), offset
    way = "behind" if offset > 0 else "ahead of"
    text = f"this machine's clock is {abs(offset):.0f} s {way} S3's"
    remedy = "let this machine keep its clock by NTP (chronyd, systemd-timesyncd)"
    if abs(offset) <= MAX_SKEW:
        return Check(
            "clock", WARN, f"{text}; more than {MAX_SKEW:.0f} s is refused", remedy, data=data
        ), offset
    return Check("clock", FAIL, f"{text}; S3 refuses more than {MAX_SKEW:.0f} s", remedy, data=data), offset


def check_credentials(
    credentials: Credentials | None, where: str, now: float
) -> tuple[Check, Credentials | None]:
    """Are there any, of what sort, until when. Says nothing that identifies the key."""
    if credentials is None:
        remedy = (
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile (with pip install 's3accel[boto]')"
        )
        return Check("credentials", FAIL, f"no credentials: {where}", remedy), None
    temporary = credentials.access_key_id.startswith("ASIA")
    sort = "temporary" if temporary or credentials.session_token else "long-lived"
    expires = credentials.expires_at
    left = None if expires is None else expires - now
    data: dict[str, object] = {"from": where, "kind": sort, "expires_at": expires}
    text = f"{sort} credentials from {where}"
    if temporary and not credentials.session_token:
        # Key ids that begin with ASIA come from STS (IAM User Guide, "IAM identifiers").
        remedy = "set AWS_SESSION_TOKEN too: this key works only with the token it came with"
        return Check(
            "credentials", FAIL, f"{text}, without their session token", remedy, data=data
        ), credentials
    if left is None:
        return Check("credentials", OK, f"{text}, no expiry known", data=data), credentials
    until = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(expires))
    if left <= 0:
        remedy = "fetch new temporary credentials"
        return Check("credentials", FAIL, f"{text}, expired at {until}", remedy, data=data), credentials
    text = f"{text}, valid until {until} ({left / 60:.0f} min)"
    if left < TOKEN_SECONDS:
        remedy = "fetch new ones before a long upload, or give a provider that refreshes"
        return Check("credentials", WARN, text, remedy, data=data), credentials
    return Check("credentials", OK, text, data=data), credentials


def _expiry(text: str) -> float | None:
    try:
        return float(ssl.cert_time_to_seconds(text))
    except ValueError:
        return parse_http_date(text)


def check_tls(route: str, endpoint: Endpoint, answer: Answer, now: float) -> Check:
    """Whether the route can be reached, over which TLS, and who answered."""
    if answer.response is None:
        remedy = remedy_of(answer.error)
        return Check("tls", FAIL, f"{endpoint.host} is not reachable: {answer.text}", remedy, route)
    connection, certificate = answer.connection, answer.connection.certificate
    if endpoint.scheme != "https":
        text = f"{endpoint.host} is spoken to without TLS: anyone on the path can read the data"
        return Check("tls", WARN, text, "use https://", route, {"address": connection.address})
    data: dict[str, object] = {
        "address": connection.address,
        "http_version": connection.http_version,
        "tls_version": connection.tls_version,
        "cipher": connection.cipher,
        "key_exchange": connection.key_exchange,
    }
    exchange = f", {connection.key_exchange}" if connection.key_exchange else ""
    text = f"{connection.tls_version or 'TLS'}, {connection.cipher or 'cipher not told'}{exchange}, {connection.address}"
    if certificate is None:
        return Check(
            "tls", OK, f"{text}; the TLS library does not show the certificate", route=route, data=data
        )
    expires = _expiry(certificate.expires)
    data |= {
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "expires": certificate.expires,
        "sha256": certificate.sha256,
    }
    text += f"; {certificate.subject}, issued by {certificate.issuer}, until {certificate.expires}"
    if _is_aws(endpoint) and "amazon" not in certificate.issuer.lower():
        remedy = "look for a proxy that opens TLS, or a connect_to, if you did not expect one"
        return Check("tls", WARN, f"{text}: not a certificate of Amazon's", remedy, route, data)
    if expires is not None and expires - now < CERTIFICATE_DAYS * 86_400:
        days = (expires - now) / 86_400
        text += f"; the certificate ends in {days:.0f} days"
        remedy = (
            "tell whoever runs this endpoint" if _is_aws(endpoint) else "renew the endpoint's certificate"
        )
        return Check("tls", WARN, text, remedy, route, data)
    return Check("tls", OK, text, route=route, data=data)


def _is_aws(endpoint: Endpoint) -> bool:
    return endpoint.kind != "custom"
