"""SigV4a signing: published and own vectors, `cryptography` as witness of every signature, odd inputs refused."""

from __future__ import annotations

import hashlib
import pickle
import sys
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("cryptography", reason="SigV4a needs the cryptography package")

from s3accel import _core
from s3accel.credentials import Credentials, RefreshingProvider
from s3accel.errors import ConfigError, CredentialsError, SigningError, VerificationError
from s3accel.signer import Signer
from s3accel.sigv4a import PublicKeyV4a, SignerV4a, SigningKeyV4a, ecdsa, region_set_of
from support import reference, sigv4a, strategies, vectors

OWN = vectors.load("sigv4a")
FOREIGN, ABSENT = vectors.third_party("sigv4a-aws-c-auth")
WHO = sigv4a.IdentityV4a()
KNOWN = Credentials(WHO.access_key_id, WHO.secret_access_key)
URL = "https://alias.mrap.accesspoint.s3-global.amazonaws.com/key"


def both(field: str) -> list[Any]:
    """Cases of our file and of aws-c-auth's, which is skipped by name where it is not present."""
    cases = [pytest.param(case, id=case.get("id", case.get("access_key_id"))) for case in OWN[field]]
    if FOREIGN is None:
        return [*cases, pytest.param(None, marks=pytest.mark.skip(reason=ABSENT), id="aws-c-auth-absent")]
    named = [(case.get("id", case.get("access_key_id")), case) for case in FOREIGN[field]]
    return [*cases, *(pytest.param(case, id=f"aws-c-auth-{name}") for name, case in named)]


def signer_of(given: dict[str, Any], **options: Any) -> SignerV4a:
    known = Credentials(given["access_key_id"], given["secret_access_key"], given.get("session_token"))
    return SignerV4a(known, given["region_set"], clock=lambda: reference.epoch(given["timestamp"]), **options)


def url_of(given: dict[str, Any]) -> str:
    return f"https://{dict(given['headers'])['Host']}{given['target']}"


# --- keys ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", both("key_derivation"))
def test_key_derivation(case: dict[str, Any]) -> None:
    assert ecdsa.fixed_input(case["access_key_id"], case["counter"]).hex() == case["fixed_input_hex"]
    key = SigningKeyV4a.derive(case["access_key_id"], case["secret_access_key"])
    number = key._private.private_numbers().private_value
    assert f"{number:064x}" == case["private_key_hex"]
    assert key.public_key.point.hex() == "04" + case["public_x_hex"] + case["public_y_hex"]
    assert number == sigv4a.private_number(case["access_key_id"], case["secret_access_key"])


@pytest.mark.parametrize("case", OWN["candidate_steps"], ids=lambda case: case["k0_hex"])
def test_candidate(case: dict[str, Any]) -> None:
    number = ecdsa.candidate(bytes.fromhex(case["k0_hex"]))
    assert (number is not None) == case["accepted"]
    if number is not None:
        assert number.hex() == case["private_key_hex"]


@given(st.integers(0, 2**256 - 1))
def test_candidate_against_integers(number: int) -> None:
    got = ecdsa.candidate(number.to_bytes(32, "big"))
    assert got == (None if number > sigv4a.ORDER - 2 else (number + 1).to_bytes(32, "big"))


