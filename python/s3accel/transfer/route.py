"""Accelerated or regional: chosen per bucket by measurement. Pure: no I/O, no sleep, the clock comes in.

What moves bytes asks `Router.choose` before an object, says with `Router.report` how every try ended, and asks
`Router.fallback` whether a failed one is worth the other route. A try stays on one route: whether the parts of one
multipart upload may come through both hosts is documented nowhere.

Acceleration costs money by the byte, so it has to be faster by a margin. It may also be bypassed by AWS without a
word (S3 User Guide, "Transfer Acceleration"): only a measurement knows.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType

from s3accel.redact import redact_text
from s3accel.transfer.estimate import KINDS, Estimates, rate_words
from s3accel.transfer.routepolicy import (
    ACCELERATE,
    REGIONAL,
    ROUTES,
    Block,
    BucketState,
    Decision,
    RoutePolicy,
    RouteUse,
    fault_of,
    other_route,
)

__all__ = ["ACCELERATE", "REGIONAL", "ROUTES", "Decision", "RoutePolicy", "RouteUse", "Router", "fault_of"]

#: A process that sees more buckets than this forgets the one it met first.
MAX_BUCKETS = 4096
#: Seconds for which a comparison serves all objects that ask: at 10,000 objects a second none should compute its own.
KEEP = 0.5


class Router:
    """Chooses, measures, avoids and accounts. Thread-safe; a choice costs a few microseconds.

    Args:
        clock: seconds that never go back.
    """

    def __init__(
        self, policy: RoutePolicy | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.policy = policy or RoutePolicy()
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: dict[str, BucketState] = {}

    # -- what happens

    def choose(
        self, bucket: str, size: int | None = None, *, download: bool = False, measure: bool = True
    ) -> Decision:
        """The route for one object of ``size`` bytes (None: not known), for all of its requests.

        ``measure``: False for what cannot be measured; it is not spent on that then.
        """
        small = size is not None and size < self.policy.small
        kind = "small" if small else "download" if download else "upload"
        now = self._clock()
        with self._lock:
            state = self._state(bucket)
            kept = state.kept.get(kind)
            if kept is not None and now < kept[1]:
                return kept[0]
            decision = self._decide(state, kind, size or 0, now, measure)
            if not decision.probe and (size or 0) <= self.policy.probe_limit and self._measured(state, kind):
                state.kept[kind] = (decision, now + KEEP)
            return decision

    def report(
        self,
        bucket: str,
        route: str,
        sent: int,
        seconds: float,
        error: BaseException | None = None,
        *,
        reused: bool = True,
        download: bool = False,
        measure: bool = True,
    ) -> None:
        """One try at one object ended: ``sent`` of its bytes went over ``route`` in ``seconds``.

        Args:
            error: how it ended, or None for a success. Only successes are measured.
            reused: over a connection that was open already. A small object on a new one mostly measures its
                handshake, so the two sorts are never compared with each other.
            measure: False where the time says nothing about the way: S3's own work (a listing), or a stream that
                came no faster. It is accounted, and the route is alive.
        """
        now = self._clock()
        with self._lock:
            state = self._state(bucket)
            state.use[route].add(sent, seconds)
            if error is not None:
                self._fault(state, route, error, now)
                return
            self._alive(state, route, now - seconds)
            if not measure:
                return
            if sent >= self.policy.small:
                state.estimates["download" if download else "upload"].add(route, sent, seconds, now)
            else:
                state.estimates["small" if reused else "small, new connection"].add(route, 1, seconds, now)

    def fallback(self, bucket: str, route: str, error: BaseException) -> Decision | None:
        """The other route for a try that failed for good and was reported, or None: it would fail there too."""
        other = other_route(route)
        if not fault_of(error) or not self.available(bucket, other):
            return None
        return Decision(other, f"the {route} route failed: {redact_text(str(error))}")

    @staticmethod
    def _alive(state: BucketState, route: str, started: float) -> None:
        state.faults[route] = 0
        block = state.blocks.get(route)
        if block is not None and started >= block.since:  # not one that was under way when the route broke
            del state.blocks[route]
            state.outages[route] = 0
            state.kept.clear()
            state.probes.clear()  # what was sent out to measure it has failed

    def _fault(self, state: BucketState, route: str, error: BaseException, now: float) -> None:
        policy = self.policy
        fault = fault_of(error)
        if not fault:
            return
        block = state.blocks.get(route)
        if fault == "faulty" and block is None:
            state.faults[route] = state.faults.get(route, 0) + 1
            if state.faults[route] < policy.faults:
                return
        if fault == "refused":
            wait = policy.refused_for
        elif block is not None and now < block.until:
            return  # a try that was under way already when the route broke: the same outage, not another one
        else:
            outages = state.outages[route] = state.outages.get(route, 0) + 1
            wait = min(policy.unreachable_limit, policy.unreachable_for * 2.0 ** min(outages - 1, 30))
        state.blocks[route] = Block(redact_text(str(error)) or type(error).__name__, now, now + wait)
        state.faults[route] = 0
        state.kept.clear()

    def rule_out(self, bucket: str, reason: str) -> None:
        """The bucket can never be accelerated (its name, its region): no request is spent on it."""
        with self._lock:
            state = self._state(bucket)
            if state.ruled_out != reason:
                state.ruled_out = reason
                state.kept.clear()

    def available(self, bucket: str, route: str) -> bool:
        """False while the route is left alone."""
        with self._lock:
            state = self._state(bucket)
            if route == ACCELERATE and state.ruled_out:
                return False
            block = state.blocks.get(route)
            return block is None or self._clock() >= block.until

    def use(self, bucket: str) -> Mapping[str, RouteUse]:
        """What went over each route so far."""
        with self._lock:
            state = self._state(bucket)
            return MappingProxyType(
                {name: RouteUse(item.requests, item.bytes, item.seconds) for name, item in state.use.items()}
            )

    def snapshot(self, bucket: str) -> dict[str, dict[str, object]]:
        """For each route: bytes and seconds used, bytes per second and round trip as estimated, why it is left alone."""
        with self._lock:
            state = self._state(bucket)
            found: dict[str, dict[str, object]] = {}
            for route in ROUTES:
                trips = [state.estimates[kind].rate(route) for kind in ("small", "small, new connection")]
                trip = next((rate for rate in trips if rate), None)
                block = state.blocks.get(route)
                use = state.use[route]
                found[route] = {
                    "requests": use.requests,
                    "bytes": use.bytes,
                    "seconds": use.seconds,
                    "upload_bytes_per_second": state.estimates["upload"].rate(route),
                    "download_bytes_per_second": state.estimates["download"].rate(route),
                    "round_trip": 1 / trip if trip else None,
                    "avoided": (state.ruled_out if route == ACCELERATE else "")
                    or (block.why if block else ""),
                }
            return found

    # -- the decision; the lock is held

    def _state(self, bucket: str) -> BucketState:
        state = self._buckets.get(bucket)
        if state is None:
            if len(self._buckets) >= MAX_BUCKETS:
                del self._buckets[next(iter(self._buckets))]
            estimates = {kind: Estimates(self.policy.stale) for kind in KINDS}
            state = self._buckets[bucket] = BucketState(estimates, {route: RouteUse() for route in ROUTES})
        return state

    def _decide(self, state: BucketState, kind: str, size: int, now: float, measure: bool) -> Decision:
        if state.ruled_out:
            return Decision(REGIONAL, f"the bucket cannot be accelerated: {state.ruled_out}")
        for route in ROUTES:
            block = state.blocks.get(route)
            if block is not None and now >= block.until and now >= block.trial:
                block.trial = now + self.policy.unreachable_for
                return Decision(
                    route,
                    f"the {route} route is tried again, {now - block.since:.0f} s after: {block.why}",
                    probe=True,
                )
        blocked = [route for route in ROUTES if route in state.blocks]
        if len(blocked) == 1:
            other = other_route(blocked[0])
            return Decision(other, f"the {blocked[0]} route is avoided: {state.blocks[blocked[0]].why}")
        if blocked:
            return Decision(REGIONAL, f"both routes fail, this one with: {state.blocks[REGIONAL].why}")
        probe = self._probe(state, kind, size, now) if measure else None
        return probe if probe is not None else self._faster(state, kind)

    def _measured(self, state: BucketState, kind: str) -> str:
        """The kind of estimate that both routes have enough of, or ""."""
        for name in self._kinds(kind):
            if all(state.estimates[name].count(route) >= self.policy.samples for route in ROUTES):
                return name
        return ""

    @staticmethod
    def _kinds(kind: str) -> tuple[str, ...]:
        return (kind, "small, new connection") if kind == "small" else (kind,)

    def _probe(self, state: BucketState, kind: str, size: int, now: float) -> Decision | None:
        """An object for the route that is not known (any more), if this one may be spent on that."""
        policy = self.policy
        if size > policy.probe_limit:
            return None
        if now - state.probed.get(kind, now) > policy.stale:
            # Those sent out have reported by now, or never will; and the idle route's estimate is old.
            for route in ROUTES:
                state.probes[(kind, route)] = 0
            state.probed[kind] = now
        state.probed.setdefault(kind, now)
        if self._measured(state, kind):
            current = state.current.get(kind)
            if current is None:
                return None  # never compared yet
            idle = other_route(current)
            # A small object may meet a new connection, which says little, so there it takes a few.
            allowed = policy.samples if kind == "small" else 1
            age = min(state.estimates[name].age(idle, now) for name in self._kinds(kind))
            if age <= policy.stale or state.probes[(kind, idle)] >= allowed:
                return None
            state.probes[(kind, idle)] += 1
            return Decision(idle, f"to measure the {idle} route again after {age:.0f} s", probe=True)
        route = min(ROUTES, key=lambda name: state.probes[(kind, name)])  # the accelerated one first
        if state.probes[(kind, route)] >= policy.samples:
            return None  # enough are out; until they report, what is known has to do
        state.probes[(kind, route)] += 1
        return Decision(route, f"to measure the {route} route", probe=True)

    def _faster(self, state: BucketState, kind: str) -> Decision:
        margin = self.policy.margin
        name = self._measured(state, kind)
        if not name:
            route = state.current.get(kind, ACCELERATE)
            known = [one for one in ROUTES if state.estimates[kind].count(one)]
            if len(known) == 1:
                route = known[0]
            return Decision(route, "not enough is measured yet to compare the routes")
        fast, plain = (state.estimates[name].rate(route) or 1e-9 for route in ROUTES)
        ratio = fast / plain
        needed = 1 + (margin / 2 if state.current.get(kind) == ACCELERATE else margin)
        route = state.current[kind] = ACCELERATE if ratio >= needed else REGIONAL
        words = f"{rate_words(name, fast)} accelerated, {rate_words(name, plain)} regional"
        if route == ACCELERATE:
            return Decision(route, f"{words}: {ratio:.2f} times as fast")
        pays = f"{ratio:.2f} times as fast does not pay" if ratio > 1 else "acceleration is not faster here"
        return Decision(route, f"{words}: {pays} (it has to be {needed:.2f} times)")
