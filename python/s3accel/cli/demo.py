"""`s3accel demo`: the main job on real input, and the proof that it was done."""

from __future__ import annotations

import os
import platform
import secrets
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

import s3accel
from s3accel.signer import DEFAULT_CHUNK_SIZE
from s3accel.transfer import Client

from .demo_input import TREE_RULE, generate, tree_jobs
from .demo_proofs import (
    Proof,
    prove_chunks,
    prove_corruption_is_refused,
    prove_equal,
    prove_route,
    prove_signatures,
)
from .endpoint_process import EndpointProcess
from .exits import Exit, text_of
from .jobs import Job
from .kernels import active_kernels
from .outcome import FAILED, Outcome, Summary
from .report import BarReporter, Reporter, printable
from .run import Stop, Terminated, run_jobs, sigterm_as_interrupt
from .values import SIZE, count_text, rate_text, seconds_text, size_text

if TYPE_CHECKING:
    from s3accel.transfer import ProgressEvent, UploadResult

__all__ = ["demo"]

PART_SIZE = 16 << 20
CONCURRENCY = 8
#: Seconds between two lines of progress where there is no terminal.
LINE_EVERY = 3.0
#: Failures that are shown one by one; the rest are counted.
SHOWN_FAILURES = 5


@click.command(short_help="Upload a real tree to an embedded endpoint, and prove it.")
@click.option(
    "--source",
    metavar="PATH",
    type=click.Path(exists=True),
    help="A file or folder to upload. Default: the running Python's standard library " + TREE_RULE + ".",
)
@click.option(
    "--size",
    metavar="SIZE",
    type=SIZE,
    default="512MiB",
    show_default=True,
    help="Size of the one large generated file; 0 for none.",
)
@click.option(
    "--keep",
    metavar="DIR",
    type=click.Path(file_okay=False),
    help="Keep the endpoint's objects in this folder. Default: temporary.",
)
def demo(source: str | None, size: int, keep: str | None) -> Exit:
    """Show the main job on real input, and prove that it was done.

    Starts the embedded S3 endpoint with TLS, uploads a tree of files and one large file through the accelerated host
    name, signed chunk by chunk; then reads every object back, compares it, and lets the endpoint refuse a damaged
    upload. Needs no account and no network. Exit code 0 only if all proofs hold.
    """
    console = Console(highlight=False, soft_wrap=True)
    with sigterm_as_interrupt(), tempfile.TemporaryDirectory(prefix="s3accel-demo-") as folder:
        return _Demo(console, Path(folder), source, size, None if keep is None else Path(keep)).run()


