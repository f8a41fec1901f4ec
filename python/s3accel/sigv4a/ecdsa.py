"""The key pair of SigV4a: how AWS derives it, and ECDSA over P-256 with it.

The only module that knows the `cryptography` package (extra ``sigv4a``), and it loads it when the first key
is made.

Source: IAM User Guide, "Create a signed AWS API request" (deriving a signing key for SigV4a), which is
NIST SP 800-108 in counter mode; SEC 1 and X.690 for the signature's encoding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from .. import _core
from ..credentials import check_expiry
from ..errors import ConfigError, CredentialsError, VerificationError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

__all__ = ["ALGORITHM", "PublicKeyV4a", "SigningKeyV4a"]

ALGORITHM = "AWS4-ECDSA-P256-SHA256"

#: The order n of the curve's group (SEC 2, secp256r1).
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
LIMIT = (ORDER - 2).to_bytes(32, "big")
#: An EC private key of P-256 in DER (RFC 5915) around its 32 bytes; the public half is left to the reader.
DER_HEAD = bytes.fromhex("30310201010420")
DER_TAIL = bytes.fromhex("a00a06082a8648ce3d030107")
#: A candidate is one byte of counter; 255 is not tried (the rule ends at 254).
MAX_COUNTER = 254
#: r and s have at most 33 bytes each in DER, so a whole signature has at most 72.
MAX_DER_SIZE = 72


def _cryptography() -> tuple[Any, Any, Any]:
    try:
        from cryptography import exceptions
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError:
        raise ConfigError(
            "SigV4a needs ECDSA from the cryptography package: pip install 's3accel[sigv4a]'"
        ) from None
    return ec, hashes, exceptions


def available() -> bool:
    """True if the `cryptography` package can be loaded."""
    try:
        _cryptography()
    except ConfigError:
        return False
    return True


def candidate(k0: bytes) -> bytes | None:
    """The private key (32 bytes) that 32 derived bytes stand for, or None if they lie beyond n - 2.

    AWS asks for a comparison and an addition in constant time. Both go byte by byte here, from the last one,
    and neither branches on a byte nor stops early; but Python promises nothing about time, so this is an
    effort and no guarantee. That a candidate is refused shows, and happens once in 2^32. The point
    multiplication and the signatures are OpenSSL's, in constant time.
    """
    borrow = 0
    carry = 1
    number = bytearray(32)
    for i in range(31, -1, -1):
        borrow = ((LIMIT[i] - k0[i] - borrow) >> 8) & 1
        total = k0[i] + carry
        number[i] = total & 0xFF
        carry = total >> 8
    return None if borrow else bytes(number)


def fixed_input(access_key_id: str, counter: int) -> bytes:
    """What the key derivation function hashes for one counter."""
    return b"".join(
        (
            b"\x00\x00\x00\x01",
            ALGORITHM.encode("ascii"),
            b"\x00",
            access_key_id.encode("ascii"),
            bytes((counter,)),
            b"\x00\x00\x01\x00",  # 256 bits are wanted
        )
    )


class SigningKeyV4a:
    """A private key for SigV4a. It depends on the credentials alone, not on day, region or service.

    So, unlike a `SigningKey`, it is as powerful as the secret itself and lives as long: it is not exported,
    not printed and not pickled. OpenSSL keeps it and clears it when this object goes; the bytes it was made
    of are Python objects, which nobody can wipe.

    Attributes:
        access_key_id: whose key it is.
        deterministic: True if signatures take their nonce from key and message (RFC 6979), which needs
            cryptography 43 and OpenSSL 3.2; otherwise the nonce is random. AWS takes both.
    """

    __slots__ = ("_private", "_scheme", "access_key_id", "deterministic")

    def __init__(self, private_key: EllipticCurvePrivateKey, access_key_id: str) -> None:
        ec, hashes, exceptions = _cryptography()
        self._private = private_key
        self.access_key_id = access_key_id
        try:
            self._scheme = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
            self.deterministic = True
        except (TypeError, exceptions.UnsupportedAlgorithm):
            self._scheme = ec.ECDSA(hashes.SHA256())
            self.deterministic = False

    @classmethod
    def derive(cls, access_key_id: str, secret_access_key: str) -> SigningKeyV4a:
        """The key pair of an access key.

        Raises:
            ConfigError: the `cryptography` package is missing.
            CredentialsError: no counter gave a key (never seen: 2^-32 for each of 254).
        """
        _cryptography()
        from cryptography.hazmat.primitives.serialization import load_der_private_key

        key = b"AWS4A" + secret_access_key.encode("ascii")
        for counter in range(1, MAX_COUNTER + 1):
            number = candidate(_core.hmac_sha256(key, fixed_input(access_key_id, counter)))
            if number is not None:
                # By way of DER no Python integer, whose size shows in its time, stands for the key.
                private = load_der_private_key(DER_HEAD + number + DER_TAIL, None)
                return cls(private, access_key_id)  # type: ignore[arg-type]  # the DER says what it is
        raise CredentialsError(f"no SigV4a key can be derived from the credentials of {access_key_id}")

    def sign(self, text: bytes) -> str:
        """The DER signature over SHA-256 of `text`, in lower-case hexadecimal: usually 140 to 144 digits."""
        signature: bytes = self._private.sign(text, self._scheme)
        return signature.hex()

    @property
    def public_key(self) -> PublicKeyV4a:
        """The other half, which may be known to everybody."""
        return PublicKeyV4a(self._private.public_key())

    def __repr__(self) -> str:
        return f"<SigningKeyV4a {self.access_key_id}>"

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a SigningKeyV4a is as good as the secret and is not pickled")


class PublicKeyV4a:
    """What a server needs to check SigV4a signatures when it shall not know the secret.

    Args:
        public_key: a P-256 public key of the `cryptography` package. See `from_point` and `from_pem`.
        session_token: what requests with this key must carry, or None if they must carry none.
        expires_at: epoch seconds after which the token is dead, or None.
    """

    __slots__ = ("_public", "_scheme", "expires_at", "session_token")

    def __init__(
        self,
        public_key: EllipticCurvePublicKey,
        session_token: str | None = None,
        expires_at: float | None = None,
    ) -> None:
        ec, hashes, _ = _cryptography()
        if not isinstance(public_key, ec.EllipticCurvePublicKey) or public_key.curve.name != "secp256r1":
            raise ConfigError("a SigV4a key is a public key on the curve P-256")
        check_expiry(expires_at)
        self._public = public_key
        self._scheme = ec.ECDSA(hashes.SHA256())
        self.session_token = session_token
        self.expires_at = expires_at

    @classmethod
    def from_point(
        cls, point: bytes, session_token: str | None = None, expires_at: float | None = None
    ) -> PublicKeyV4a:
        """From the 65 bytes ``04 || x || y`` or the 33 of the compressed form (SEC 1)."""
        ec, _, _ = _cryptography()
        try:
            key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        except ValueError as error:
            raise ConfigError(f"{len(point)} bytes are no point of P-256: {error}") from None
        return cls(key, session_token, expires_at)

    @classmethod
    def from_pem(
        cls, pem: bytes, session_token: str | None = None, expires_at: float | None = None
    ) -> PublicKeyV4a:
        """From a PEM ``PUBLIC KEY``."""
        _cryptography()
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        try:
            key = load_pem_public_key(pem)
        except ValueError as error:
            raise ConfigError(f"this is no PEM public key: {error}") from None
        return cls(key, session_token, expires_at)  # type: ignore[arg-type]  # __init__ checks it

    @property
    def point(self) -> bytes:
        """65 bytes: ``04 || x || y``."""
        _cryptography()
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        point: bytes = self._public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return point

    def expired(self, now: float) -> bool:
        """True if the session token that goes with this key is dead at `now` (epoch seconds)."""
        return self.expires_at is not None and not now < self.expires_at

    def verify(self, text: bytes, signature: str) -> None:
        """Checks a signature: lower-case hexadecimal of strict DER with r and s in 1 to n - 1.

        Both s and n - s are right, so two texts may be signatures of the same request: do not use a
        signature to recognize a repeated one.

        Raises:
            VerificationError: SignatureDoesNotMatch.
        """
        if not self.matches(text, signature):
            raise VerificationError("SignatureDoesNotMatch", 403, "The ECDSA signature is not right.")

    def matches(self, text: bytes, signature: str) -> bool:
        """True for what `verify` accepts."""
        der = strict_der(signature)
        if der is None:
            return False
        _, _, exceptions = _cryptography()
        try:
            self._public.verify(der, text, self._scheme)
        except exceptions.InvalidSignature:
            return False
        return True

    def __repr__(self) -> str:
        return f"<PublicKeyV4a {self.point[1:9].hex()}...>"


def strict_der(signature: str) -> bytes | None:
    """The bytes of a signature if they are the one DER encoding of r and s in 1 to n - 1, else None."""
    if len(signature) > 2 * MAX_DER_SIZE or len(signature) % 2 or signature.strip("0123456789abcdef"):
        return None
    der = bytes.fromhex(signature)
    # Below 128 bytes DER has the short form of a length only: one byte.
    if len(der) < 8 or der[0] != 0x30 or der[1] != len(der) - 2:
        return None
    rest = der[2:]
    for _ in range(2):
        if len(rest) < 3 or rest[0] != 0x02 or not 1 <= rest[1] <= len(rest) - 2:
            return None
        body, rest = rest[2 : 2 + rest[1]], rest[2 + rest[1] :]
        # Positive, in as few bytes as can be.
        if body[0] & 0x80 or (len(body) > 1 and body[0] == 0 and not body[1] & 0x80):
            return None
        if not 1 <= int.from_bytes(body, "big") < ORDER:
            return None
    return None if rest else der
