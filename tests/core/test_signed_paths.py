"""What is signed for S3 is what a server reads, whatever legal spelling of a path the URL has.

S3 decodes the path that arrives and encodes it again. The witness of that form is `urllib.parse`.
"""

from __future__ import annotations

import importlib.util
from typing import Any
from urllib.parse import quote, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3accel import Credentials, Signer, Verifier
from s3accel.errors import SigningError
from s3accel.sigv4a import SignerV4a

NOW = 1767268800.0
WHO = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
RAW = b"abcXYZ019-._~!$&'()*+,;=:@/"  # what RFC 3986 lets stand in a path
SERVICES = ("s3", "s3express", "s3-outposts", "s3-object-lambda")
needs_cryptography = pytest.mark.skipif(
    importlib.util.find_spec("cryptography") is None, reason="cryptography, for ECDSA, is not installed"
)


@st.composite
def spelled(draw: st.DrawFn) -> str:
    """A path of any bytes, each written raw where it may be, or escaped with digits of either case."""
    out = "/b/"
    for byte in draw(
        st.one_of(st.binary(max_size=24), st.lists(st.sampled_from(RAW), max_size=24).map(bytes))
    ):
        spellings = [f"%{byte:02X}", f"%{byte:02x}"]
        if byte in RAW:
            spellings.append(chr(byte))
        out += draw(st.sampled_from(spellings))
    return out


def canonical(path: str) -> str:
    return quote(unquote_to_bytes(path), safe="/-._~")


def signer(service: str = "s3") -> Signer:
    return Signer(WHO, "us-east-1", service, clock=lambda: NOW)


def verify(method: str, target: str, headers: Any) -> None:
    Verifier({"AKIDEXAMPLE": WHO}.get, clock=lambda: NOW).verify(method, target, headers)


@given(spelled())
def test_signed_headers_are_accepted(path: str) -> None:
    url = "https://h" + path
    added = signer().sign("GET", url)
    verify("GET", path, [("host", "h"), *added.items()])
    assert signer().sign_many([("GET", url), ("GET", "https://h" + path + "x")])[0] == added
    assert added == signer().sign("GET", "https://h" + canonical(path))


@given(spelled())
def test_presigned_urls_are_accepted_and_keep_their_path(path: str) -> None:
    url = signer().presign("GET", "https://h" + path, 60)
    assert url.startswith(f"https://h{path}?")
    verify("GET", url[len("https://h") :], [("host", "h")])
    (many,) = signer().presign_many("GET", f"https://h{path}/", ["k(1)"], 60)
    assert many.startswith(f"https://h{path}/k%281%29?")
    verify("GET", many[len("https://h") :], [("host", "h")])


@pytest.mark.parametrize("service", SERVICES)
@given(path=spelled())
def test_every_service_of_s3_signs_the_decoded_and_encoded_path(service: str, path: str) -> None:
    request = signer(service)._sign_detailed("GET", "https://h" + path)[3]
    assert request.split(b"\n")[1].decode() == canonical(path)


@needs_cryptography
@given(spelled())
def test_sigv4a_is_accepted(path: str) -> None:
    who = SignerV4a(WHO, "*", clock=lambda: NOW)
    verify("GET", path, [("host", "h"), *who.sign("GET", "https://h" + path).items()])
    url = who.presign("GET", "https://h" + path, 60)
    assert url.startswith(f"https://h{path}?")
    verify("GET", url[len("https://h") :], [("host", "h")])


@pytest.mark.parametrize("make", [signer, lambda: SignerV4a(WHO, "*", clock=lambda: NOW)])
@pytest.mark.parametrize("path", ["/a%", "/a%4", "/a%zz", "/a%4?b"])
def test_a_stray_percent_is_refused(make: Any, path: str) -> None:
    if make is not signer:
        pytest.importorskip("cryptography")
    with pytest.raises(SigningError) as caught:
        make().sign("GET", "https://h" + path)
    assert "%25" in str(caught.value)


def test_a_stream_signs_the_path_that_is_read() -> None:
    body = b"x" * 10
    stream = signer().stream("PUT", "https://h/b/a(1)", None, len(body))
    plain = signer().stream("PUT", "https://h/b/a%281%29", None, len(body))
    assert stream.headers == plain.headers