def test_next_counter_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never seen with real keys, so the first candidates are refused by hand."""
    tried = []

    def refuse_two(k0: bytes) -> bytes | None:
        tried.append(k0)
        return None if len(tried) < 3 else bytes(31) + b"\x07"

    monkeypatch.setattr(ecdsa, "candidate", refuse_two)
    key = SigningKeyV4a.derive("AKID", "secret")
    assert key._private.private_numbers().private_value == 7
    assert len(set(tried)) == 3
    monkeypatch.setattr(ecdsa, "candidate", lambda k0: None)
    with pytest.raises(CredentialsError, match="no SigV4a key"):
        SigningKeyV4a.derive("AKID", "secret")


def test_signature_without_rfc_6979(monkeypatch: pytest.MonkeyPatch) -> None:
    """Older libraries make random nonces: another signature each time, and as good."""
    ec, hashes, exceptions = ecdsa._cryptography()

    def old_ecdsa(algorithm: Any, **options: Any) -> Any:
        if options:
            raise TypeError("unexpected keyword argument")
        return ec.ECDSA(algorithm)

    # The library itself must not be patched: its compiled half keeps what it finds there.
    old = SimpleNamespace(ECDSA=old_ecdsa)
    monkeypatch.setattr(ecdsa, "_cryptography", lambda: (old, hashes, exceptions))
    key = SigningKeyV4a.derive(WHO.access_key_id, WHO.secret_access_key)
    assert not key.deterministic
    first, second = key.sign(b"text"), key.sign(b"text")
    assert first != second
    assert sigv4a.is_valid(WHO.private.public_key(), "text", first)
    assert sigv4a.is_valid(WHO.private.public_key(), "text", second)


# --- requests -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", both("requests"))
def test_request_stages(case: dict[str, Any]) -> None:
    given, expected = case["input"], case["expected"]
    headers = [(n, v) for n, v in given["headers"]]
    target = given["target"]
    if case["kind"] == "query":
        target = f"{target.partition('?')[0]}?{expected['canonical_query']}"
    else:
        headers += [("x-amz-date", given["timestamp"]), ("x-amz-content-sha256", given["payload_hash"])]
        headers += [("x-amz-region-set", given["region_set"])]
        if given["session_token"]:
            headers.append(("x-amz-security-token", given["session_token"]))
    names = expected["signed_headers"].split(";")
    canonical, _ = _core.canonical_request(
        given["method"], target, headers, given["payload_hash"], False, False, names
    )
    assert canonical.decode() == expected["canonical_request"]
    text = _core.string_to_sign(given["timestamp"], expected["scope"], canonical, ecdsa.ALGORITHM)
    assert text.decode() == expected["string_to_sign"]
    key = SigningKeyV4a.derive(given["access_key_id"], given["secret_access_key"])
    if key.deterministic:
        assert key.sign(text) == expected["rfc6979_signature_der_hex"]
    for signature in (
        key.sign(text),
        expected["rfc6979_signature_der_hex"],
        expected["other_valid_signature_der_hex"],
    ):
        key.public_key.verify(text, signature)


@pytest.mark.parametrize("case", both("requests"))
def test_request_signer(case: dict[str, Any]) -> None:
    given, expected = case["input"], case["expected"]
    names = expected["signed_headers"].split(";")
    signer = signer_of(given, sign_all_headers="content-length" in names)
    url, headers = url_of(given), [(n, v) for n, v in given["headers"]]
    if case["kind"] == "query":
        made = signer.presign(given["method"], url, given["expires_seconds"], headers)
        parts = urlsplit(made)
        if signer._freeze(0).key.deterministic:
            assert f"{parts.path}?{parts.query}" == expected["target_with_rfc6979_signature"]
        signature = parts.query.rpartition("=")[2]
    else:
        added, signature, _, canonical, text, _, key = signer._sign_detailed(
            given["method"], url, headers, given["payload_hash"]
        )
        assert canonical.decode() == expected["canonical_request"]
        assert text.decode() == expected["string_to_sign"]
        assert added["X-Amz-Region-Set"] == given["region_set"]
        assert added.get("X-Amz-Security-Token") == given["session_token"]
        if key.deterministic:
            assert added["Authorization"] == expected["authorization_with_rfc6979_signature"]
    who = sigv4a.IdentityV4a(given["access_key_id"], given["secret_access_key"])
    assert sigv4a.is_valid(who.private.public_key(), expected["string_to_sign"], signature)


def test_body_is_hashed_and_generic_services_encode_twice() -> None:
    signer = SignerV4a(KNOWN, "us-east-1", "execute-api", clock=lambda: reference.epoch(WHO.timestamp))
    added, _, _, canonical, _, _, _ = signer._sign_detailed("POST", "https://h/a%20b/../c//d", None, b"body")
    assert canonical.decode().split("\n")[1] == "/c/d"
    assert canonical.decode().endswith(hashlib.sha256(b"body").hexdigest())
    assert "X-Amz-Content-Sha256" not in added
    assert signer.presign("GET", "https://h/a%20b").startswith("https://h/a%20b?X-Amz-Algorithm=")
    canonical = signer._sign_detailed("GET", "https://h/a%20b")[3]
    assert canonical.decode().split("\n")[1] == "/a%2520b"


@settings(max_examples=100)
@given(strategies.cases(strategies.RECOMMENDED_NAMES, ("s3", "execute-api")))
def test_same_canonical_request_as_the_hmac_signer(case: strategies.Case) -> None:
    """What SignerV4a reads out of URL, headers and payload is what the core's Signer reads."""
    known = Credentials(case.who.access_key_id, case.who.secret_access_key, case.token)
    options: dict[str, Any] = {"clock": lambda: reference.epoch(case.who.timestamp)}
    hmac_signer = Signer(known, case.who.region, case.who.service, **options)
    signer = SignerV4a(known, "*", case.who.service, **options)
    payload: bytes | str = "UNSIGNED-PAYLOAD" if case.body is None else case.body
    headers = [(n, v.encode()) for n, v in case.headers]
    theirs = hmac_signer._sign_detailed(case.method, case.url, headers, payload)[3].decode().split("\n")
    ours = signer._sign_detailed(case.method, case.url, headers, payload)[3].decode().split("\n")
    names = [*theirs.pop(-2).split(";"), "x-amz-region-set"]
    assert ours.pop(-2) == ";".join(sorted(names))
    ours.remove("x-amz-region-set:*")
    assert ours == theirs


