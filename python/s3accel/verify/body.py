"""Checking a body while it streams in: hashes, checksums, chunks, trailers."""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import _core, checksums
from ..errors import VerificationError
from ..turns import Turn
from .errors import sha256_mismatch

if TYPE_CHECKING:
    from . import VerifiedRequest

__all__ = ["BodyReport", "BodyVerifier", "header"]

_TERMINATED = "The request body terminated unexpectedly"


def header(headers: Sequence[tuple[str, str]], name: str) -> str | None:
    """The first header of that lower-case name, without white space at its ends."""
    for key, value in headers:
        if key.lower() == name:
            return value.strip()
    return None


class BodyReport(NamedTuple):
    """What a whole body turned out to be.

    Attributes:
        length: object bytes. chunks: data chunks, 0 if the body was not aws-chunked.
        signed: True if a signature or a signed hash covers every byte of the body.
        checksum_algorithm, checksum_base64: the flexible checksum that was sent and is right, or None.
        md5_hex: for ETags. sha256_hex: only if it had to be computed. crc64nvme_base64: S3 stores it for
            objects that came without a checksum.
    """

    length: int
    chunks: int
    signed: bool
    checksum_algorithm: str | None
    checksum_base64: str | None
    md5_hex: str
    sha256_hex: str | None
    crc64nvme_base64: str


