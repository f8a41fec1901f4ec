"""How the demonstration proves what it shows: every claim is checked against another source than itself."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from s3accel.errors import NoSuchKey, S3AccelError, S3Error, TlsError, UploadError
from s3accel.transfer import Client, CurlTransport, Request, Response

from .endpoint_process import EndpointProcess, EndpointStats
from .exits import cause_of, text_of
from .jobs import Job
from .outcome import Outcome
from .values import count_text, size_text

if TYPE_CHECKING:
    from s3accel.transfer import UploadResult
    from s3accel.transfer.messages import Body

__all__ = [
    "Proof",
    "prove_chunks",
    "prove_corruption_is_refused",
    "prove_equal",
    "prove_route",
    "prove_signatures",
]

_READ = 1 << 20


@dataclass(frozen=True)
class Proof:
    """One claim: whether it holds, in one line, and the lines that explain it."""

    holds: bool
    text: str
    details: tuple[str, ...] = ()


class _HashingTarget:
    """A file to download into that keeps only the SHA-256 of what was written."""

    def __init__(self) -> None:
        self._running = hashlib.sha256()
        self.size = 0

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return 0

    def seek(self, position: int) -> int:
        """A new attempt rewinds to the start and begins with nothing."""
        self._running = hashlib.sha256()
        self.size = 0
        return position

    def truncate(self) -> int:
        return 0

    def write(self, data: bytes) -> int:
        self._running.update(data)
        self.size += len(data)
        return len(data)

    def hexdigest(self) -> str:
        return self._running.hexdigest()


def _hash_of_file(path: str) -> str:
    # hashlib, not our own SHA-256: what is proved must not rest on what is to be proved.
    running = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_READ):
            running.update(block)
    return running.hexdigest()


def prove_equal(
    client: Client, bucket: str, jobs: Sequence[Job], workers: int, tell: Callable[[int], None]
) -> Proof:
    """Reads every object back and compares it with its file, both as SHA-256 by hashlib.

    Args:
        tell: called with 1 after each object.
    """
    wrong: list[str] = []
    total = 0
    lock = threading.Lock()

    def compare(job: Job) -> None:
        nonlocal total
        target = _HashingTarget()
        try:
            client.get_to(bucket, job.key, target)
            problem = "" if target.hexdigest() == _hash_of_file(job.source) else "the bytes differ"
        except (S3AccelError, OSError) as error:
            problem = text_of(error)
        with lock:
            total += target.size
            if problem:
                wrong.append(f"{job.key}: {problem}")
            tell(1)

    with ThreadPoolExecutor(workers, "s3accel-demo") as threads:
        list(threads.map(compare, jobs))
    listed = {item.key: item.size for item in client.list(bucket)}
    missing = [job.key for job in jobs if job.key not in listed]
    strange = len(listed) - (len(jobs) - len(missing))
    if missing or strange:
        wrong.append(f"the listing lacks {len(missing)} objects and has {strange} that were not uploaded")
    if wrong:
        return Proof(False, f"{count_text(len(wrong), 'object')} came back different", tuple(wrong[:10]))
    return Proof(
        True,
        f"every object was read back and is equal to its file: {count_text(len(jobs), 'object')}, "
        f"{size_text(total)} (SHA-256 of both, by hashlib)",
    )


def chunks_of(result: UploadResult, chunk_size: int, part_size: int) -> int:
    """Signed chunks of one upload that hold payload; the empty one that ends each body is not counted."""
    lengths = [result.size]
    if result.parts:
        lengths = [part_size] * (result.parts - 1)
        lengths.append(result.size - sum(lengths))
    return sum(-(-length // chunk_size) for length in lengths)


def prove_signatures(outcomes: Sequence[Outcome], before: EndpointStats, after: EndpointStats) -> Proof:
    """The endpoint verified the signature of every request, and refused none."""
    requests = after.requests - before.requests
    verified = after.signatures_verified - before.signatures_verified
    refused = sum(after.refusals.values()) - sum(before.refusals.values())
    parts = sum(outcome.result.parts for outcome in outcomes if outcome.result is not None)
    puts = sum(1 for outcome in outcomes if outcome.result is not None and not outcome.result.parts)
    least = puts + parts
    holds = refused == 0 and verified == requests and verified >= least > 0
    text = (
        f"the server computed {count_text(verified, 'request signature')} itself and all were right "
        f"({puts:,} puts, {parts:,} parts, the rest to begin and complete)"
    )
    if not holds:
        text = f"of {requests:,} requests {verified:,} had a right signature and {refused:,} were refused"
    return Proof(holds, text)


def prove_chunks(
    outcomes: Sequence[Outcome], before: EndpointStats, after: EndpointStats, chunk_size: int, part_size: int
) -> Proof:
    """The endpoint verified as many chunk signatures as were made, not one less."""
    results = [outcome.result for outcome in outcomes if outcome.result is not None]
    made = sum(chunks_of(result, chunk_size, part_size) for result in results)
    verified = after.chunks_verified - before.chunks_verified
    unsigned = sum(1 for result in results if result.payload_mode != "signed-chunks")
    # An attempt that was repeated after the server had accepted it counts twice there.
    repeated = any(result.retries for result in results)
    holds = not unsigned and (verified == made or (repeated and verified > made)) and made > 0
    text = f"every chunk was signed and verified: {made:,} signed, {verified:,} verified by the server"
    if not holds:
        text = f"{made:,} chunks were signed, {verified:,} verified; {unsigned:,} bodies were not signed by chunk"
    return Proof(holds, text)


def prove_route(outcomes: Sequence[Outcome], bucket: str, endpoint: EndpointProcess) -> Proof:
    """All went to the accelerated host name over TLS, and the certificate is really checked."""
    results = [outcome.result for outcome in outcomes if outcome.result is not None]
    hosts = {(result.host, result.kind) for result in results}
    connections = {
        (result.connection.tls_version, result.connection.cipher)
        for result in results
        if result.connection.tls_version
    }
    host = f"{bucket}.s3-accelerate.amazonaws.com"
    # The same endpoint with this machine's own authorities: it must not get as far as HTTP.
    refusal = ""
    try:
        with _client(endpoint, bucket, ca_file=None) as stranger:
            stranger.head(bucket, "any")
    except TlsError as error:
        refusal = text_of(error)
    except S3AccelError as error:
        refusal = ""
        other = text_of(error)
    else:
        other = "it was answered"
    modern = all(tls in ("TLSv1.2", "TLSv1.3") for tls, _ in connections)
    holds = hosts == {(host, "accelerate")} and bool(connections) and modern and bool(refusal)
    how = ", ".join(f"{tls} {cipher}" for tls, cipher in sorted((str(a), str(b)) for a, b in connections))
    if holds:
        text = f"every request went to {host}, {how}, certificate checked"
        return Proof(True, text, (f"without the throwaway CA: {refusal}",))
    if not refusal:
        how += f"; without the throwaway CA: {other}"
    return Proof(False, f"hosts {sorted(hosts)}; {how}")


class _DamagingTransport:
    """Flips one bit of a body on its way out, after it was signed: what a faulty machine on the path would do."""

    def __init__(self, inner: CurlTransport, position: int) -> None:
        self._inner = inner
        self._position = position

    def send(self, request: Request) -> Response:
        if request.body is not None and request.method == "PUT":
            request = replace(request, body=_DamagedBody(request.body, self._position))
        return self._inner.send(request)


class _DamagedBody:
    def __init__(self, body: Body, position: int) -> None:
        self._body = body
        self._position = position

    @property
    def length(self) -> int:
        return self._body.length

    def frames(self) -> Iterator[bytes | memoryview]:
        start = 0
        for frame in self._body.frames():
            end = start + len(frame)
            if start <= self._position < end:
                damaged = bytearray(frame)
                damaged[self._position - start] ^= 1
                yield bytes(damaged)
            else:
                yield frame
            start = end


def prove_corruption_is_refused(
    endpoint: EndpointProcess, bucket: str, chunk_size: int, tell: Callable[[str], None]
) -> Proof:
    """One byte is changed after signing; S3 must refuse the object and keep nothing of it."""
    key = "damaged-on-the-way"
    data = bytes(range(256)) * (4 * chunk_size // 256)
    # Into the payload of the second of four chunks: past one frame, and past the second's header of under 100 bytes.
    position = chunk_size + 100 + chunk_size // 2
    tell(f"uploading {size_text(len(data))} in 4 chunks, one bit of chunk 2 changed after it was signed")
    with CurlTransport(ca_file=endpoint.ca_file, connect_to=_connect_to(endpoint, bucket)) as real:
        damaging = _DamagingTransport(real, position)
        client = Client(
            credentials=endpoint.credentials,
            region="us-east-1",
            payload="signed-chunks",
            chunk_size=chunk_size,
            transport=damaging,
        )
        try:
            with client:
                client.upload(data, bucket, key)
        except UploadError as error:
            cause = cause_of(error)
        else:
            return Proof(False, "a corrupted upload was accepted")
    with _client(endpoint, bucket, ca_file=endpoint.ca_file) as clean:
        try:
            clean.head(bucket, key)
        except NoSuchKey:
            stored = False
        except S3Error as error:
            stored = error.status != 404
        else:
            stored = True
    if not isinstance(cause, S3Error):
        return Proof(False, f"the corrupted upload ended otherwise: {text_of(cause)}")
    if stored or cause.code != "SignatureDoesNotMatch":
        what = (
            "was stored all the same"
            if stored
            else f"was refused with {cause.code}, not SignatureDoesNotMatch"
        )
        return Proof(False, f"the corrupted upload {what}")
    return Proof(
        True,
        f"a corrupted upload was refused ({cause.status} {cause.code}) and nothing of it was stored",
        (
            f"S3 says: {cause.message}",
            "In a sentence: the server signed what arrived in that chunk itself and got another signature than the one",
            "that came with it, so the bytes were changed after they were signed, and the whole object is refused.",
        ),
    )


def _connect_to(endpoint: EndpointProcess, bucket: str) -> dict[str, str]:
    return {f"{bucket}.s3-accelerate.amazonaws.com:443": endpoint.address}


def _client(endpoint: EndpointProcess, bucket: str, *, ca_file: str | None) -> Client:
    return Client(
        credentials=endpoint.credentials,
        region="us-east-1",
        connect_to=_connect_to(endpoint, bucket),
        ca_file=ca_file,
    )