REFUSED: list[tuple[str, Any]] = [
    ("method", ("get", URL)),
    ("method", ("", URL)),
    ("url", ("GET", "/key")),
    ("url", ("GET", "https:///key")),
    ("url", ("GET", "https://h/a b")),
    ("url", ("GET", "https://h/é")),
    ("url", ("GET", "https://h:port/")),
    ("url", ("GET", "https://h:123456/")),
    ("url", ("GET", "https://h/?a=b+c")),
    ("url", ("GET", "https://h/?a=%zz")),
    ("header", ("GET", URL, {"Authorization": "x"})),
    ("header", ("GET", URL, {"X-Amz-Date": "x"})),
    ("header", ("GET", URL, {"x-amz-content-sha256": "x"})),
    ("header", ("GET", URL, {"x-amz-security-token": "x"})),
    ("header", ("GET", URL, {"x-amz-region-set": "x"})),
    ("header", ("GET", URL, {"x-amz-meta-a": "b\r\nc: d"})),
    ("header", ("GET", URL, {"x-amz-meta a": "b"})),
    ("payload", ("GET", URL, None, "STREAMING-SOMETHING")),
    ("payload", ("GET", URL, None, "abc")),
]


@pytest.mark.parametrize(("field", "arguments"), REFUSED, ids=lambda value: vectors.slug(str(value)))
def test_both_signers_refuse(field: str, arguments: tuple[Any, ...]) -> None:
    for signer in (SignerV4a(KNOWN), Signer(KNOWN, "us-east-1")):
        with pytest.raises(SigningError) as caught:
            signer.sign(*arguments)
        assert caught.value.field.startswith(field)


def test_text_beyond_ascii_is_taken_as_bytes_only() -> None:
    with pytest.raises(ValueError, match="ASCII"):
        SignerV4a(KNOWN).sign("GET", URL, {"x-amz-meta-a": "é"})
    assert SignerV4a(KNOWN).sign("GET", URL, {"x-amz-meta-a": "é".encode()})


