"""Runs one call again while retry.py says so. Sleep, chance and clock come in as arguments.

Retry stands above signing: the callable it is given signs and sends afresh each time. The transport never retries.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from s3accel.errors import ConnectionLost, S3Error, TransferTimeout
from s3accel.redact import redact_text
from s3accel.transfer.retry import RetryPolicy, Verdict, classify

__all__ = ["Attempt", "Attempts", "History", "RetryBudget", "describe"]

log = logging.getLogger("s3accel.transfer")

T = TypeVar("T")


def describe(error: BaseException) -> str:
    """An error in one line, without repeating what the reader knows (operation, bucket, key)."""
    if isinstance(error, S3Error):
        text = f"{error.status} {error.code}" if error.code != str(error.status) else f"HTTP {error.status}"
        if error.message:
            text += f": {error.message}"
        if error.request_id:
            text += f" (request id {error.request_id})"
        return redact_text(text)
    return redact_text(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)


@dataclass
class History:
    """What happened to one call: how often it was sent, and why each attempt but the last failed."""

    attempts: int = 0
    reasons: list[str] = field(default_factory=list)

    def summary(self) -> str:
        """The reasons in the order they came first, with their numbers: "500 InternalError (twice), ..."."""
        times = {reason: self.reasons.count(reason) for reason in self.reasons}
        words = {1: "", 2: " (twice)"}
        return ", ".join(reason + words.get(count, f" ({count} times)") for reason, count in times.items())


@dataclass(frozen=True)
class Attempt:
    """What an attempt may want to know. ``careful``: the connection of the last one broke, so ask before sending much."""

    number: int
    careful: bool = False


class RetryBudget:
    """Retries that all calls of a client may make together, so that a service in trouble is not flooded with them.

    One retry costs one, ten successes bring one back. The idea is that of the AWS SDKs' retry quota ("Retry
    behavior", AWS SDKs and Tools Reference Guide).
    """

    #: Successes that bring one retry back.
    EARN = 10

    def __init__(self, capacity: int) -> None:
        self._capacity = self._left = capacity * self.EARN
        self._lock = threading.Lock()

    def spend(self) -> bool:
        """True if there was one left."""
        with self._lock:
            if self._left < self.EARN:
                return False
            self._left -= self.EARN
            return True

    def refund(self) -> None:
        if self._left < self._capacity:
            with self._lock:
                self._left = min(self._capacity, self._left + 1)


class Attempts:
    """The loop.

    Args:
        policy: how often, how patiently.
        sleep: waits so many seconds; may raise to end the wait.
        chance: random numbers in [0, 1).
    """

    def __init__(
        self,
        policy: RetryPolicy,
        *,
        sleep: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = random.random,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.policy = policy
        #: Told when S3 or the path is overloaded.
        self.on_overload: Callable[[], None] | None = None
        self._sleep = sleep
        self._chance = chance
        self._monotonic = monotonic
        self._budget = RetryBudget(policy.budget)

    def run(
        self,
        call: Callable[[Attempt], T],
        *,
        fix: Callable[[Verdict, BaseException], bool],
        region: Callable[[], str],
        history: History | None = None,
        rewindable: bool = True,
        deadline: float | None = None,
        on_retry: Callable[[int, str], None] | None = None,
        sleep: Callable[[float], None] | None = None,
        final: Callable[[Exception], bool] | None = None,
    ) -> T:
        """Call until it succeeds or ``classify`` says that it will not.

        Args:
            fix: mends what the verdict names (clock, region, credentials); False if it cannot.
            region: what the next attempt is signed for.
            deadline: monotonic time after which nothing is tried any more.
            on_retry: told the number of the failed attempt and the reason, before the wait.
            sleep: instead of the loop's own, for calls that can be cancelled.
            final: True for an error that the caller cures better than another attempt would.

        Raises the last error as it was.
        """
        history = history if history is not None else History()
        fixed: set[str] = set()
        counted = 0  # attempts that the policy limits: those that ended in a fix are not
        careful = False
        while True:
            history.attempts += 1
            signed_for = region()
            try:
                answer = call(Attempt(history.attempts, careful))
                self._budget.refund()
                return answer
            except Exception as error:
                counted += 1
                verdict = classify(error, rewindable=rewindable, fixed=fixed, region=signed_for)
                overloaded = verdict.throttled or isinstance(error, TransferTimeout)
                if overloaded and self.on_overload is not None:
                    self.on_overload()
                if not verdict.retry or (final is not None and final(error)):
                    raise
                if verdict.fix:
                    fixed.add(verdict.fix)
                    counted -= 1
                    if not fix(verdict, error):
                        raise
                elif counted >= self.policy.max_attempts:
                    raise
                elif not self._budget.spend():
                    history.reasons.append(f"{verdict.reason} (not repeated: the retry budget is spent)")
                    raise
                if verdict.once and isinstance(error, S3Error):
                    fixed.add(error.code)
                careful = isinstance(error, ConnectionLost)
                history.reasons.append(verdict.reason)
                delay = self.policy.delay(max(1, counted), verdict, self._chance())
                if deadline is not None and self._monotonic() + delay >= deadline:
                    history.reasons[-1] += " (not repeated: the deadline would pass)"
                    raise
                log.info("attempt %d failed: %s; next in %.2f s", history.attempts, describe(error), delay)
                if on_retry is not None:
                    on_retry(history.attempts, verdict.reason)
            if delay:
                (sleep or self._sleep)(delay)
