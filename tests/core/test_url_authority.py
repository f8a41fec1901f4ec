"""The authority of a URL: which hosts and ports can be signed. Ports: RFC 3986, 3.2.3, and 16 bits; literals: 3.2.2."""

from __future__ import annotations

import pytest

from s3accel import Credentials, Signer
from s3accel.errors import SigningError
from s3accel.sigv4a import SignerV4a

NOW = 1767268800.0
CREDENTIALS = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
BAD = [
    "h:0443", "h:", "h:0", "h:00", "h:65536", "h:99999", "h:100000", "h:-1", "h:+80", "h:8o", "h:80:80", "::1", "::1:80", "[::1", "::1]",
    "[::1]:", "[::1]:0", "[::1]:99999", "[::1]x", "x[::1]", "[]", "[]:80", "h]", "[h", "[[::1]]", "user@h:0443", "user:pw@[::1",
]  # fmt: skip
GOOD = {
    "h:1": "h:1",
    "h:65535": "h:65535",
    "h:443": "h",
    "h:80": "h:80",
    "[::1]": "[::1]",
    "[::1]:9000": "[::1]:9000",
    "[FE80::1]:443": "[fe80::1]",
    "H.": "h.",
    "user:pw@h:8443": "h:8443",
}


def signed_host(authority: str) -> str:
    stages = Signer(CREDENTIALS, "us-east-1", clock=lambda: NOW)._sign_detailed(
        "GET", f"https://{authority}/k"
    )
    return str(stages[3].split(b"host:")[1].split(b"\n")[0].decode())


@pytest.mark.parametrize(("authority", "host"), GOOD.items())
def test_good_authorities(authority: str, host: str) -> None:
    assert signed_host(authority) == host
    assert Signer(CREDENTIALS, "us-east-1", clock=lambda: NOW).presign("GET", f"https://{authority}/k", 60)


@pytest.mark.parametrize("authority", BAD)
@pytest.mark.parametrize("scheme", ["v4", "v4a"])
@pytest.mark.parametrize("form", ["sign", "presign"])
def test_bad_authorities(authority: str, scheme: str, form: str) -> None:
    signer: Signer | SignerV4a
    if scheme == "v4a":
        pytest.importorskip("cryptography", reason="SigV4a needs cryptography")
        signer = SignerV4a(CREDENTIALS, "*", clock=lambda: NOW)
    else:
        signer = Signer(CREDENTIALS, "us-east-1", clock=lambda: NOW)
    call = signer.sign if form == "sign" else signer.presign
    with pytest.raises(SigningError):
        call("GET", f"https://{authority}/k")