def test_hmac_constant_is_refused() -> None:
    with pytest.raises(SigningError):
        SignerV4a(KNOWN).sign("PUT", URL, None, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")


@pytest.mark.parametrize("expires", [0, -1, 604_801, True, 1.5, "60"])
def test_presign_expires_out_of_range(expires: Any) -> None:
    with pytest.raises(ConfigError, match="604800"):
        SignerV4a(KNOWN).presign("GET", URL, expires)


def test_presign_refuses_a_signed_url() -> None:
    signer = SignerV4a(KNOWN)
    with pytest.raises(SigningError):
        signer.presign("GET", signer.presign("GET", URL))


def test_presign_refuses_a_key_that_was_not_encoded() -> None:
    with pytest.raises(SigningError, match="write %23") as caught:
        SignerV4a(KNOWN).presign("GET", f"{URL}#b")
    assert caught.value.offset == len(URL)


def test_a_header_that_is_no_text() -> None:
    with pytest.raises(TypeError, match="header Content-Length: the value must be str or bytes, not int"):
        SignerV4a(KNOWN).sign("GET", URL, {"Content-Length": 5})


def test_presigned_content_hash_header_is_what_is_signed() -> None:
    url = SignerV4a(KNOWN).presign("PUT", URL, 60, {"x-amz-content-sha256": "0" * 64, "Content-Type": "a/b"})
    assert "X-Amz-SignedHeaders=content-type%3Bhost%3Bx-amz-content-sha256" in url


@pytest.mark.parametrize(
    ("regions", "text"),
    [("*", "*"), ("us-east-1,us-west-*", "us-east-1,us-west-*"), (["eu-west-1", "*"], "eu-west-1,*")],
)
def test_region_set(regions: Any, text: str) -> None:
    assert region_set_of(regions) == text


@pytest.mark.parametrize("regions", ["", "us-east-1, us-west-1", "US-EAST-1", [], ["a,b"], [1], "a\nb"])
def test_region_set_refused(regions: Any) -> None:
    with pytest.raises(ConfigError):
        SignerV4a(KNOWN, regions)


# --- credentials and secrets --------------------------------------------------------------------------------


def test_credentials_are_renewed_early_and_frozen() -> None:
    now = [1_000_000.0]
    made: list[Credentials] = []

    def fetch() -> Credentials:
        made.append(Credentials(f"AKID{len(made)}", "secret", f"token{len(made)}", now[0] + 900))
        return made[-1]

    signer = SignerV4a(RefreshingProvider(fetch, clock=lambda: now[0]), clock=lambda: now[0])
    first = signer.sign("GET", URL)
    assert first["X-Amz-Security-Token"] == "token0"
    now[0] += 599
    assert signer.sign("GET", URL)["X-Amz-Security-Token"] == "token0"
    now[0] += 2
    added = signer.sign("GET", URL)
    assert "Credential=AKID1/" in added["Authorization"]
    assert added["X-Amz-Security-Token"] == "token1"
    signer.refresh()
    signer.sign("GET", URL)
    assert len(made) == 2


def test_expired_credentials() -> None:
    signer = SignerV4a(Credentials("AKID", "secret", "token", 100.0), clock=lambda: 100.0)
    with pytest.raises(CredentialsError, match="expired"):
        signer.sign("GET", URL)


def test_secrets_stay_inside() -> None:
    token = "token-that-must-not-show"
    known = Credentials(WHO.access_key_id, WHO.secret_access_key, token)
    signer = SignerV4a(known)
    signer.sign("GET", URL)
    key = SigningKeyV4a.derive(known.access_key_id, known.secret_access_key)
    number = f"{key._private.private_numbers().private_value:x}"
    things = [signer, key, key.public_key, signer.stream("PUT", URL, None, 5)]
    for thing in things:
        for secret in (WHO.secret_access_key, token, number):
            assert secret not in repr(thing)
    for thing in (signer, key):
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(thing)


def test_without_cryptography(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(ConfigError, match=r"s3accel\[sigv4a\]"):
        SignerV4a(KNOWN).sign("GET", URL)
    assert not ecdsa.available()


@pytest.mark.parametrize("wrong", [b"", b"\x04" + bytes(64), b"\x02" + b"\xff" * 32])
def test_public_key_from_a_wrong_point(wrong: bytes) -> None:
    with pytest.raises(ConfigError):
        PublicKeyV4a.from_point(wrong)


def test_public_key_forms() -> None:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = WHO.private.public_key()
    text, signature = b"text", WHO.sign_text("text")
    for key in (
        PublicKeyV4a(public),
        PublicKeyV4a.from_point(public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)),
        PublicKeyV4a.from_point(public.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)),
        PublicKeyV4a.from_pem(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)),
        SignerV4a(KNOWN).public_key(),
    ):
        key.verify(text, signature)
        with pytest.raises(VerificationError):
            key.verify(b"other", signature)
    with pytest.raises(ConfigError, match="P-256"):
        PublicKeyV4a(ec.generate_private_key(ec.SECP384R1()).public_key())
    with pytest.raises(ConfigError, match="PEM"):
        PublicKeyV4a.from_pem(b"-----BEGIN")
