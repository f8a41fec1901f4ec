"""One request at a time, timed, never repeated: what the doctor asks of S3, and how an answer is put into words."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from s3accel.errors import S3AccelError, S3Error, TransportError
from s3accel.redact import redact_text
from s3accel.signer import Signer
from s3accel.transfer import s3xml
from s3accel.transfer.endpoint import Endpoint
from s3accel.transfer.messages import Body, ConnectionInfo, Request, Response
from s3accel.transfer.transport import Transport

__all__ = ["Answer", "Asker", "RepeatedBody", "remedy_of"]

#: One block of a body that is only there to be measured. Random, so that nothing on the way can compress it.
BLOCK = 1 << 20

_REMEDIES = {
    "AccessDenied": "check the key's policy and the bucket's policy",
    "403": "check the key's policy and the bucket's policy",
    "ExpiredToken": "fetch new temporary credentials",
    "InvalidAccessKeyId": "check AWS_ACCESS_KEY_ID or the profile: S3 does not know this key",
    "InvalidToken": "check AWS_SESSION_TOKEN: it belongs to the key it came with",
    "NoSuchBucket": "check the bucket's name",
    "404": "check the bucket's name",
    "RequestTimeTooSkewed": "set this machine's clock",
    "SignatureDoesNotMatch": "check the secret access key (white space, a cut end, another key's secret)",
    "SlowDown": "try again later",
}


def remedy_of(error: BaseException | None) -> str:
    """What to do about an error, as far as its kind says that."""
    if isinstance(error, S3Error):
        return _REMEDIES.get(error.code, "")
    if isinstance(error, TransportError):
        if error.phase == "tls":
            return "give the authorities of a proxy that opens TLS with --ca-file; check this machine's clock"
        return "check name lookup, firewall and proxy settings (https_proxy, no_proxy)"
    return ""


class RepeatedBody:
    """``length`` bytes: one random block, again and again."""

    def __init__(self, length: int) -> None:
        self.length = length
        self._block = memoryview(os.urandom(max(1, min(BLOCK, length))))

    def frames(self) -> Iterator[bytes | memoryview]:
        left = self.length
        while left:
            frame = self._block[:left]
            left -= len(frame)
            yield frame

    def digest(self) -> str:
        running = hashlib.sha256()
        for frame in self.frames():
            running.update(frame)
        return running.hexdigest()


@dataclass(frozen=True)
class Answer:
    """How one request ended: ``response`` whatever its status, or None if there was none; ``error`` unless it was 2xx.

    ``began`` and ``ended`` are times of the monotonic clock.
    """

    response: Response | None
    error: S3AccelError | None
    began: float
    ended: float

    @property
    def seconds(self) -> float:
        return self.ended - self.began

    @property
    def connection(self) -> ConnectionInfo:
        return ConnectionInfo() if self.response is None else self.response.connection

    @property
    def code(self) -> str:
        """S3's error code, or "" where there is none."""
        return self.error.code if isinstance(self.error, S3Error) else ""

    @property
    def text(self) -> str:
        """The error in one line, without secrets."""
        return "" if self.error is None else redact_text(str(self.error)).replace("\n", " ")

    @property
    def region(self) -> str:
        """The bucket's region, if the answer says it."""
        if self.response is not None and self.response.headers.get("x-amz-bucket-region"):
            return self.response.headers.get("x-amz-bucket-region")
        return self.error.extra.get("Region", "") if isinstance(self.error, S3Error) else ""


class Asker:
    """Signs (if there is a signer) and sends. A failed request is an answer like any other, never an exception."""

    def __init__(self, transport: Transport, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._transport = transport
        self._monotonic = monotonic
        #: Makes a signer for a region; None sends unsigned requests.
        self.signer: Callable[[str], Signer] | None = None

    def ask(
        self,
        endpoint: Endpoint,
        operation: str,
        method: str,
        key: str = "",
        query: Sequence[tuple[str, str]] = (),
        body: RepeatedBody | None = None,
    ) -> Answer:
        """Raises ConfigError, SigningError and CredentialsError only: what S3 and the network do is in the answer."""
        url = endpoint.url(key, query)
        headers: dict[str, str] = {}
        if self.signer is not None:
            digest = ""
            if body is not None:
                # Over TLS the bytes do not matter and the signer's speed is not what is measured.
                digest = "UNSIGNED-PAYLOAD" if endpoint.scheme == "https" else body.digest()
            headers = self.signer(endpoint.region).sign(method, url, {}, digest or b"")
        sent: Body | None = body
        began = self._monotonic()
        try:
            response = self._transport.send(Request(method, url, tuple(headers.items()), sent))
        except TransportError as failure:
            return Answer(None, failure, began, self._monotonic())
        ended = self._monotonic()
        error: S3Error | None = None
        if not 200 <= response.status < 300 or s3xml.holds_error(response):
            error = s3xml.error_from(response, operation, endpoint.bucket, key)
        return Answer(response, error, began, ended)
