"""Many small bodies at a time, from one thread, over libcurl's multi interface.

For a body of a few kilobytes the work around it is what counts. One thread that drives all transfers has no locks to
wait for and no other thread to wake: measured 50 us of CPU for a 4 KiB put over TLS with 8 in flight, 100 to 150 us
with as many easy handles on threads (docs/guide-uploading.md has the decision and its numbers).

The lane knows no S3: a job makes its request when a handle is free, and is told how it ended.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from s3accel.errors import ConfigError, TransportError
from s3accel.transfer.curlerrors import translate
from s3accel.transfer.exchange import certificate_from
from s3accel.transfer.laneslot import LaneJob, Origin, Slot
from s3accel.transfer.limits import Throttle
from s3accel.transfer.lines import ConnectTo
from s3accel.transfer.messages import ConnectionInfo

__all__ = ["Lane", "LaneJob"]

log = logging.getLogger("s3accel.transfer")

#: Seconds without work after which the thread ends (and is started again when there is some).
IDLE = 10.0
#: Seconds without a request after which an open connection may have been cut: the next handshake is watched.
WATCH_AFTER = 1.0
#: libcurl's buffer for what it sends. A body of 64 KiB and the headers before it fit in: with the usual 64 KiB the last
#: few hundred bytes had to wait for the next round of all transfers.
BUFFER = 80 * 1024
#: select() takes no descriptor from here on; with one, the lane looks every few milliseconds instead.
SELECTABLE = 1024


class Lane:
    """Puts with bodies in memory. Thread-safe; the thread is started by the first job and ends when idle.

    Args:
        lib: the pycurl module.
        constants: sets what never changes on a handle.
        limit: requests in flight.
        stall_seconds: with hardly a byte moving for so long, a request ends.
        deadline: seconds for a request from its begin to its answer.

    Attributes:
        limit: may be changed while it runs.
        pause: called in the lane's thread each time before it waits for the network, with True if the lane has
            nothing to begin; whoever collects outcomes hands them on here.
        throttle: holds the next job back while there is a bandwidth limit and it is used up.
    """

    def __init__(
        self,
        lib: Any,
        constants: Callable[[Any], None],
        connect_to: ConnectTo,
        limit: int,
        stall_seconds: float,
        deadline: float,
    ) -> None:
        self._lib = lib
        self._number = getattr(lib, "CONN_ID", lib.LOCAL_PORT)  # what tells connections apart
        self._constants = constants
        self._connect_to = connect_to
        self.limit = limit
        self._stall = max(1, round(stall_seconds))
        self._deadline = max(1, int(deadline * 1000))
        self.pause: Callable[[bool], bool] = lambda _hungry: False
        self.throttle = Throttle()
        self._start()
        _lanes.add(self)

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._inbox: deque[LaneJob] = deque()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._multi: Any = None
        self._free: list[Slot] = []
        self._slots: list[Slot] = []
        self._live = 0
        self._waiting = False
        self._wide = False
        self._bell: tuple[int, int] | None = None
        self._known: dict[Origin, dict[int, ConnectionInfo]] = {}
        self._used: dict[Origin, float] = {}
        self._in_flight: dict[Origin, int] = {}

    def after_fork(self) -> None:
        """In a child: the parent's connections and thread are the parent's; start from nothing."""
        _inherited.append((self._multi, self._slots, self._free))
        closed = self._closed
        self._start()
        self._closed = closed

    # -- from any thread

    def submit(self, job: LaneJob) -> None:
        """Queue a job. Raises ConfigError after ``close``."""
        self._inbox.append(job)
        if self._waiting or self._thread is None or self._closed:
            self._wake(job)

    def _wake(self, job: LaneJob) -> None:
        with self._lock:
            if self._closed:
                with contextlib.suppress(ValueError):
                    self._inbox.remove(job)
                raise ConfigError("the client is closed")
            if self._thread is None:
                if self._bell is None:
                    self._bell = os.pipe()
                    for end in self._bell:
                        os.set_blocking(end, False)
                self._thread = threading.Thread(target=self._run, name="s3accel-lane", daemon=True)
                self._thread.start()
            elif self._waiting and self._bell is not None:
                self._waiting = False
                with contextlib.suppress(BlockingIOError):
                    os.write(self._bell[1], b"!")

    def close(self) -> None:
        """Wait for what is in flight, then close everything. Jobs submitted later are refused."""
        with self._lock:
            self._closed = True
            thread = self._thread
            if thread is not None and self._bell is not None:
                with contextlib.suppress(BlockingIOError):
                    os.write(self._bell[1], b"!")
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        slots, self._slots, self._free = self._slots, [], []
        for slot in slots:
            slot.curl.close()
        if self._multi is not None:
            self._multi.close()
            self._multi = None
        if self._bell is not None:
            bell, self._bell = self._bell, None
            for end in bell:
                os.close(end)

    # -- the lane's thread

    def _run(self) -> None:
        try:
            while True:
                self._loop()
                with self._lock:
                    # First the thread goes, then the look: a job that comes in between starts another one.
                    mine, self._thread = self._thread, None
                    if not self._inbox:
                        return
                    self._thread = mine
        except BaseException as exc:  # noqa: BLE001 (a bug here must not leave jobs without an outcome)
            self._collapse(exc)

    def _collapse(self, exc: BaseException) -> None:
        log.error("the lane for small objects broke: %s", type(exc).__name__)
        with self._lock:
            self._thread = None
            jobs = [slot.job for slot in self._slots if slot.job is not None] + list(self._inbox)
            self._inbox.clear()
            _inherited.append((self._multi, self._slots))
            self._multi, self._slots, self._free, self._live = None, [], [], 0
            self._known, self._in_flight = {}, {}
        for job in jobs:
            job.failed(TransportError(f"the lane for small objects broke: {exc!r}", phase="send"))
        self.pause(True)

    def _loop(self) -> None:
        """Until there was nothing to do for a while, or the lane is closed and empty."""
        if self._multi is None:
            self._multi = self._lib.CurlMulti()
            # More than are in flight, so that no connection is closed only to be opened again.
            self._multi.setopt(self._lib.M_MAXCONNECTS, 512)
        multi, inbox = self._multi, self._inbox
        while True:
            held = 0.0
            while inbox and self._live < self.limit:
                if self.throttle.rate is not None and (held := self.throttle.wait()) > 0:
                    break
                self._begin(inbox.popleft())
            if held and not self._live:
                self.pause(True)
                time.sleep(min(held, 0.05))
                continue
            if not self._live:
                self.pause(True)
                if inbox:
                    continue
                if self._closed or not self._sleep(IDLE):
                    return
                continue
            multi.perform()
            more, done = True, 0
            while more:
                more, good, bad = multi.info_read()
                done += len(good) + len(bad)
                for curl in good:
                    self._end(curl.slot, 0, "")
                for curl, number, text in bad:
                    self._end(curl.slot, number, text)
            if not done:
                self._wait(multi, held)

    def _sleep(self, seconds: float) -> bool:
        """Wait for the bell. False if it did not ring."""
        bell = self._bell
        if bell is None:
            return False
        self._waiting = True
        if self._inbox or self._closed:  # came before the flag was seen
            self._waiting = False
            return True
        ready, _, _ = select.select([bell[0]], [], [], seconds)
        self._waiting = False
        self._drain()
        return bool(ready or self._inbox)

    def _drain(self) -> None:
        if self._bell is not None:
            with contextlib.suppress(BlockingIOError):
                os.read(self._bell[0], 4096)

    def _wait(self, multi: Any, held: float) -> None:
        """Until a socket is ready, a timer is due, or a job comes for which there is room."""
        hungry = not self._inbox and self._live < self.limit
        seconds = multi.timeout() / 1000
        seconds = 1.0 if seconds < 0 else min(seconds, 1.0)
        if held:
            seconds = min(seconds, held)
        if self.pause(not self._inbox):
            seconds = min(seconds, 0.002)  # outcomes are waiting for company; not for long
        if self._wide:
            time.sleep(min(seconds, 0.002))
        elif not hungry or self._bell is None:
            if seconds:
                multi.select(seconds)
        else:
            # Only with room for more is the bell worth listening to.
            self._waiting = True
            if not self._inbox:
                reading, writing, wrong = multi.fdset()
                select.select([*reading, self._bell[0]], writing, wrong, seconds)
            self._waiting = False
            self._drain()

    def _new_slot(self) -> Slot:
        lib = self._lib
        curl = lib.Curl()
        slot = Slot(curl)
        curl.slot = slot
        self._constants(curl)
        setopt = curl.setopt
        setopt(lib.LOW_SPEED_TIME, self._stall)
        setopt(lib.TIMEOUT_MS, self._deadline)
        setopt(lib.POST, 1)
        setopt(lib.CUSTOMREQUEST, "PUT")
        setopt(lib.UPLOAD_BUFFERSIZE, BUFFER)
        # A list's own append is the cheapest callback there is: ten headers cost 2 us instead of 12.
        setopt(lib.HEADERFUNCTION, slot.lines.append)
        setopt(lib.WRITEFUNCTION, slot.write)
        setopt(lib.DEBUGFUNCTION, slot.debug)
        setopt(lib.SOCKOPTFUNCTION, self._socket_opened)
        self._slots.append(slot)
        return slot

    def _socket_opened(self, fd: int, _purpose: int) -> int:
        self._wide = self._wide or fd >= SELECTABLE
        return 0

    def _begin(self, job: LaneJob) -> None:
        try:
            origin, url, lines, body = job.prepare(self._inbox)
        except Exception as exc:  # noqa: BLE001 (that is the job's outcome)
            job.failed(exc)
            return
        if self.throttle.rate is not None:
            self.throttle.take(len(body))
        lib = self._lib
        slot = self._free.pop() if self._free else self._new_slot()
        curl = slot.curl
        setopt = curl.setopt
        setopt(lib.URL, url)
        setopt(lib.HTTPHEADER, lines)
        setopt(lib.POSTFIELDS, body)
        target = self._connect_to.lookup(origin)
        if target != slot.connect_to:
            if target is None:
                curl.unsetopt(lib.CONNECT_TO)
            else:
                setopt(lib.CONNECT_TO, [target])
            slot.connect_to = target
        # The handshake is told in libcurl's debug text, which costs a call for every line and body; so it is asked
        # for only when a new connection is likely.
        flying = self._in_flight.get(origin, 0) + 1
        watch = flying > len(self._known.get(origin, ())) or (
            flying == 1 and time.monotonic() - self._used.get(origin, 0.0) > WATCH_AFTER
        )
        if watch != slot.watched:
            setopt(lib.VERBOSE, int(watch))
            slot.watched = watch
        slot.job, slot.origin, slot.url, slot.length = job, origin, url, len(body)
        self._in_flight[origin] = flying
        self._multi.add_handle(curl)
        self._live += 1

    def _end(self, slot: Slot, number: int, text: str) -> None:
        job, curl, lib = slot.job, slot.curl, self._lib
        self._live -= 1
        self._in_flight[slot.origin] -= 1
        if not self._in_flight[slot.origin]:
            self._used[slot.origin] = time.monotonic()
        outcome: Any = None
        try:
            if number:
                outcome = self._failure(slot, number, text)
            else:
                head = b"".join(slot.lines)
                connection = self._connection(slot, head)
                answer = (curl.getinfo(lib.RESPONSE_CODE), head, bytes(slot.body), connection)
        except Exception as exc:  # noqa: BLE001
            outcome = exc
        self._multi.remove_handle(curl)
        slot.job = None
        slot.lines.clear()
        if slot.body:
            slot.body.clear()
        slot.tls, slot.resumed = None, False
        self._free.append(slot)
        if outcome is not None:
            job.failed(outcome)
        else:
            job.answered(*answer)

    def _failure(self, slot: Slot, number: int, text: str) -> Exception:
        self._known.pop(slot.origin, None)  # which connection broke is not known; all are watched afresh
        host = urlsplit(slot.url).hostname or ""
        return translate(self._lib, slot.curl, number, text, "PUT", slot.url, host, slot.length, slot.length)

    def _connection(self, slot: Slot, head: bytes) -> ConnectionInfo:
        curl, lib, origin = slot.curl, self._lib, slot.origin
        known = self._known.get(origin)
        if known is None:
            known = self._known[origin] = {}
        number = curl.getinfo(self._number)
        closing = b"\nconnection: close" in head.lower()
        if not curl.getinfo(lib.NUM_CONNECTS):
            found = known.get(number)
            if found is not None:
                if closing:
                    del known[number]
                return found
        elif not slot.watched:
            known.clear()  # one was opened behind our back, so others are gone: watch from now on
        address = curl.getinfo(lib.PRIMARY_IP)
        address = f"[{address}]" if ":" in address else address
        tls = slot.tls or (None, None, None)
        info = ConnectionInfo(
            host=urlsplit(slot.url).hostname or "",
            address=f"{address}:{curl.getinfo(lib.PRIMARY_PORT)}",
            http_version=head[5:8].decode("latin-1"),
            tls_version=tls[0],
            cipher=tls[1],
            key_exchange=tls[2] or None,
            resumed=slot.resumed,
            certificate=certificate_from(curl.getinfo(lib.INFO_CERTINFO)) if origin[0] == "https" else None,
        )
        if not closing and (slot.tls is not None or origin[0] != "https"):
            if len(known) > 4096:
                known.clear()
            known[number] = replace(info, reused=True)
        return info


_lanes: weakref.WeakSet[Lane] = weakref.WeakSet()
_inherited: list[Any] = []


def _reset_all() -> None:
    for lane in list(_lanes):
        lane.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_all)