class _DemoLines(Reporter):
    """Progress without a terminal: a line every few seconds."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._lock = threading.Lock()
        self._count = 0
        self._finished = 0
        self._done: dict[str, int] = {}
        self._bytes = 0
        self._last = time.monotonic()

    def begin(self, jobs: list[Job]) -> None:
        self._count = len(jobs)

    def progress(self, event: ProgressEvent) -> None:
        with self._lock:
            self._bytes += event.bytes_done - self._done.get(event.key, 0)
            self._done[event.key] = event.bytes_done
            if time.monotonic() - self._last >= LINE_EVERY:
                self._last = time.monotonic()
                self._say(
                    f"  ... {self._finished:,} of {count_text(self._count, 'object')}, {size_text(self._bytes)}"
                )

    def outcome(self, outcome: Outcome) -> None:
        self._finished += 1

    def note(self, text: str) -> None:
        self._say(f"  {text}")


class _DemoBars(BarReporter):
    """The bars of `cp` alone: no line for an object, none at the end."""

    def begin(self, jobs: list[Job]) -> None:
        super().begin(jobs)
        self._every_line = False

    def _error(self, prefix: str, error: BaseException) -> None:
        """Shown by _Recording, with or without bars."""

    def finish(self, summary: Summary, code: Exit) -> None:
        self._bar.stop()


class _Demo:
    def __init__(
        self, console: Console, folder: Path, source: str | None, size: int, keep: Path | None
    ) -> None:
        self._console = console
        self._folder = folder
        self._source = source
        self._size = size
        self._keep = keep
        self._bucket = f"demo-{secrets.token_hex(4)}"
        self._outcomes: list[Outcome] = []

    def _say(self, text: str = "", style: str = "") -> None:
        text = escape(printable(text))
        self._console.print(f"[{style}]{text}[/{style}]" if style else text)

    def run(self) -> Exit:
        started = time.monotonic()
        kernels = ", ".join(f"{what}: {' + '.join(names)}" for what, names in active_kernels().items())
        self._say(f"s3accel {s3accel.__version__} demonstration", "bold")
        self._say(
            f"  Python {platform.python_version()} on {platform.machine()}, {os.cpu_count()} processors "
            "(the client and the endpoint share them)"
        )
        self._say(f"  kernels in use: {kernels}")
        root, tree = tree_jobs(self._source, self._bucket)
        large: list[Job] = []
        if self._size:
            path = self._folder / "large.bin"
            self._say(f"  generating one file of {size_text(self._size)}")
            generate(path, self._size)
            large = [Job(str(path), "large.bin", self._size)]

        with EndpointProcess(self._keep) as endpoint:
            host = f"{self._bucket}.s3-accelerate.amazonaws.com"
            self._say(f"  endpoint: https://{endpoint.address} (a process of its own), called {host};")
            self._say("  its certificate comes from an authority made for this run")
            self._say()
            self._say("Upload, every body signed chunk by chunk", "bold")
            with self._client(endpoint) as client:
                proofs = self._upload_and_prove(client, endpoint, root, tree, large)
        self._say()
        failed = sum(1 for proof in proofs if not proof.holds)
        if self._keep is not None:
            self._say(f"The objects are kept in {self._keep}")
        took = seconds_text(time.monotonic() - started)
        if failed or not proofs:
            self._say(f"{failed} of {count_text(len(proofs), 'proof')} failed ({took}).", "bold red")
            return Exit.SOME_FAILED
        self._say(f"All {len(proofs)} proofs hold ({took}).", "bold green")
        return Exit.DONE

    def _client(self, endpoint: EndpointProcess) -> Client:
        return Client(
            region="us-east-1",
            credentials=endpoint.credentials,
            connect_to={f"{self._bucket}.s3-accelerate.amazonaws.com:443": endpoint.address},
            ca_file=endpoint.ca_file,
            payload="signed-chunks",
            part_size=PART_SIZE,
            max_concurrency=CONCURRENCY,
        )

    def _upload_and_prove(
        self, client: Client, endpoint: EndpointProcess, root: str, tree: list[Job], large: list[Job]
    ) -> list[Proof]:
        before = endpoint.stats()
        rule = "" if self._source is not None else f" ({TREE_RULE})"
        self._say(f"  {count_text(len(tree), 'file')} of {root}{rule}")
        code = self._upload(client, tree)
        if large and code is Exit.DONE:
            self._say("  1 generated file")
            code = self._upload(client, large)
        after = endpoint.stats()
        if code in (Exit.INTERRUPTED, Exit.TERMINATED):
            raise Terminated if code is Exit.TERMINATED else KeyboardInterrupt
        self._say()
        self._say("Proof", "bold")
        bucket, outcomes, jobs = self._bucket, self._outcomes, tree + large
        proofs = []

        def show(proof: Proof) -> None:
            proofs.append(proof)
            self._say(f"  [{'ok' if proof.holds else 'FAILED'}] {proof.text}", "" if proof.holds else "red")
            for line in proof.details:
                self._say(f"       {line}", "dim")

        lost = len(jobs) - sum(1 for outcome in outcomes if outcome.result is not None)
        if lost:
            show(Proof(False, f"{lost:,} of {count_text(len(jobs), 'object')} could not be uploaded"))
            return proofs
        with self._counting("reading back", len(jobs)) as tell:
            equal = prove_equal(client, bucket, jobs, CONCURRENCY, tell)
        show(equal)
        show(prove_signatures(outcomes, before, after))
        show(prove_chunks(outcomes, before, after, DEFAULT_CHUNK_SIZE, PART_SIZE))
        show(prove_route(outcomes, bucket, endpoint))
        show(
            prove_corruption_is_refused(
                endpoint, bucket, DEFAULT_CHUNK_SIZE, lambda text: self._say(f"  ... {text}")
            )
        )
        return proofs

    def _upload(self, client: Client, jobs: list[Job]) -> Exit:
        reporter: Reporter = _DemoBars(self._console) if self._console.is_terminal else _DemoLines(self._say)
        recorded = _Recording(reporter, self._outcomes, self._say)
        summary = Summary()

        def upload(job: Job, progress: Callable[[ProgressEvent], None], stop: Stop) -> UploadResult:
            stop.check()
            return client.upload(job.source, self._bucket, job.key, progress=progress)

        with reporter:
            recorded.begin(jobs)
            code = run_jobs(jobs, self._bucket, upload, recorded, workers=CONCURRENCY, summary=summary)
            recorded.finish(summary, code)
        per_second = (
            f", {summary.uploaded / max(summary.seconds, 1e-9):,.0f} objects/s" if len(jobs) > 1 else ""
        )
        self._say(
            f"    {size_text(summary.uploaded_bytes)} in {seconds_text(summary.seconds)}: "
            f"{rate_text(summary.uploaded_bytes, summary.seconds)}{per_second}"
        )
        return code

    @contextmanager
    def _counting(self, what: str, total: int) -> Iterator[Callable[[int], None]]:
        if not self._console.is_terminal:
            self._say(f"  ... {what}")
            yield lambda _count: None
            return
        columns = (TextColumn("  {task.description}"), BarColumn(bar_width=30), MofNCompleteColumn())
        with Progress(*columns, console=self._console, transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda count: bar.advance(task, count)


class _Recording(Reporter):
    """Passes everything on, keeps the outcomes, shows the first few failures."""

    def __init__(self, inner: Reporter, outcomes: list[Outcome], say: Callable[[str], None]) -> None:
        self._inner = inner
        self._outcomes = outcomes
        self._say = say
        self._failed = 0

    def begin(self, jobs: list[Job]) -> None:
        self._inner.begin(jobs)

    def progress(self, event: ProgressEvent) -> None:
        self._inner.progress(event)

    def outcome(self, outcome: Outcome) -> None:
        self._outcomes.append(outcome)
        self._inner.outcome(outcome)
        if outcome.status == FAILED and outcome.error is not None:
            self._failed += 1
            if self._failed <= SHOWN_FAILURES:
                self._say(f"  failed: {text_of(outcome.error)}")

    def note(self, text: str) -> None:
        self._inner.note(text)

    def finish(self, summary: Summary, code: Exit) -> None:
        self._inner.finish(summary, code)
