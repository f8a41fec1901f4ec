"""What one who knows no key, or a careless caller, tried on the verifiers: found by an attacker, kept by kind."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from s3accel import _core
from s3accel.credentials import Credentials
from s3accel.errors import ConfigError, CredentialsError, SigningError, VerificationError
from s3accel.express import SessionResponse, directory_host
from s3accel.redact import redact_headers, redact_text, redact_url
from s3accel.signer import Signer, SigningKey
from s3accel.verify import Verifier

pytest.importorskip("cryptography")
from s3accel.sigv4a import SignerV4a

NOW = 1767229200.0  # 2026-01-01T01:00:00Z
HOST = "b.s3.amazonaws.com"
WHO = Credentials("AKIDEXAMPLE", "secret")
KNOWN = {WHO.access_key_id: WHO}.get
BOTH = pytest.mark.parametrize("signer", [Signer, SignerV4a])


def clock() -> float:
    return NOW


def hexed(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def refused(call: Callable[[], Any]) -> VerificationError:
    with pytest.raises(VerificationError) as info:
        call()
    return info.value


# -- bodies of services whose canonical request ends in the body's hash ----------------------------------------------


def api_request(signer: Any, body: bytes, **options: Any) -> list[tuple[str, str]]:
    made = signer(WHO, "us-east-1", "execute-api", clock=clock, **options)
    return [
        ("Host", "api.example.com"),
        *made.sign("POST", "https://api.example.com/x", {"Host": "api.example.com"}, body).items(),
    ]


@BOTH
def test_another_body_is_refused_whatever_a_header_says(signer: Any) -> None:
    verifier = Verifier(KNOWN, service="execute-api", clock=clock)
    good, evil = b"pay 1", b"pay 1000000"
    headers = api_request(signer, good)
    verifier.verify("POST", "/x", headers, body_sha256=hexed(good))
    refused(lambda: verifier.verify("POST", "/x", headers, body_sha256=hexed(evil)))
    # The header was not there when the request was signed.
    added = [*headers, ("x-amz-content-sha256", hexed(good))]
    error = refused(lambda: verifier.verify("POST", "/x", added, body_sha256=hexed(evil)))
    assert error.code == "AccessDenied", error
    refused(lambda: verifier.verify("POST", "/x", [*headers, ("x-amz-content-sha256", "UNSIGNED-PAYLOAD")]))
    # It was, and is signed: then the body must be the one it names.
    signed = api_request(signer, good, content_sha256=True)
    verifier.verify("POST", "/x", signed, body_sha256=hexed(good))
    verifier.verify("POST", "/x", signed, body_sha256=hexed(good).upper())
    error = refused(lambda: verifier.verify("POST", "/x", signed, body_sha256=hexed(evil)))
    assert error.code == "XAmzContentSHA256Mismatch"


@BOTH
def test_s3_bodies_too_if_the_hash_is_given(signer: Any) -> None:
    verifier = Verifier(KNOWN, clock=clock)
    url = f"https://{HOST}/k"
    headers = [
        ("Host", HOST),
        *signer(WHO, "us-east-1", clock=clock).sign("PUT", url, {"Host": HOST}, b"a").items(),
    ]
    verifier.verify("PUT", "/k", headers, body_sha256=hexed(b"a"))
    assert (
        refused(lambda: verifier.verify("PUT", "/k", headers, body_sha256=hexed(b"b"))).code
        == "XAmzContentSHA256Mismatch"
    )


# -- what the caller says ---------------------------------------------------------------------------------------------


def get_headers(region: str = "us-east-1", token: str | None = None) -> list[tuple[str, str]]:
    who = Credentials(WHO.access_key_id, "secret", token)
    signed = Signer(who, region, clock=clock).sign("GET", f"https://{HOST}/k", {"Host": HOST})
    return [("Host", HOST), *signed.items()]


@pytest.mark.parametrize("words", [{"region": ""}, {"service": ""}, {"region": 5}, {"service": None}])
def test_an_empty_region_is_not_any_region(words: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="must be a name"):
        Verifier(KNOWN, **words)
    Verifier(KNOWN, region=None, clock=clock).verify("GET", "/k", get_headers("eu-west-1"))
    with pytest.raises(ValueError, match="empty"):
        _core.VerifierBase(KNOWN, "", "s3", 900.0, 9)


@pytest.mark.parametrize("never", [float("nan"), "1767229200", object()])
def test_what_is_no_time_is_no_expiry(never: Any) -> None:
    with pytest.raises(CredentialsError, match="expires_at"):
        Credentials("AK", "secret", "token", never)


def test_an_expiry_that_is_not_later_has_passed() -> None:
    class Duck:
        access_key_id, secret_access_key, session_token = "AKIDEXAMPLE", "secret", None
        expires_at = float("nan")

    verifier = Verifier({"AKIDEXAMPLE": Duck()}.get, clock=clock)  # type: ignore[arg-type]
    assert refused(lambda: verifier.verify("GET", "/k", get_headers())).code == "ExpiredToken"


def test_a_stranger_takes_no_room_for_keys() -> None:
    """Only the key of a signature that was right is kept: a list of weak references shows what is held."""
    import gc
    import weakref

    class Held(Credentials):
        __slots__ = ("__weakref__",)

    def lookup(_: str) -> Credentials:
        return Held("AKIDEXAMPLE", "secret")

    held: list[weakref.ref[Held]] = []

    def counting(name: str) -> Credentials:
        made = lookup(name)
        held.append(weakref.ref(made))  # type: ignore[arg-type]
        return made

    verifier = Verifier(counting, clock=clock)
    for i in range(50):
        text = (
            f"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/region-{i}/s3/aws4_request, "
            f"SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature={'0' * 64}"
        )
        request = [
            ("Host", HOST),
            ("x-amz-date", "20260101T010000Z"),
            ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
            ("Authorization", text),
        ]
        assert refused(lambda r=request: verifier.verify("GET", "/k", r)).code == "SignatureDoesNotMatch"
    gc.collect()
    assert [ref() for ref in held if ref() is not None] == []
    verifier.verify("GET", "/k", get_headers())
    gc.collect()
    assert len([ref for ref in held if ref() is not None]) == 1


# -- headers that change, or come in odd shapes -----------------------------------------------------------------------

INTEGRITY = {"Host": HOST, "Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="}  # of nothing


def put_headers() -> list[tuple[str, str]]:
    signed = Signer(WHO, "us-east-1", clock=clock).sign(
        "PUT", f"https://{HOST}/k", INTEGRITY, "UNSIGNED-PAYLOAD"
    )
    return [*INTEGRITY.items(), *signed.items()]


@pytest.mark.parametrize(
    "shape",
    [
        list,
        tuple,
        dict,
        iter,
        lambda pairs: (pair for pair in pairs),
        lambda pairs: [list(pair) for pair in pairs],
        lambda pairs: [(n.encode(), v.encode()) for n, v in pairs],
        lambda pairs: [(n, v.encode()) for n, v in pairs],
    ],
)
def test_the_body_is_judged_by_the_headers_that_were(shape: Callable[[Any], Any]) -> None:
    verified = Verifier(KNOWN, clock=clock).verify("PUT", "/k", shape(put_headers()))
    for options in ({}, {"object_checksums": False}):
        body = verified.body(**options)  # type: ignore[arg-type]
        body.feed(b"tampered")
        assert refused(body.finish).code == "BadDigest"


@BOTH
def test_a_list_that_changes_later_changes_nothing(signer: Any) -> None:
    headers: list[Any] = [list(pair) for pair in put_headers()]
    if signer is SignerV4a:
        made = SignerV4a(WHO, clock=clock).sign("PUT", f"https://{HOST}/k", INTEGRITY, "UNSIGNED-PAYLOAD")
        headers = [list(pair) for pair in [*INTEGRITY.items(), *made.items()]]

    def lookup(name: str) -> Credentials | None:
        for pair in headers:
            pair[0] = "x"
        headers.clear()
        return KNOWN(name)

    body = Verifier(lookup, clock=clock).verify("PUT", "/k", headers).body()
    body.feed(b"tampered")
    assert refused(body.finish).code == "BadDigest"


def test_a_hash_that_is_none_is_the_callers_mistake() -> None:
    verifier = Verifier(KNOWN, clock=clock)
    for wrong in ("", "xyz", "g" * 64, "0" * 63, b"0" * 64, " " * 64):
        with pytest.raises(ConfigError, match="body_sha256"):
            verifier.verify("GET", "/k", get_headers(), body_sha256=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "words",
    [
        {"lookup": {"A": WHO}},
        {"lookup": None},
        {"lookup": KNOWN, "public_keys": {}},
        {"lookup": KNOWN, "clock": 5},
        {"lookup": KNOWN, "max_skew": float("nan")},
        {"lookup": KNOWN, "max_skew": -1},
        {"lookup": KNOWN, "max_skew": "900"},
    ],
)
def test_a_verifier_that_cannot_work_is_not_made(words: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"must be a (function|number)"):
        Verifier(**words)


def test_a_signer_s_key_and_words_are_checked_when_it_is_made() -> None:
    key = SigningKey.derive("secret", "20260101", "us-east-1", "s3")
    for wrong in (key.export(), None, "AK"):
        with pytest.raises(ConfigError, match="SigningKey"):
            Signer.from_key(wrong, "AK")  # type: ignore[arg-type]
    for words in (("",), ("AK\r\nX: 1",), ("AK", "t t")):
        with pytest.raises(CredentialsError):
            Signer.from_key(key, *words)
    with pytest.raises(SigningError, match="32 bytes"):
        SigningKey.restore(b"x" * 31, "20260101", "us-east-1", "s3")
    with pytest.raises(ConfigError, match=r"s3accel's Credentials"):
        Signer(key, "us-east-1")  # type: ignore[arg-type]


def test_two_tokens_are_one_too_many() -> None:
    known = {"AKIDEXAMPLE": Credentials("AKIDEXAMPLE", "secret", "tok")}.get
    verifier = Verifier(known, clock=clock)
    verifier.verify("GET", "/k", get_headers(token="tok"))
    for name in ("x-amz-security-token", "x-amz-s3session-token"):
        signed = Signer.from_key(
            SigningKey.derive("secret", "20260101", "us-east-1", "s3"),
            "AKIDEXAMPLE",
            clock=clock,
            sign_all_headers=True,
        ).sign("GET", f"https://{HOST}/k", [("Host", HOST)])
        assert signed
        error = refused(
            lambda n=name: verifier.verify("GET", "/k", [*get_headers(token="tok"), (n, "STRANGER")])
        )
        assert error.code == "AuthorizationHeaderMalformed", error
    url = Signer(known("AKIDEXAMPLE"), "us-east-1", clock=clock).presign("GET", f"https://{HOST}/k")
    target = url.partition(HOST)[2]
    verifier.verify("GET", target, [("Host", HOST)])
    for more in ("&X-Amz-Security-Token=tok", "&X-Amz-S3session-Token=tok"):
        error = refused(lambda m=more: verifier.verify("GET", target + m, [("Host", HOST)]))
        assert error.code == "AuthorizationQueryParametersError"


@pytest.mark.parametrize("target", ["/a#b", "/a%23b#", "/a?x=#y", "/#"])
@BOTH
def test_a_target_holds_no_fragment(signer: Any, target: str) -> None:
    signed = signer(WHO, "us-east-1", clock=clock).sign("GET", f"https://{HOST}/a%23b", {"Host": HOST})
    verifier = Verifier(KNOWN, clock=clock)
    verifier.verify("GET", "/a%23b", [("Host", HOST), *signed.items()])
    assert (
        refused(lambda: verifier.verify("GET", target, [("Host", HOST), *signed.items()])).code
        == "InvalidURI"
    )


# -- what goes into a header ------------------------------------------------------------------------------------------


class Provider:
    def __init__(self, **fields: Any) -> None:
        self.fields = {
            "access_key_id": "AK",
            "secret_access_key": "s",
            "session_token": None,
            "expires_at": None,
        }
        self.fields |= fields

    def load(self) -> Any:
        class Duck:
            def expired(self, now: float, margin: float = 0.0) -> bool:
                return False

        duck = Duck()
        vars(duck).update(self.fields)
        return duck


class Sly(str):
    """Says of itself what a check wants to hear."""

    __slots__ = ()

    def strip(self, *_: Any) -> str:  # type: ignore[override]
        return self

    def __iter__(self) -> Iterator[str]:
        return iter("AKID")

    def __contains__(self, _: object) -> bool:
        return False


@pytest.mark.parametrize("evil", ["AK\r\nX-Evil: 1", "AK\0", "AK ID", Sly("AK\r\nX-Evil: 1")])
@pytest.mark.parametrize("field", ["access_key_id", "session_token"])
@BOTH
def test_no_credential_makes_a_header_of_its_own(signer: Any, field: str, evil: str) -> None:
    made = signer(Provider(**{field: evil}), "us-east-1", clock=clock)
    for call in (made.sign, made.presign):
        with pytest.raises((CredentialsError, SigningError)):
            call("GET", f"https://{HOST}/k")
    with pytest.raises(CredentialsError):
        Credentials(**{"access_key_id": "AK", "secret_access_key": "s", field: evil})


def test_a_duck_that_is_right_signs() -> None:
    for signer in (Signer, SignerV4a):
        made = signer(Provider(session_token="t"), "us-east-1", clock=clock).sign("GET", f"https://{HOST}/k")  # type: ignore[arg-type]
        assert "Credential=AK/2026" in made["Authorization"]


def test_a_zone_s_host_has_a_region_and_nothing_else() -> None:
    assert directory_host("n--use1-az5--x-s3", "us-east-1").endswith(".us-east-1.amazonaws.com")
    with pytest.raises(ConfigError, match="region"):
        directory_host("n--use1-az5--x-s3", "us-east-1\r\nX: 1")


def test_sizes_that_are_none() -> None:
    with pytest.raises(SigningError):
        _core.encoded_length(100, 8192, True, "x", 2**64 - 1)
    with pytest.raises(TypeError):
        SignerV4a(WHO, clock=clock).presign("GET", f"https://{HOST}/k", payload=10**10)  # type: ignore[arg-type]


def test_botocores_v4a_checks_what_it_writes() -> None:
    auth = pytest.importorskip("botocore.auth")
    awsrequest = pytest.importorskip("botocore.awsrequest")
    credentials = pytest.importorskip("botocore.credentials")
    from s3accel.adapters._botocore_v4a import CLASSES

    assert auth
    for key, service, region in (
        ("AK\r\nX: 1", "s3", "*"),
        ("AK", "s3\r\nX: 1", "*"),
        ("AK", "s3", "us\r\nX: 1"),
    ):
        request = awsrequest.AWSRequest("GET", f"https://{HOST}/k")
        with pytest.raises((ConfigError, CredentialsError)):
            CLASSES["s3v4a"](credentials.Credentials(key, "secret"), service, region).add_auth(request)


# -- forms ------------------------------------------------------------------------------------------------------------

FORM = [
    ("key", "k"),
    ("x-amz-algorithm", "AWS4-HMAC-SHA256"),
    ("x-amz-credential", "AKIDEXAMPLE/20260101/us-east-1/s3/aws4_request"),
    ("x-amz-date", "20260101T010000Z"),
    ("policy", "e30="),
    ("x-amz-signature", "0" * 64),
]


def test_forms_are_refused_and_break_nothing() -> None:
    verifier = Verifier(KNOWN, clock=clock)
    strange = [(n, v.replace("us-east-1", "\udcff")) for n, v in FORM]
    assert refused(lambda: verifier.verify_post(strange, "b")).code == "InvalidArgument"
    error = refused(lambda: verifier.verify_post([("key", "${filename}"), *FORM[1:]], "b", filename="\ud800"))
    assert error.code == "MalformedPOSTRequest"
    for shape in (dict, lambda form: [(n.encode(), v.encode()) for n, v in form], iter):
        assert refused(lambda s=shape: verifier.verify_post(s(FORM), "b")).code == "SignatureDoesNotMatch"  # type: ignore[no-any-return]
    # U+212A lowers to a k: a field of that name is another one than "key".
    error = refused(lambda: verifier.verify_post([("\u212aey", "k"), *FORM[1:]], "b"))
    assert "key" in str(error)
    assert error.code == "InvalidArgument"


# -- what is shown ----------------------------------------------------------------------------------------------------

CANARY = "canary7" * 8


@pytest.mark.parametrize(
    "text",
    [
        f"{{'x-amz-signature': '{CANARY}'}}",
        f'{{"X-Amz-Security-Token": "{CANARY}"}}',
        f"[(b'x-amz-security-token', b'{CANARY}')]",
        f"('authorization', 'AWS4 {CANARY}')",
        f"<SignatureProvided>{CANARY}</SignatureProvided>",
        f"<SecretAccessKey>{CANARY}</SecretAccessKey><SessionToken>{CANARY}</SessionToken>",
        f'{{"SecretAccessKey": "{CANARY}", "SessionToken" : "{CANARY}"}}',
        f"x-amz-trailer-signature:{CANARY}\r\n",
        f"Authorization: AWS4-HMAC-SHA256 Credential=a,\r\n Signature={CANARY}\r\nHost: h",
        f"aws_secret_access_key='{CANARY}'",
        f"aws_secret_access_key = {CANARY}\naws_session_token={CANARY}",
        f"export AWS_SECRET_ACCESS_KEY={CANARY}",
        f"SecretAccessKey: {CANARY}",
        f"signature: {'ab' * 32} canary".replace(" canary", ""),
    ],
)
def test_text_shows_no_secret(text: str) -> None:
    shown = redact_text(text)
    assert "canary" not in shown
    assert "abab" not in shown
    assert redact_text(shown) == shown


def test_what_is_no_secret_stays() -> None:
    text = (
        "SignedHeaders=host;x-amz-date;x-amz-security-token, then more; 'key': 'value'; <Code>SlowDown</Code>"
    )
    assert redact_text(text) == text


def test_headers_show_no_secret() -> None:
    shown = redact_headers(
        [
            (b"Authorization", CANARY),  # type: ignore[list-item]
            ("Authorization ", CANARY),
            ("Location", f"https://b/k?X-Amz-Signature={CANARY}"),
            ("Referer", f"https://b/k?a=1&X%2DAmz%2DSecurity-Token={CANARY}&b=2"),
            (b"location", f"https://b/k?X-Amz-Signature={CANARY}".encode()),  # type: ignore[list-item]
            (b"cookie", CANARY.encode()),  # type: ignore[list-item]
            ("ETag", '"1"'),
        ]
    )
    assert [type(value) for _, value in shown[4:6]] == [bytes, bytes]
    assert "canary" not in repr(shown)
    assert shown[-1] == ("ETag", '"1"')
    assert "a=1" in shown[3][1]
    assert "b=2" in shown[3][1]
    assert "canary" not in redact_url(f" https://u:{CANARY}@h/k")


def test_answers_and_claims_are_not_carried_away() -> None:
    with pytest.raises(TypeError, match="secret"):
        pickle.dumps(SessionResponse(200, CANARY.encode()))
    headers = [
        ("Host", HOST),
        *SignerV4a(WHO, clock=clock).sign("GET", f"https://{HOST}/k", {"Host": HOST}).items(),
    ]
    verified = Verifier(KNOWN, clock=clock).verify("GET", "/k", headers)
    assert verified.signature not in repr(verified._claims)
