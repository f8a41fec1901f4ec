"""Receiving bodies: every byte passes the signing floor's BodyVerifier before it reaches a file.

Small bodies are handled on the event loop. Of larger ones whole batches are checked and written in a worker
thread while the next batch comes in, so that one big upload neither blocks other requests nor holds more
than two batches in memory.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

from .. import checksums
from ..verify import BodyReport, BodyVerifier, VerifiedRequest
from .exchange import Request
from .refusals import ClientGone, Refusal, entity_too_large, incomplete_body, not_implemented
from .staged import Staged
from .stats import Stats

BATCH_BYTES = 1024 * 1024
INLINE_BYTES = 256 * 1024
"""Below this a body is checked and written on the event loop: handing it to a thread costs more (about 0.1
ms)."""

MAX_PUT_BYTES = 5 * 1024**3
"""PutObject and UploadPart: at most 5 GiB (S3 User Guide, multipart upload limits)."""

MAX_DOCUMENT_BYTES = 8 * 1024**2
"""A CompleteMultipartUpload with 10,000 parts and SHA-512 checksums is about 3.5 MiB."""

EXPECTED_STREAMING = frozenset({"PutObject", "UploadPart"})


@dataclass
class Received:
    """What came: the verifier's report, and the value of the checksum asked for beside the ones it knows."""

    report: BodyReport
    extra_checksum: str | None = None


def check_framing(request: Request, verified: VerifiedRequest, operation: str) -> None:
    """Refuse bodies S3 does not take in this shape, before anything of them is read."""
    if verified.streaming and operation not in EXPECTED_STREAMING:
        raise not_implemented(
            f"an aws-chunked body for {operation}: only PutObject and UploadPart take one",
            "x-amz-content-sha256",
        )
    if request.chunked:
        codings = [
            coding.strip().lower() for coding in (request.header("transfer-encoding") or "").split(",")
        ]
        if codings != ["chunked"] or not verified.streaming:
            raise not_implemented(
                "Transfer-Encoding: chunked needs an aws-chunked body (x-amz-content-sha256: STREAMING-...)",
                "Transfer-Encoding",
            )
    if operation in EXPECTED_STREAMING:
        if not request.chunked and request.content_length is None:
            raise Refusal("MissingContentLength", 411, "You must provide the Content-Length HTTP header.")
        size = verified.decoded_length if verified.streaming else request.content_length
        if size is not None and size > MAX_PUT_BYTES:
            raise entity_too_large(size, MAX_PUT_BYTES)


class Pipeline(Protocol):
    """What a body goes through. Both methods may run in a worker thread, one at a time."""

    def feed(self, pieces: list[bytes]) -> None: ...
    def finish(self) -> Received: ...


class _Pipeline:
    """Feeds pieces to the verifier and the file; remembers nothing of them."""

    def __init__(
        self, verifier: BodyVerifier, staged: Staged | None = None, extra: str | None = None
    ) -> None:
        self.verifier = verifier
        self.staged = staged
        self.extra = checksums.new(extra) if extra is not None else None
        self.kept = bytearray()

    def feed(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            data = self.verifier.feed(piece)
            if not data:
                continue
            if self.extra is not None:
                self.extra.update(data)
            if self.staged is not None:
                self.staged.write(data)
            else:
                self.kept += data

    def finish(self) -> Received:
        report = self.verifier.finish()
        return Received(report, None if self.extra is None else checksums.encode(self.extra.digest()))


async def receive_object(
    request: Request, verified: VerifiedRequest, staged: Staged, stats: Stats, extra: str | None = None
) -> Received:
    """Receive a body into a staged file. ``extra`` names a checksum to compute that the client did not send.

    Raises Refusal or VerificationError for a body that is not what was signed; the file is then the
    caller's to discard.
    """
    pipeline = _Pipeline(verified.body(), staged, extra)
    try:
        received = await run_pipeline(request, pipeline)
    except ClientGone as error:
        raise incomplete_body(request.content_length, request.received) from error
    stats.add_chunks(received.report.chunks)
    return received


async def run_pipeline(request: Request, pipeline: Pipeline) -> Received:
    """Push the rest of a body through a pipeline. Raises ClientGone, and what the pipeline raises."""
    loop = asyncio.get_running_loop()
    working: asyncio.Future[None] | None = None
    batch: list[bytes] = []
    size = 0
    try:
        while True:
            piece = await request.chunk()
            if piece is None:
                break
            batch.append(piece)
            size += len(piece)
            if size >= BATCH_BYTES:
                if working is not None:
                    await working
                working = loop.run_in_executor(None, pipeline.feed, batch)
                batch, size = [], 0
        if working is not None:
            await working
            working = None
        if size <= INLINE_BYTES:
            pipeline.feed(batch)
            return pipeline.finish()
        await loop.run_in_executor(None, pipeline.feed, batch)
        return await loop.run_in_executor(None, pipeline.finish)
    finally:
        # The file must not be closed under a thread that still writes to it.
        if working is not None:
            await asyncio.wait([working])
            if not working.cancelled():
                working.exception()


async def receive_document(
    request: Request, verified: VerifiedRequest, verifier: BodyVerifier | None = None
) -> tuple[bytes, BodyReport]:
    """Receive a small body (an XML document, or none at all) whole. Raises Refusal EntityTooLarge above 8
    MiB."""
    pipeline = _Pipeline(verified.body() if verifier is None else verifier)
    if request.content_length is not None and request.content_length > MAX_DOCUMENT_BYTES:
        raise entity_too_large(request.content_length, MAX_DOCUMENT_BYTES)
    try:
        while True:
            piece = await request.chunk()
            if piece is None:
                break
            pipeline.feed([piece])
            if len(pipeline.kept) > MAX_DOCUMENT_BYTES:
                raise entity_too_large(len(pipeline.kept), MAX_DOCUMENT_BYTES)
    except ClientGone as error:
        raise incomplete_body(request.content_length, request.received) from error
    return bytes(pipeline.kept), pipeline.finish().report
