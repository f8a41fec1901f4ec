"""What a presigned URL says of its payload: x-amz-content-sha256 as a signed header, or the argument, never both.

A server reads the header (S3 API Reference, "sigv4-query-string-auth"), so the canonical request must end in it.
"""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from s3accel import Credentials, Signer, Verifier
from s3accel.errors import SigningError, VerificationError
from s3accel.sigv4a import SignerV4a

KNOWN = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
NOW = 1_767_268_800.0
HOST = "bucket.s3.us-east-1.amazonaws.com"
URL = f"https://{HOST}/k"
HASH = hashlib.sha256(b"hello").hexdigest()
OTHER = hashlib.sha256(b"other").hexdigest()


def signers() -> list[Any]:
    return [Signer(KNOWN, "us-east-1", clock=lambda: NOW), SignerV4a(KNOWN, clock=lambda: NOW)]


def verify(url: str, headers: list[tuple[str, str]]) -> Any:
    pytest.importorskip("cryptography")
    verifier = Verifier(lambda _: KNOWN, region="us-east-1", clock=lambda: NOW)
    return verifier.verify("PUT", url.removeprefix(f"https://{HOST}"), [("Host", HOST), *headers])


@pytest.mark.parametrize("signer", signers(), ids=["v4", "v4a"])
@pytest.mark.parametrize("name", ["x-amz-content-sha256", "X-Amz-Content-SHA256"])
@pytest.mark.parametrize("payload", [None, HASH])
def test_the_headers_value_ends_the_canonical_request(signer: Any, name: str, payload: str | None) -> None:
    url = signer.presign("PUT", URL, headers={name: HASH}, payload=payload)
    assert verify(url, [(name, HASH)]).payload == HASH
    with pytest.raises(VerificationError, match="signature"):
        verify(url, [(name, OTHER)])


@pytest.mark.parametrize("signer", signers(), ids=["v4", "v4a"])
@pytest.mark.parametrize("payload", [OTHER, "UNSIGNED-PAYLOAD", HASH.upper()])
def test_another_payload_is_refused_and_both_are_named(signer: Any, payload: str) -> None:
    with pytest.raises(SigningError, match="x-amz-content-sha256") as caught:
        signer.presign("PUT", URL, headers={"x-amz-content-sha256": HASH}, payload=payload)
    assert HASH in str(caught.value)
    assert payload in str(caught.value)


@pytest.mark.parametrize("signer", signers(), ids=["v4", "v4a"])
@pytest.mark.parametrize(
    "headers",
    [
        [("x-amz-content-sha256", HASH), ("X-Amz-Content-Sha256", HASH)],
        [("x-amz-content-sha256", "")],
        [("x-amz-content-sha256", "hash")],
    ],
)
def test_headers_that_say_nothing_certain(signer: Any, headers: list[tuple[str, str]]) -> None:
    with pytest.raises(SigningError):
        signer.presign("PUT", URL, headers=headers)


def test_many_take_the_header_too() -> None:
    (signer, _) = signers()
    headers = {"x-amz-content-sha256": HASH}
    (url,) = signer.presign_many("PUT", f"https://{HOST}/", ["k"], headers=headers)
    assert verify(url, [("x-amz-content-sha256", HASH)]).payload == HASH
    assert url == signer.presign("PUT", URL, headers=headers)


@pytest.mark.parametrize("signer", signers(), ids=["v4", "v4a"])
def test_an_empty_payload_text_is_a_hash_that_was_forgotten(signer: Any) -> None:
    with pytest.raises(SigningError, match="64 hexadecimal"):
        signer.presign("PUT", URL, payload="")


@pytest.mark.parametrize("signer", signers(), ids=["v4", "v4a"])
@pytest.mark.parametrize(
    "query", ["X-Amz-Date=1", "X%2DAmz-Date=1", "X-Amz-Region-Set=*", "a=1&X-Amz-Signatur%65=2"]
)
def test_a_parameter_of_the_signature_however_it_is_written(signer: Any, query: str) -> None:
    with pytest.raises(SigningError, match="sets"):
        signer.presign("GET", f"{URL}?{query}")
