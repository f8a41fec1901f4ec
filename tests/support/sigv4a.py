"""SigV4a once more, from the documents: hashlib and hmac for the key, `cryptography` for the curve.

As plain as ``reference.py`` and like it without a line of the product.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from . import reference

ALGORITHM = "AWS4-ECDSA-P256-SHA256"
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
STREAMING = "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"


def private_number(access_key_id: str, secret: str) -> int:
    for counter in range(1, 255):
        message = b"\0\0\0\1" + ALGORITHM.encode() + b"\0" + access_key_id.encode() + bytes([counter])
        digest = hmac.new(b"AWS4A" + secret.encode(), message + b"\0\0\1\0", hashlib.sha256).digest()
        number = int.from_bytes(digest, "big")
        if number <= ORDER - 2:
            return number + 1
    raise AssertionError("no key")


def is_valid(key: ec.EllipticCurvePublicKey, text: str | bytes, signature: str) -> bool:
    raw = text if isinstance(text, bytes) else text.encode()
    try:
        key.verify(bytes.fromhex(signature), raw, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def other_s(signature: str) -> str:
    """The other signature of the same text: n - s in place of s."""
    r, s = decode_dss_signature(bytes.fromhex(signature))
    return encode_dss_signature(r, ORDER - s).hex()


def string_to_sign(timestamp: str, service: str, canonical: str) -> str:
    scope = f"{timestamp[:8]}/{service}/aws4_request"
    return "\n".join([ALGORITHM, timestamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])


@dataclass(frozen=True)
class IdentityV4a:
    """Who signs and when."""

    access_key_id: str = "AKIAIOSFODNN7EXAMPLE"
    secret_access_key: str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    timestamp: str = "20260101T120000Z"
    service: str = "s3"

    @property
    def scope(self) -> str:
        return f"{self.timestamp[:8]}/{self.service}/aws4_request"

    @property
    def private(self) -> ec.EllipticCurvePrivateKey:
        return ec.derive_private_key(
            private_number(self.access_key_id, self.secret_access_key), ec.SECP256R1()
        )

    def sign_text(self, text: str) -> str:
        return self.private.sign(text.encode(), ec.ECDSA(hashes.SHA256())).hex()

    def authorization(self, signed: str, signature: str, credential: str | None = None) -> str:
        who = f"{self.access_key_id}/{self.scope}" if credential is None else credential
        return f"{ALGORITHM} Credential={who}, SignedHeaders={signed}, Signature={signature}"

    def sign_headers(
        self, method: str, target: str, headers: Sequence[tuple[str, str]], payload: str
    ) -> tuple[list[tuple[str, str]], str]:
        """Headers with date, payload hash and Authorization added, all of them signed; and the signature."""
        whole = [*headers, ("x-amz-date", self.timestamp), ("x-amz-content-sha256", payload)]
        canonical, signed = reference.canonical_request(method, target, whole, payload)
        signature = self.sign_text(string_to_sign(self.timestamp, self.service, canonical))
        return [*whole, ("authorization", self.authorization(signed, signature))], signature

    def presign(
        self,
        method: str,
        path: str,
        host: str,
        region_set: str,
        expires: str = "600",
        query: str = "",
        credential: str | None = None,
        algorithm: str = ALGORITHM,
    ) -> str:
        """A signed target."""
        pairs = {
            "X-Amz-Algorithm": algorithm,
            "X-Amz-Credential": credential or f"{self.access_key_id}/{self.scope}",
            "X-Amz-Date": self.timestamp,
            "X-Amz-Expires": expires,
            "X-Amz-Region-Set": region_set,
            "X-Amz-SignedHeaders": "host",
        }
        own = "&".join(f"{n}={reference.encode(v)}" for n, v in pairs.items() if v)
        whole = f"{path}?{query}&{own}" if query else f"{path}?{own}"
        canonical, _ = reference.canonical_request(method, whole, [("host", host)], "UNSIGNED-PAYLOAD")
        signature = self.sign_text(string_to_sign(self.timestamp, self.service, canonical))
        return f"{whole}&X-Amz-Signature={signature}"


def frame_signed(
    who: IdentityV4a,
    seed: str,
    data: bytes,
    sizes: Sequence[int],
    trailers: Sequence[tuple[str, str]] = (),
) -> bytes:
    """The aws-chunked body with signatures filled up to 144 characters; the chain goes on without filling."""
    out = bytearray()
    previous, position = seed, 0
    for size in [*sizes, 0]:
        piece = data[position : position + size]
        position += size
        head = [f"{ALGORITHM}-PAYLOAD", who.timestamp, who.scope, previous, reference.EMPTY_SHA256]
        previous = who.sign_text("\n".join([*head, hashlib.sha256(piece).hexdigest()]))
        out += f"{size:x};chunk-signature={previous.ljust(144, '*')}\r\n".encode()
        if size:
            out += piece + b"\r\n"
    if trailers:
        text = "".join(f"{name}:{value}\n" for name, value in sorted(trailers))
        head = [f"{ALGORITHM}-TRAILER", who.timestamp, who.scope, previous]
        signature = who.sign_text("\n".join([*head, hashlib.sha256(text.encode()).hexdigest()]))
        out += "".join(f"{name}:{value}\r\n" for name, value in trailers).encode()
        out += f"x-amz-trailer-signature:{signature.ljust(144, '*')}\r\n".encode()
    return bytes(out + b"\r\n")
