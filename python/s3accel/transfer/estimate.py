"""Moving estimates of how fast two routes are, for like things only. Pure."""

from __future__ import annotations

__all__ = ["KINDS", "Estimates", "rate_words"]

#: What is compared only with its own kind: bytes per second of bodies up and down, and requests per second (one after
#: the other: the inverse of the round trip) of small bodies, over open connections and over new ones.
KINDS = ("upload", "download", "small", "small, new connection")

#: Share of the newest request: the last seven make up nine tenths of an estimate.
WEIGHT = 0.3


class Estimates:
    """Rate of each route, as the quotient of two sums that both fade: large requests weigh more than small ones.

    What is older fades with time too, by half in a sixth of ``stale`` seconds: of a route that was not used for that
    long less than a hundredth of the old is left beside one new request.
    """

    __slots__ = ("_half", "_known")

    def __init__(self, stale: float) -> None:
        self._half = stale / 6
        self._known: dict[str, tuple[float, float, int, float]] = {}

    def add(self, route: str, amount: float, seconds: float, now: float) -> None:
        """``amount`` (bytes, or 1 request) took ``seconds``, ended at ``now``."""
        total, took, count, last = self._known.get(route, (0.0, 0.0, 0, now))
        keep = (1 - WEIGHT) * 0.5 ** (max(0.0, now - last) / self._half)
        self._known[route] = (total * keep + amount, took * keep + max(seconds, 1e-9), count + 1, now)

    def rate(self, route: str) -> float | None:
        """Amount per second, or None if nothing is known."""
        known = self._known.get(route)
        return None if known is None else known[0] / known[1]

    def count(self, route: str) -> int:
        known = self._known.get(route)
        return 0 if known is None else known[2]

    def age(self, route: str, now: float) -> float:
        """Seconds since the last request; infinite if there was none."""
        known = self._known.get(route)
        return float("inf") if known is None else now - known[3]


def rate_words(kind: str, rate: float) -> str:
    """``"48.2 MB/s"`` or ``"31.0 ms a request"``."""
    if kind in ("upload", "download"):
        return f"{rate / 1e6:.1f} MB/s"
    return f"{1000 / max(rate, 1e-9):.1f} ms a request"
