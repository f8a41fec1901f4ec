"""A throwaway certificate authority and a server certificate for S3's host names.

The authority exists for one folder and a year at most; its key is never written anywhere and forgotten once it
has signed the one certificate. Nothing is installed anywhere: clients are told to trust ``ca_file``.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigError

if TYPE_CHECKING:
    from cryptography import x509

#: Longer than anybody leaves an endpoint running; some clients refuse more than 398 days.
VALID_DAYS = 365


@dataclass(frozen=True)
class CertificateFiles:
    """``ca_file`` is what clients trust; ``certificate_file`` and ``key_file`` are the server's (key mode
    0600)."""

    ca_file: Path
    certificate_file: Path
    key_file: Path

    def server_context(self) -> ssl.SSLContext:
        """A server context with these files: TLS 1.2 or newer."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        context.load_cert_chain(self.certificate_file, self.key_file)
        return context


def default_names(region: str) -> list[str]:
    """The names a certificate needs for every host form the endpoint answers under."""
    names = ["*.s3-accelerate.amazonaws.com", "*.s3-accelerate.dualstack.amazonaws.com"]
    names += ["s3-accelerate.amazonaws.com", "s3-accelerate.dualstack.amazonaws.com"]
    names += ["s3.amazonaws.com", "*.s3.amazonaws.com"]
    for one in dict.fromkeys(("us-east-1", region)):
        for form in (f"s3.{one}.amazonaws.com", f"s3.dualstack.{one}.amazonaws.com"):
            names += [form, f"*.{form}"]
    # No "*.localhost": OpenSSL takes no wildcard for a whole top-level name.
    return [*names, "localhost", "127.0.0.1", "::1"]


def make_certificates(
    folder: Path, *, region: str = "us-east-1", extra_names: Iterable[str] = (), valid_days: int = VALID_DAYS
) -> CertificateFiles:
    """Make an authority and a server certificate (ECDSA P-256) in ``folder``.

    Raises ConfigError if ``cryptography`` is not installed.
    """
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
    except ImportError as error:
        raise ConfigError(
            "TLS for the local endpoint needs the package cryptography: pip install 's3accel[local]', "
            "or start it with tls=False"
        ) from error

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    # A client whose clock is a little behind must not find the certificate in its future.
    start = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1)
    end = start + datetime.timedelta(days=valid_days)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = name("s3accel throwaway test CA")
    ca_identifier = x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key())
    authority = (
        x509.CertificateBuilder(
            ca_name, ca_name, ca_key.public_key(), x509.random_serial_number(), start, end
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(ca_identifier, critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    names = [_general_name(one) for one in dict.fromkeys([*default_names(region), *extra_names])]
    certificate = (
        x509.CertificateBuilder(
            ca_name, name("s3accel local endpoint"), key.public_key(), x509.random_serial_number(), start, end
        )
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ca_identifier), critical=False
        )
        .sign(ca_key, hashes.SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True)
    files = CertificateFiles(folder / "ca.pem", folder / "server.pem", folder / "server-key.pem")
    pem = serialization.Encoding.PEM
    files.ca_file.write_bytes(authority.public_bytes(pem))
    files.certificate_file.write_bytes(certificate.public_bytes(pem) + authority.public_bytes(pem))
    _write_private(
        files.key_file,
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
    return files


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(text: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _write_private(path: Path, data: bytes) -> None:
    """Write a key that only its owner can read, also while it is being written."""
    path.unlink(missing_ok=True)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(file, data)
    finally:
        os.close(file)
