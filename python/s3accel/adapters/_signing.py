"""What all adapters share: how a request's body is covered, and one signed attempt at sending it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Literal, cast

from ..credentials import Credentials, Provider
from ..errors import ConfigError, EndpointError
from ..signer import Signer
from ..streaming import DEFAULT_CHUNK_SIZE
from ._attempt import Attempt, Headers
from ._bodies import FileBody, OnceBody, SignedBody, UnknownBody
from ._wire import S3_SERVICES, Wire, wire_of

__all__ = ["MODES", "RequestSigning", "SignsRequests", "given_digest"]

MODES = ("auto", "signed-chunks", "signed", "unsigned-trailer", "unsigned")
How = Literal["hash", "read", "chunks", "trailer", "unsigned"]

_DIGEST = re.compile(r"[0-9a-fA-F]{64}|UNSIGNED-PAYLOAD")
#: The parameters of PutObject and UploadPart; any other one makes it another operation.
_UPLOAD_QUERY = frozenset({"partNumber", "uploadId", "x-id"})


class RequestSigning:
    """The settings of an adapter, and the choice of how a body is covered.

    Args:
        credentials: a `Signer`, `Credentials`, a provider, or None for the environment and botocore's chain.
        region, service: of the endpoint; a `Signer` has its own.
        payload: one of MODES.
        checksum: a trailer for bodies in chunks; ``"unsigned-trailer"`` takes crc64nvme if none is given.
        chunk_size: payload bytes in a chunk.
        redirect_regions: regions that S3 may redirect to.
        clock: epoch seconds; not together with a `Signer`.
        sign_all_headers: as of `Signer`.

    Raises:
        ConfigError: a bad argument or combination.
    """

    def __init__(
        self,
        credentials: Signer | Credentials | Provider | None = None,
        region: str | None = None,
        service: str | None = None,
        *,
        payload: str = "auto",
        checksum: str | None = None,
        chunk_size: int = DEFAULT_CHUNK_SIZE,
        redirect_regions: Collection[str] = (),
        clock: Callable[[], float] | None = None,
        sign_all_headers: bool = False,
    ) -> None:
        if payload not in MODES:
            raise ConfigError(f"payload is one of {', '.join(MODES)}, not {payload!r}")
        if isinstance(redirect_regions, str):
            raise ConfigError("redirect_regions is a list of regions, not one text")
        if isinstance(credentials, Signer):
            if region not in (None, credentials.region) or service not in (None, credentials.service):
                raise ConfigError(
                    f"the signer is for {credentials.region}/{credentials.service}; leave region and service out"
                )
            if clock is not None or sign_all_headers:
                raise ConfigError("clock and sign_all_headers belong to the signer that was given")
            self.signer = credentials
        else:
            if region is None:
                raise ConfigError(
                    "a region is needed to sign; for an accelerated host it is the bucket's own"
                )
            self.signer = Signer(
                credentials, region, service or "s3", clock=clock, sign_all_headers=sign_all_headers
            )
        self._all = sign_all_headers
        self.service = self.signer.service
        self.s3 = self.service in S3_SERVICES
        if payload in ("signed-chunks", "unsigned-trailer") and not self.s3:
            raise ConfigError(f"payload={payload!r} is S3's; {self.service} takes 'signed' or 'unsigned'")
        self.payload = payload
        self.checksum = checksum
        self.chunk_size = chunk_size
        self.redirect_regions = frozenset(redirect_regions)
        self._siblings: dict[str, Signer] = {}

    def signer_for(self, region: str | None) -> Signer:
        """The signer, or one with the same credentials for a region that a redirect led to."""
        if region is None or region == self.signer.region:
            return self.signer
        if self.signer._fixed is not None:
            raise EndpointError(
                f"a redirect leads to {region}, and the signer holds a key for {self.signer.region} only",
                "send the request to the bucket's own region",
            )
        if region not in self._siblings:
            self._siblings[region] = Signer(
                self.signer._provider,
                region,
                self.service,
                clock=self.signer._now,
                sign_all_headers=self.signer._sign_all,
            )
        return self._siblings[region]

    def how(
        self, method: str, wire: Wire, headers: Headers, *, buffered: bool, rewindable: bool, known: bool
    ) -> How:
        """How the signature covers a body.

        Args:
            buffered: the body is in memory. rewindable: it can be read twice. known: its length is known.

        Raises:
            ConfigError: this body cannot be sent in this mode; names what can be done.
        """
        mode = self.payload
        if mode in ("unsigned", "unsigned-trailer") and not wire.secure:
            raise ConfigError(
                f"payload={mode!r} over plain HTTP to {wire.netloc} is refused: nothing would protect the body; "
                "use https:// or payload='signed'"
            )
        if not known:
            if mode == "signed":
                return "read"
            raise ConfigError(
                "the body's length is unknown, and S3 needs it before the first byte: give a Content-Length "
                "header, bytes or a seekable file; or payload='signed', which reads the whole body into memory; "
                "or upload with s3accel.transfer.Client, which sends streams in parts"
            )
        if mode == "unsigned":
            return "unsigned"
        if self.s3 and _is_upload(method, wire, headers):
            if mode == "unsigned-trailer":
                return "trailer"
            if mode == "signed-chunks" or (mode == "auto" and not buffered):
                return "chunks"
        if buffered or rewindable:
            return "hash"
        if mode == "signed":
            return "read"
        raise ConfigError(
            f"the body of this {self.service} {method} can be read only once, and its hash must go before it: give "
            "bytes or a seekable file, or payload='signed', which reads it into memory"
        )

    def attempt(
        self,
        method: str,
        url: str | Wire,
        headers: Headers,
        body: bytes | FileBody | OnceBody | UnknownBody | None,
        region: str | None = None,
    ) -> Attempt:
        """Signs a request whose body can be read without awaiting."""
        wire = url if isinstance(url, Wire) else wire_of(url, self.service)
        given = given_digest(headers)
        if isinstance(body, (FileBody, OnceBody)) and not body.length:
            body = b""
        if not isinstance(body, UnknownBody) and (given or not body):
            # Nothing to cover, or covered already. Signed chunks of nothing would gain nothing.
            return self.plain(method, wire, headers, body, given or b"", region)
        how = self.how(
            method,
            wire,
            headers,
            buffered=isinstance(body, bytes),
            rewindable=not isinstance(body, (OnceBody, UnknownBody)),
            known=not isinstance(body, UnknownBody),
        )
        if how == "read":
            body = body.read_all() if isinstance(body, UnknownBody) else b"".join(cast("OnceBody", body))
            return self.plain(method, wire, headers, body, body, region)
        if isinstance(body, UnknownBody):
            raise ConfigError("a body of unknown length is read, or refused")
        if how == "unsigned":
            return self.plain(method, wire, headers, body, "UNSIGNED-PAYLOAD", region)
        if how == "hash":
            payload = body.digest() if isinstance(body, FileBody) else cast("bytes", body)
            return self.plain(method, wire, headers, body, payload, region)
        return Attempt(self, method, wire, headers, SignedBody(body), None, region, signed=how == "chunks")

    def plain(
        self,
        method: str,
        wire: Wire,
        headers: Headers,
        body: bytes | FileBody | OnceBody | None,
        payload: bytes | str,
        region: str | None = None,
    ) -> Attempt:
        """Signs a request whose body goes out as it is; `payload` is what `Signer.sign` takes."""
        if payload == "UNSIGNED-PAYLOAD" and not wire.secure:
            raise ConfigError(
                f"UNSIGNED-PAYLOAD over plain HTTP to {wire.netloc} is refused: nothing would protect the body"
            )
        return Attempt(self, method, wire, headers, body, payload, region)


class SignsRequests:
    """What the signing objects of requests and aiohttp have in common: their arguments."""

    def __init__(
        self,
        credentials: Signer | Credentials | Provider | None = None,
        region: str | None = None,
        service: str | None = None,
        *,
        payload: str = "auto",
        checksum: str | None = None,
        chunk_size: int = DEFAULT_CHUNK_SIZE,
        redirect_regions: Collection[str] = (),
        clock: Callable[[], float] | None = None,
        sign_all_headers: bool = False,
    ) -> None:
        """The settings.

        Args:
            credentials, region, service: a `Signer`, `Credentials`, a provider or None (environment, then
                botocore's chain), with the endpoint's region and service (``"s3"`` if not given).
            payload: ``"auto"`` (files and streams to S3 as signed chunks, all else hashed), ``"signed-chunks"``,
                ``"signed"``, ``"unsigned-trailer"`` or ``"unsigned"``.
            checksum: of `s3accel.checksums.ALGORITHMS`, sent as a trailer of bodies in chunks.
            chunk_size: payload bytes in a signed chunk.
            redirect_regions: regions that S3 may redirect to for the same bucket and key.
            clock: epoch seconds.
            sign_all_headers: as of `Signer`.

        Raises:
            ConfigError: a bad argument or combination.
        """
        self._signing = RequestSigning(
            credentials,
            region,
            service,
            payload=payload,
            checksum=checksum,
            chunk_size=chunk_size,
            redirect_regions=redirect_regions,
            clock=clock,
            sign_all_headers=sign_all_headers,
        )


def _is_upload(method: str, wire: Wire, headers: Headers) -> bool:
    """PutObject or UploadPart: the only operations that take aws-chunked bodies (S3 API Reference)."""
    names = {pair.partition("=")[0] for pair in wire.query.split("&") if pair}
    copies = any(name.lower() == "x-amz-copy-source" for name, _ in headers)
    return method.upper() == "PUT" and wire.path != "/" and names <= _UPLOAD_QUERY and not copies


def given_digest(headers: Headers) -> str | None:
    """The body's hash, if the caller knows it already and set it as the header that S3 reads."""
    for name, value in headers:
        if name.lower() == "x-amz-content-sha256":
            text = (value.decode("latin-1") if isinstance(value, bytes) else value).strip()
            if _DIGEST.fullmatch(text) is None:
                raise ConfigError(
                    "x-amz-content-sha256 must be the body's SHA-256 in hex or UNSIGNED-PAYLOAD; leave it out and "
                    "choose with payload="
                )
            return text if "-" in text else text.lower()
    return None