class BodyVerifier:
    """Decodes and checks one body as it streams in.

    `feed` gives the object bytes, which are to be kept in a temporary place: only `finish` says that the
    whole body is right.
    """

    def __init__(self, request: VerifiedRequest, key: Any, headers: Sequence[tuple[str, str]]) -> None:
        self._request = request
        self._length = 0
        self._turn = Turn()
        self._decoder: _core.ChunkDecoder | None = None
        self._sha256: _core.Sha256 | None = None
        self._expected_sha256 = ""
        self._checksum_value: str | None = None
        self._md5_value = header(headers, "content-md5")

        trailer = header(headers, "x-amz-trailer")
        self._algorithm = self._declared(headers, trailer)
        if request.streaming:
            name = ""
            if trailer is not None and self._algorithm is not None and self._checksum_value is None:
                name = self._algorithm.header
            self._decoder = request.decoder(key, name)
        elif trailer is not None:
            raise VerificationError(
                "MalformedTrailerError",
                400,
                "The request contained trailing data that was not well-formed or did not conform to our "
                "published schema.",
            )
        elif request.payload.startswith("STREAMING-"):
            # With query authentication the constant is nothing but a hash that no body has.
            self._expected_sha256 = request.payload
            self._sha256 = _core.Sha256()
        elif request.payload != "UNSIGNED-PAYLOAD":
            self._expected_sha256 = request.payload
            self._sha256 = _core.Sha256()
        self._md5 = checksums.new("md5")
        self._crc64 = checksums.new("crc64nvme")
        self._checksum = None
        if self._algorithm is not None and self._algorithm.name not in ("md5", "crc64nvme"):
            self._checksum = checksums.new(self._algorithm.name)
        if self._md5_value is not None and _decoded(self._md5_value, 16) is None:
            raise VerificationError(
                "InvalidDigest",
                400,
                "The Content-MD5 you specified was invalid.",
                {"Content-MD5": self._md5_value},
            )

    def _declared(
        self, headers: Sequence[tuple[str, str]], trailer: str | None
    ) -> checksums.Algorithm | None:
        """The one checksum that headers announce, as value or as trailer."""
        found: list[tuple[checksums.Algorithm | None, str, str]] = []
        for key, value in headers:
            lower = key.lower()
            if lower.startswith("x-amz-checksum-") and lower not in (
                "x-amz-checksum-mode",
                "x-amz-checksum-type",
                "x-amz-checksum-algorithm",
            ):
                found.append((checksums.by_header(lower), lower, value.strip()))
        names = []
        if trailer is not None:
            pieces = [piece.strip().lower() for piece in trailer.split(",")]
            if pieces and pieces[-1] == "":
                pieces.pop()  # S3 tolerates one comma at the end
            names = pieces
            for name in names:
                if checksums.by_header(name) is None:
                    raise VerificationError(
                        "InvalidRequest",
                        400,
                        "The value specified in the x-amz-trailer header is not supported",
                    )
        if len(found) + len(names) > 1:
            more = "" if names and found else " Multiple checksum Types are not allowed."
            raise VerificationError(
                "InvalidRequest", 400, "Expecting a single x-amz-checksum- header." + more
            )
        algorithm: checksums.Algorithm | None = None
        if found:
            algorithm, name, value = found[0]
            if algorithm is None:
                raise VerificationError(
                    "InvalidRequest",
                    400,
                    "The algorithm type you specified in x-amz-checksum- header is invalid.",
                )
            if _decoded(value, algorithm.digest_size) is None:
                raise VerificationError("InvalidRequest", 400, f"Value for {name} header is invalid.")
            self._checksum_value = value
        elif names:
            algorithm = checksums.by_header(names[0])
        said = header(headers, "x-amz-sdk-checksum-algorithm")
        if said is not None:
            if algorithm is None:
                raise VerificationError(
                    "InvalidRequest",
                    400,
                    "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or "
                    "x-amz-trailer headers were found.",
                )
            if said.lower() != algorithm.name:
                raise VerificationError(
                    "InvalidRequest", 400, "Value for x-amz-sdk-checksum-algorithm header is invalid."
                )
        return algorithm

    def feed(self, data: Any) -> bytes:
        """Takes the next bytes of the body, in pieces of any size; gives the object bytes among them.

        Raises:
            VerificationError: framing, length, chunk size or a chunk's signature is wrong.
            RuntimeError: another thread is feeding.
        """
        with self._turn:
            if self._decoder is None:
                piece = bytes(data)
            else:
                piece, code, _ = self._decoder.feed(data)
                if code is not None:
                    raise self._refusal(code)
            self._length += len(piece)
            if piece:
                self._md5.update(piece)
                self._crc64.update(piece)
                if self._sha256 is not None:
                    self._sha256.update(piece)
                if self._checksum is not None:
                    self._checksum.update(piece)
            return piece

    def finish(self) -> BodyReport:
        """Must be called at the end of the body.

        Raises:
            VerificationError: the body ended early, its trailer is wrong, or a hash does not agree. The
                order is S3's: framing, payload hash, Content-MD5, flexible checksum.
            RuntimeError: another thread is feeding.
        """
        with self._turn:
            return self._finish()

    def _finish(self) -> BodyReport:
        request = self._request
        chunks = 0
        if self._decoder is not None:
            code, _ = self._decoder.finish()
            if code is not None:
                raise self._refusal(code)
            chunks = self._decoder.data_chunks
            if self._algorithm is not None and self._checksum_value is None:
                value = self._decoder.trailer_value
                if _decoded(value, self._algorithm.digest_size) is None:
                    raise VerificationError(
                        "InvalidRequest",
                        400,
                        f"Value for {self._algorithm.header} trailing header is invalid.",
                    )
                self._checksum_value = value
        sha256 = None if self._sha256 is None else self._sha256.hexdigest()
        if sha256 is not None and sha256 != self._expected_sha256.lower():
            raise sha256_mismatch(self._expected_sha256, sha256)
        md5 = self._md5.digest()
        if self._md5_value is not None and _decoded(self._md5_value, 16) != md5:
            raise VerificationError(
                "BadDigest",
                400,
                "The Content-MD5 you specified did not match what we received.",
                {
                    "ExpectedDigest": self._md5_value,
                    "CalculatedDigest": checksums.encode(md5),
                },
            )
        crc64 = self._crc64.digest()
        algorithm = self._algorithm
        if algorithm is not None:
            if algorithm.name == "md5":
                digest = md5
            elif self._checksum is None:
                digest = crc64
            else:
                digest = self._checksum.digest()
            if checksums.encode(digest) != self._checksum_value:
                raise VerificationError(
                    "BadDigest",
                    400,
                    f"The {algorithm.name.upper()} you specified did not match the calculated checksum.",
                )
        signed = sha256 is not None or (request.streaming and "UNSIGNED" not in request.payload)
        return BodyReport(
            length=self._length,
            chunks=chunks,
            signed=signed,
            checksum_algorithm=None if algorithm is None else algorithm.name,
            checksum_base64=self._checksum_value,
            md5_hex=md5.hex(),
            sha256_hex=sha256,
            crc64nvme_base64=checksums.encode(crc64),
        )

    def _refusal(self, code: str) -> VerificationError:
        decoder = self._decoder
        if decoder is None:
            return VerificationError("InternalError", 500, code)
        if code in ("chunk_signature_mismatch", "trailer_signature_mismatch"):
            return self._request.mismatch(decoder.to_sign, decoder.provided_signature)
        if code == "chunk_too_small":
            return VerificationError(
                "InvalidChunkSizeError",
                403,
                "Only the last chunk is allowed to have a size less than 8192 bytes",
                {"Chunk": str(decoder.bad_chunk), "BadChunkSize": str(decoder.bad_chunk_size)},
            )
        if code == "body_length_mismatch":
            return VerificationError(
                "IncompleteBody",
                400,
                "You did not provide the number of bytes specified by the Content-Length HTTP header",
                {
                    "NumberBytesExpected": str(self._request.decoded_length),
                    "NumberBytesProvided": str(decoder.provided),
                },
            )
        if code == "trailer_malformed":
            return VerificationError(
                "MalformedTrailerError",
                400,
                "The request contained trailing data that was not well-formed or did not conform to our "
                "published schema.",
            )
        return VerificationError("IncompleteBody", 400, _TERMINATED)

    def __repr__(self) -> str:
        return f"<BodyVerifier {self._length} bytes so far>"


def _decoded(value: str, size: int) -> bytes | None:
    """Strict base64 of exactly `size` bytes, or None."""
    try:
        raw = binascii.a2b_base64(value)
    except (ValueError, TypeError):
        return None
    return raw if len(raw) == size and checksums.encode(raw) == value else None
