"""Round trips and throughput of the routes, in turn, and what follows from them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from s3accel.transfer.doctor_access import probe_key
from s3accel.transfer.doctor_ask import Answer, Asker, RepeatedBody, remedy_of
from s3accel.transfer.doctor_checks import FAIL, OK, SKIP, WARN, Check
from s3accel.transfer.endpoint import Endpoint
from s3accel.transfer.routepolicy import ACCELERATE, REGIONAL, RoutePolicy

__all__ = ["Speed"]

#: Each route is measured this often, in turn, so that a change of the network meets both.
ROUNDS = 2

#: Round trips are alike if they differ by less than a tenth, or by less than two milliseconds: a few requests tell no
#: more than that, and uploads do not feel it.
SAME_SHARE = 0.1
SAME_SECONDS = 0.002


class Speed:
    """Measures the routes in ``usable``."""

    def __init__(
        self,
        asker: Asker,
        endpoints: Mapping[str, Endpoint],
        usable: set[str],
        monotonic: Callable[[], float],
    ) -> None:
        self._asker = asker
        self._endpoints = {route: item for route, item in endpoints.items() if route in usable}
        self._monotonic = monotonic

    def checks(self, throughput: int, connections: int, round_trips: int) -> Iterator[Check]:
        """Both measurements, then the advice."""
        trips = self._round_trips(round_trips)
        for route, seconds in trips.items():
            if not seconds:
                yield Check(
                    "round-trip", WARN, "no request was answered over an open connection", route=route
                )
                continue
            median = statistics.median(seconds)
            data: dict[str, object] = {"median": median, "min": min(seconds), "requests": len(seconds)}
            text = f"{1000 * median:.1f} ms, the median of {len(seconds)} requests (best {1000 * min(seconds):.1f} ms)"
            yield Check("round-trip", OK, text, route=route, data=data)
        if not throughput:
            yield Check("throughput", SKIP, "not measured (--throughput SIZE does; it uploads and deletes)")
            yield self._advice({}, trips)
            return
        rates: dict[str, float] = {}
        for check, rate in self._throughput(throughput, connections):
            if rate:
                rates[check.route] = rate
            yield check
        yield self._advice(rates, trips)

    def _round_trips(self, count: int) -> dict[str, list[float]]:
        found: dict[str, list[float]] = {route: [] for route in self._endpoints}
        for _ in range(count + 1):  # the first may have to connect
            for route, endpoint in self._endpoints.items():
                answer = self._asker.ask(endpoint, "HeadBucket", "HEAD")
                if answer.response is not None and answer.connection.reused and len(found[route]) < count:
                    found[route].append(answer.seconds)
        return found

    # -- throughput

    def _throughput(self, size: int, connections: int) -> Iterator[tuple[Check, float]]:
        share = max(1, size // (ROUNDS * connections))
        spent = dict.fromkeys(self._endpoints, 0.0)
        failed: dict[str, Answer] = {}
        left: dict[str, list[str]] = {route: [] for route in self._endpoints}
        with ThreadPoolExecutor(connections, "s3accel-doctor") as threads:
            for _ in range(ROUNDS):
                for route in self._endpoints:
                    if route not in failed:
                        seconds, error = self._round(threads, route, share, connections, left[route])
                        spent[route] += seconds
                        if error is not None:
                            failed[route] = error
        total = share * connections * ROUNDS
        for route, seconds in spent.items():
            remains = ""
            if left[route]:
                remains = f"; could not be deleted and are still there: {', '.join(left[route])}"
            if route in failed:
                answer = failed[route]
                text = f"the measurement failed: {answer.text}{remains}"
                yield (
                    Check("throughput", FAIL, text, remedy_of(answer.error), route, {"left": left[route]}),
                    0.0,
                )
                continue
            rate = total / max(seconds, 1e-9)
            text = f"{rate / 1e6:.1f} MB/s up ({total} bytes over {connections} connections, in {seconds:.2f} s){remains}"
            data = {"bytes_per_second": rate, "bytes": total, "seconds": seconds, "left": left[route]}
            remedy = "delete them" if remains else ""
            yield Check("throughput", WARN if remains else OK, text, remedy, route, data), rate

    def _round(
        self, threads: ThreadPoolExecutor, route: str, share: int, connections: int, left: list[str]
    ) -> tuple[float, Answer | None]:
        """Store ``connections`` objects at once and delete them. Seconds of the storing, and the first failure."""
        endpoint = self._endpoints[route]
        keys = [probe_key() for _ in range(connections)]
        bodies = [RepeatedBody(share) for _ in keys]
        began = self._monotonic()
        try:
            answers = list(
                threads.map(
                    lambda item: self._asker.ask(endpoint, "PutObject", "PUT", item[0], body=item[1]),
                    zip(keys, bodies, strict=True),
                )
            )
            seconds = self._monotonic() - began
        finally:
            # Also after Ctrl-C, and also those whose answer was lost: they may be stored.
            for key, answer in threads.map(
                lambda key: (key, self._asker.ask(endpoint, "DeleteObject", "DELETE", key)), keys
            ):
                if answer.error is not None:
                    left.append(key)
        return seconds, next((answer for answer in answers if answer.error is not None), None)

    # -- advice

    def _advice(self, rates: Mapping[str, float], trips: Mapping[str, list[float]]) -> Check:
        name = "route"
        if not self._endpoints:
            return Check(name, FAIL, "no route to the bucket works", "see what failed above")
        if set(self._endpoints) == {REGIONAL}:
            return Check(name, OK, "only the regional route works or was asked for", data={"use": REGIONAL})
        if set(self._endpoints) == {ACCELERATE}:
            return Check(name, OK, "only the accelerated route works", data={"use": ACCELERATE})
        if len(rates) == 2:
            ratio = rates[ACCELERATE] / rates[REGIONAL]
            needed = 1 + RoutePolicy().margin
            data: dict[str, object] = {"ratio": ratio}
            text = f"uploads are {ratio:.2f} times as fast through the accelerated host from here, now"
            if ratio >= needed:
                return Check(name, OK, text, data={**data, "use": ACCELERATE})
            remedy = "upload with accelerate=False from here, or let accelerate='auto' choose"
            return Check(
                name, WARN, f"{text}: it costs money and does not pay", remedy, data={**data, "use": REGIONAL}
            )
        if all(trips.get(route) for route in (ACCELERATE, REGIONAL)):
            accelerated, regional = (statistics.median(trips[route]) for route in (ACCELERATE, REGIONAL))
            if abs(accelerated - regional) <= max(SAME_SHARE * regional, SAME_SECONDS):
                text = "about as near as"
            else:
                text = "nearer than" if accelerated < regional else "not as near as"
            return Check(
                name,
                OK,
                f"the accelerated host is {text} the region; what uploads gain, --throughput measures",
            )
        return Check(name, OK, "both routes work; --throughput compares them")
