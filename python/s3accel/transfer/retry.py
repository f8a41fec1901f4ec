"""Which failures are worth another attempt, after which fix, after how long. Pure: no I/O, no sleep, no clock.

Standard mode as AWS's SDKs have it: three attempts, exponential backoff with full jitter.
Source: AWS SDKs and Tools Reference Guide, "Retry behavior"; S3 API Reference, "Error responses".
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from s3accel.errors import (
    AccelerationUnavailable,
    ConfigError,
    ConnectionLost,
    S3AccelError,
    S3Error,
    TransportError,
)

__all__ = ["NO_RETRY", "RetryPolicy", "Verdict", "classify"]

#: S3's own codes that mean "later, more slowly".
THROTTLING = frozenset(
    {
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "RequestLimitExceeded",
        "TooManyRequests",
        "BandwidthLimitExceeded",
    }
)
TRANSIENT = frozenset(
    {
        "ConditionalRequestConflict",
        "InternalError",
        "OperationAborted",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
    }
)
#: The bytes were damaged or cut on their way; worth one repetition, if the same bytes can be read again.
CORRUPTED = frozenset({"BadDigest", "IncompleteBody", "XAmzContentSHA256Mismatch"})
#: The clock is wrong. (Requests refused for skew say so; an expired presigned URL is another matter.)
SKEWED = frozenset({"RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"})
EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"})
#: With a Region in the answer these mean "signed or sent for the wrong region". The bare statuses are HEAD's.
ELSEWHERE = frozenset(
    {
        "301",
        "307",
        "400",
        "AuthorizationHeaderMalformed",
        "AuthorizationQueryParametersError",
        "IllegalLocationConstraintException",
        "IncorrectEndpoint",
        "PermanentRedirect",
        "Redirect",
        "TemporaryRedirect",
    }
)
RETRY_STATUSES = frozenset({429, 500, 502, 503, 504})


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how patiently.

    Attributes:
        max_attempts: first attempt included; fixes (clock, region, credentials) are not counted, each is made once.
        base_delay: seconds; the n-th delay is drawn from 0 to ``base_delay * 2**(n-1)``. 0.1, because a broken
            connection or a 500 is cured by reaching another of the many hosts behind the name, not by waiting.
        throttle_delay: the same after SlowDown: 1.0 (AWS's own base), because S3 then needs time to split its index.
        max_delay: seconds; no single delay is longer.
        budget: retries that all calls of a client may have outstanding together; ten successes bring one back. When
            they are spent, failures are reported at once.
        deadline: seconds for one upload, retries included; None: as long as something moves (the transport ends
            what does not).
    """

    max_attempts: int = 3
    base_delay: float = 0.1
    throttle_delay: float = 1.0
    max_delay: float = 20.0
    budget: int = 500
    deadline: float | None = None

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise ConfigError(f"max_attempts is {self.max_attempts}; at least 1 attempt is needed")
        if min(self.base_delay, self.throttle_delay, self.max_delay) < 0:
            raise ConfigError("retry delays cannot be negative")
        if self.budget < 0 or (self.deadline is not None and self.deadline <= 0):
            raise ConfigError(
                "the retry budget cannot be negative, and a deadline is more than 0 seconds away"
            )

    def delay(self, attempt: int, verdict: Verdict, fraction: float) -> float:
        """Seconds to wait after failed attempt ``attempt`` (from 1). ``fraction`` is a random number in [0, 1).

        A Retry-After of the server is a lower bound, up to ``max_delay``.
        """
        if verdict.fix:
            return 0.0
        base = self.throttle_delay if verdict.throttled else self.base_delay
        jittered = fraction * min(self.max_delay, base * 2.0 ** min(attempt - 1, 60))
        return min(self.max_delay, max(jittered, verdict.retry_after))


NO_RETRY = RetryPolicy(max_attempts=1)


@dataclass(frozen=True)
class Verdict:
    """Yes or no, and why.

    Attributes:
        fix: ``"clock"``, ``"region"`` or ``"credentials"``: to be mended before the next attempt; "" if nothing is.
        once: at most one more attempt for this reason.
        throttled: S3 asked for fewer requests.
        retry_after: seconds the server asked for.
    """

    retry: bool
    reason: str
    fix: str = ""
    once: bool = False
    throttled: bool = False
    retry_after: float = 0.0


def classify(
    error: BaseException, *, rewindable: bool = True, fixed: Collection[str] = (), region: str = ""
) -> Verdict:
    """Whether ``error`` is worth another attempt.

    Args:
        rewindable: the body can be sent again (True for requests without one).
        fixed: the fixes made already, and codes of ``once`` verdicts already acted on; none is made twice.
        region: what the failed attempt was signed for.
    """
    verdict = _judge(error, fixed, region)
    if verdict.retry and not rewindable:
        return Verdict(False, f"{verdict.reason}, but the source can be read only once")
    return verdict


def _judge(error: BaseException, fixed: Collection[str], region: str) -> Verdict:
    if isinstance(error, TransportError):
        what = "the connection was lost" if isinstance(error, ConnectionLost) else str(error)
        return Verdict(error.retryable, what)
    if isinstance(error, AccelerationUnavailable):
        return Verdict(False, "the bucket has no acceleration; asking again does not change that")
    if isinstance(error, S3Error):
        return _judge_answer(error, fixed, region)
    kind = type(error).__name__
    if isinstance(error, S3AccelError):
        return Verdict(False, f"{kind} is not cured by another attempt")
    return Verdict(False, f"{kind} is not known to be harmless")


def _judge_answer(error: S3Error, fixed: Collection[str], region: str) -> Verdict:
    code = error.code
    label = f"{error.status} {code}" if code != str(error.status) else code
    elsewhere = error.extra.get("Region", "")
    if code in ELSEWHERE and elsewhere and elsewhere != region:
        if "region" in fixed:
            return Verdict(False, f"{label}: sent to region {elsewhere!r} after one correction already")
        return Verdict(True, f"{label}: the bucket is in region {elsewhere!r}, not {region!r}", fix="region")
    if code in SKEWED:
        if "clock" in fixed:
            return Verdict(False, f"{label}: still refused after the clock was corrected")
        return Verdict(True, f"{label}: this machine's clock is wrong", fix="clock")
    if code in EXPIRED:
        if "credentials" in fixed:
            return Verdict(False, f"{label}: fresh credentials are expired too")
        return Verdict(True, f"{label}: the session token has expired", fix="credentials")
    if code in CORRUPTED:
        if code in fixed:
            return Verdict(False, f"{label}: a second attempt failed alike")
        return Verdict(True, f"{label}: the bytes were damaged on the way", once=True)
    wait = _seconds(error.extra.get("Retry-After", ""))
    if code in THROTTLING or error.status == 429:
        return Verdict(True, label, throttled=True, retry_after=wait)
    # 503 without a body is what an edge location or a proxy says when it is overloaded: patience, as for SlowDown.
    if code in TRANSIENT or error.status in RETRY_STATUSES:
        return Verdict(True, label, throttled=error.status == 503, retry_after=wait)
    return Verdict(False, f"{label} is final")


def _seconds(text: str) -> float:
    """Retry-After in seconds; its date form is not used by S3 and counts as 0."""
    return float(text) if text.isdigit() else 0.0
