"""The tries at one object, or at one call, over its routes: asked for, reported to the router, accounted for the result."""

from __future__ import annotations

import time

from s3accel.errors import AccelerationUnavailable, S3Error
from s3accel.transfer.attempts import describe
from s3accel.transfer.results import RouteUsed
from s3accel.transfer.route import ACCELERATE, Router
from s3accel.transfer.routepolicy import other_route

__all__ = ["Tries"]


class Tries:
    """First over the route that the router chooses, and once more over the other one if that is worth it.

    Args:
        router: None where there is nothing to choose; then this only accounts.
        size: bytes of the object, None if not known.
        route: taken instead of the router's choice.
        measure: False where time says nothing about the way.

    Attributes:
        route: the one to take now; "" without a router.
        reason: why.
        used: what went over each route so far.
    """

    def __init__(
        self,
        router: Router | None,
        bucket: str,
        size: int | None = None,
        *,
        route: str = "",
        reason: str = "",
        download: bool = False,
        measure: bool = True,
    ) -> None:
        self._router = router
        self._bucket = bucket
        self._download = download
        self._measure = measure
        self._tried = False
        self._suspect: S3Error | None = None
        self.route, self.reason = route, reason
        self.used: list[RouteUsed] = []
        if router is not None and not route:
            decision = router.choose(bucket, size, download=download, measure=measure)
            self.route, self.reason = decision.route, decision.reason
        self.started = time.monotonic()

    def failed(self, error: BaseException, moved: int, *, again: bool = True) -> str:
        """The try over ``route`` ended with ``error``; ``moved`` bytes went over it.

        Args:
            again: False where it cannot be done once more.

        Returns "" if that was all, else what to say of it: ``route`` is the other one now.
        """
        lost, seconds = self.route, self._account(self.route, moved)
        router = self._router
        if router is None:
            return ""
        again = again and not self._tried
        if (
            again
            and _unclear(error)
            and lost == ACCELERATE
            and router.available(self._bucket, other_route(lost))
        ):
            self._suspect = error if isinstance(error, S3Error) else None
            self.route, self.reason = other_route(lost), f"the {lost} route failed: {describe(error)}"
        else:
            router.report(self._bucket, lost, moved, seconds, error, download=self._download)
            other = router.fallback(self._bucket, lost, error) if again else None
            if other is None:
                return ""
            self.route, self.reason = other.route, other.reason
        self._tried = True
        self.started = time.monotonic()
        return f"over the {lost} route: {describe(error)}"

    def done(self, moved: int, *, route: str = "", reused: bool = True) -> None:
        """The try over ``route`` (given where there is no router to know it) succeeded."""
        seconds = self._account(self.route or route, moved)
        if self._router is None:
            return
        bucket, suspect = self._bucket, self._suspect
        if suspect is not None:
            # The other route has answered the same request: it was the accelerated one that was refused.
            refused = AccelerationUnavailable(
                suspect.code, suspect.status, "HEAD is refused there, and not here"
            )
            first = self.used[0]
            self._router.report(bucket, first.route, first.bytes, first.seconds, refused)
        self._router.report(
            bucket, self.route, moved, seconds, reused=reused, download=self._download, measure=self._measure
        )

    def _account(self, route: str, moved: int) -> float:
        seconds = time.monotonic() - self.started
        self.used.append(RouteUsed(route, moved, seconds))
        return seconds


def _unclear(error: BaseException) -> bool:
    """A refused HEAD has no body that could say why: it may be that the bucket has no acceleration."""
    return isinstance(error, S3Error) and error.code == "400" and error.operation.startswith("Head")
