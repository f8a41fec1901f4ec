"""The words of route choice: what it goes by, what it decides, what it accounts, and what an error says of a route. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from s3accel.errors import (
    AccelerationUnavailable,
    ConfigError,
    ConnectError,
    S3Error,
    SlowDown,
    TlsError,
    TransferTimeout,
    TransportError,
)
from s3accel.transfer.estimate import Estimates

__all__ = [
    "ACCELERATE",
    "REGIONAL",
    "ROUTES",
    "Block",
    "BucketState",
    "Decision",
    "RoutePolicy",
    "RouteUse",
    "fault_of",
    "other_route",
]

ACCELERATE = "accelerate"
REGIONAL = "regional"
ROUTES = (ACCELERATE, REGIONAL)


def other_route(route: str) -> str:
    return REGIONAL if route == ACCELERATE else ACCELERATE


@dataclass(frozen=True)
class RoutePolicy:
    """What `Router` goes by.

    Attributes:
        margin: how much faster the accelerated route has to be: 0.2 is 20 %. Once in use it stays until half of the
            margin is lost, so that two routes of like speed do not take turns.
        samples: requests measured on a route before it is compared.
        small: bytes; bodies below are compared by the time of a request, others by bytes per second.
        stale: seconds after which the route that is not in use is measured again.
        probe_limit: bytes; no larger object is spent on measuring.
        refused_for: seconds without a try after S3 said that the bucket has no acceleration.
        unreachable_for: seconds without a try after a route could not be reached; doubled each time up to
            ``unreachable_limit``.
        faults: failures of other kinds (connection lost, 5xx), one after the other, that count as unreachable.
    """

    margin: float = 0.2
    samples: int = 3
    small: int = 256 * 1024
    stale: float = 300.0
    probe_limit: int = 64 * 1024 * 1024
    refused_for: float = 600.0
    unreachable_for: float = 30.0
    unreachable_limit: float = 600.0
    faults: int = 3

    def __post_init__(self) -> None:
        if self.margin < 0:
            raise ConfigError(f"margin is {self.margin}; it is a share, 0 or more")
        if self.samples < 1 or self.faults < 1:
            raise ConfigError("samples and faults must be at least 1")
        if min(self.stale, self.refused_for, self.unreachable_for, self.unreachable_limit) <= 0:
            raise ConfigError("the seconds of a RoutePolicy must be above 0")


@dataclass(frozen=True)
class Decision:
    """Which way one object goes. ``reason``: a sentence for people; ``probe``: it is sent there to measure or to try."""

    route: str
    reason: str
    probe: bool = False


@dataclass
class RouteUse:
    """What went over one route, failed attempts included."""

    requests: int = 0
    bytes: int = 0
    seconds: float = 0.0

    def add(self, count: int, seconds: float) -> None:
        self.requests += 1
        self.bytes += count
        self.seconds += seconds


def fault_of(error: BaseException) -> str:
    """What an error says about the route it happened on: ``"refused"``, ``"unreachable"``, ``"faulty"`` or "".

    "" is an error that the other route would meet as well, or that says nothing about either.
    """
    if isinstance(error, AccelerationUnavailable):
        return "refused"
    if isinstance(error, (ConnectError, TlsError)):
        return "unreachable"
    if isinstance(error, TransferTimeout) and error.phase == "connect":
        return "unreachable"
    if isinstance(error, TransportError):
        return "faulty" if error.retryable else ""
    if isinstance(error, S3Error) and error.status >= 500 and not isinstance(error, SlowDown):
        return "faulty"
    return ""


@dataclass
class Block:
    """A route that is left alone. ``trial``: until then one object is out to try it."""

    why: str
    since: float
    until: float
    trial: float = float("-inf")


@dataclass
class BucketState:
    """What a Router knows of one bucket; guarded by the router's lock."""

    estimates: dict[str, Estimates]
    use: dict[str, RouteUse]
    blocks: dict[str, Block] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    outages: dict[str, int] = field(default_factory=dict)
    ruled_out: str = ""
    probes: Counter[tuple[str, str]] = field(default_factory=Counter)
    probed: dict[str, float] = field(default_factory=dict)
    current: dict[str, str] = field(default_factory=dict)
    kept: dict[str, tuple[Decision, float]] = field(default_factory=dict)
