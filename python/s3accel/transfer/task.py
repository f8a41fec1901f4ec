"""One upload under way: what is known of it, and the error that says how far it came."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from s3accel.errors import ChecksumMismatch, ConfigError, TransportError, UploadError
from s3accel.transfer.attempts import History, describe
from s3accel.transfer.headers import ObjectHeaders
from s3accel.transfer.hooks import JobInfo, Observer, Resume
from s3accel.transfer.plan import Plan
from s3accel.transfer.progress import ProgressTracker
from s3accel.transfer.source import Source
from s3accel.transfer.streams import StreamParts

__all__ = ["PartFailed", "Running", "Stage", "Task", "check_resume", "upload_error"]


@dataclass
class Task:
    """One try at one upload, over one route.

    Attributes:
        route: "accelerate" or "regional" where that was chosen; "" for what the client is set to.
        movable: there is another route, which is tried if this one is lost.
        parts: of a stream; closed by whoever made the task.
        kept: it failed, and its parts are kept to go on with.
        lost: what became of the try over the other route, if there was one.
        histories: of every call of the upload, on all routes, in order.
        first: the error of an attempt that was made elsewhere already; it counts as the first.
        announce: the tracker has not been told yet that this begins.
        info: set if there is an observer.
    """

    source: Source
    bucket: str
    key: str
    headers: ObjectHeaders
    tracker: ProgressTracker
    started: float = field(default_factory=time.monotonic)
    route: str = ""
    reason: str = ""
    movable: bool = False
    parts: StreamParts | None = None
    announce: bool = True
    first: Exception | None = None
    observer: Observer | None = None
    info: JobInfo | None = None
    resume: Resume | None = None
    deadline: float | None = None
    keep_parts: bool = False
    kept: bool = False
    stop: threading.Event = field(default_factory=threading.Event)
    upload_id: str | None = None
    lost: str = ""
    histories: list[History] = field(default_factory=list)
    mode: str = ""
    resumed: int = 0

    @property
    def where(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    @property
    def again(self) -> bool:
        """True if all of it can be sent once more, over the other route."""
        whole = self.source.rewindable or (self.parts is not None and self.parts.untouched)
        late = self.deadline is not None and time.monotonic() >= self.deadline
        return self.movable and whole and self.resume is None and not self.kept and not late

    def over(self, route: str, reason: str, lost: str) -> Task:
        """The same upload over another route, after ``lost``."""
        return replace(
            self,
            route=route,
            reason=reason,
            announce=False,
            first=None,
            stop=threading.Event(),
            upload_id=None,
            lost=lost,
            histories=[*self.histories, History(1, [lost])],
            mode="",
        )

    def history(self) -> History:
        history = History()
        self.histories.append(history)
        return history

    def sleep(self, seconds: float) -> None:
        if self.stop.wait(seconds):
            raise TransportError("the upload was stopped", phase="send", retryable=False)

    def tell(self, call: Callable[[Observer, JobInfo], Any]) -> Any:
        """Call the observer, if there is one."""
        if self.observer is not None and self.info is not None:
            return call(self.observer, self.info)
        return None


@dataclass(frozen=True)
class Stage:
    """What was being done when it failed, for the error's text."""

    what: str
    history: History
    part: int | None = None


@dataclass
class Running:
    """A part in flight."""

    number: int
    history: History
    release: Callable[[], None]


class PartFailed(Exception):
    def __init__(self, number: int, history: History, cause: BaseException) -> None:
        super().__init__(number)
        self.number = number
        self.history = history
        self.cause = cause


def check_resume(task: Task, plan: Plan) -> None:
    """Refuse parts that are not those of this plan: the source or the part size is another one."""
    for number, part in (task.resume.parts if task.resume is not None else {}).items():
        if not 1 <= number <= plan.count or plan.part(number).length != part.size or part.number != number:
            raise ConfigError(
                f"{task.where} cannot be resumed: part {number} of {part.size} bytes is none of its {plan.count}"
                f" parts of {plan.part_size}"
            )


def upload_error(
    task: Task, stage: Stage, cause: Exception, aborted: bool | None, why: str = "", kept: bool = False
) -> UploadError:
    """The error for the caller: what failed, how often, why, and what is left of it."""
    tries = max(1, stage.history.attempts)
    text = f"{stage.what} failed after {tries} {'try' if tries == 1 else 'tries'}: {describe(cause)}"
    before = stage.history if not task.lost else History(1, [task.lost, *stage.history.reasons])
    if before.reasons:
        text += f"; before that: {before.summary()}"
    if kept:
        text += f"; its parts are kept under upload id {task.upload_id}, to go on later"
    elif aborted:
        text += "; upload aborted, no parts left behind"
    elif aborted is False:
        text += (
            f"; the abort failed too ({why}): parts may be stored and billed under upload id {task.upload_id}"
        )
    elif isinstance(cause, TransportError) and cause.phase == "receive":
        text += "; the answer was lost, so the object may have been stored"
    elif not isinstance(cause, ChecksumMismatch):
        text += "; nothing was stored"
    return UploadError(
        text,
        bucket=task.bucket,
        key=task.key,
        part=stage.part,
        attempts=tries,
        upload_id=task.upload_id,
        aborted=aborted,
        history=tuple(before.reasons),
    )
