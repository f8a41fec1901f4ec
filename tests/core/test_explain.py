"""explain: every cause, from the refusals of our own verifier, and from servers that show nothing."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

import pytest

from s3accel.credentials import Credentials
from s3accel.errors import SignatureMismatch
from s3accel.explain import SignedRequest, explain
from s3accel.signer import Signer
from support import reference, streams
from support.refused import HOST, NOW, TERSE, TOKEN, WHO, Signed, checked, presign, refusal, sign, xml

KEYS = (WHO.access_key_id, WHO.secret_access_key)
LIST = "/?list-type=2&prefix=a%2Fb&prefix=c&delimiter=%2F"


def target(change: Callable[[str], str]) -> Callable[[Signed], None]:
    def apply(received: Signed) -> None:
        received.target = change(received.target)

    return apply


def put(name: str, value: str) -> Callable[[Signed], None]:
    return lambda received: received.set(name, value)


def add(name: str, value: str) -> Callable[[Signed], None]:
    return lambda received: received.headers.append((name, value))


def drop(name: str) -> Callable[[Signed], None]:
    return lambda received: received.drop(name)


def method(name: str) -> Callable[[Signed], None]:
    def apply(received: Signed) -> None:
        received.method = name

    return apply


def swap(a: str, b: str) -> Callable[[Signed], None]:
    return target(lambda text: text.replace(a, b))


# name, how it is signed, what happens on the way, the cause
ON_THE_WAY: list[tuple[str, Callable[[], Signed], Callable[[Signed], None], str]] = [
    ("value", sign, put("x-amz-meta-words", "three"), "header-changed"),
    ("value-case", sign, put("x-amz-meta-words", "One,Two"), "header-case"),
    ("value-space", sign, put("x-amz-meta-words", "one, two"), "header-refolded"),
    ("value-order", sign, put("x-amz-meta-words", "two,one"), "header-order"),
    ("value-more", sign, add("x-amz-meta-words", "three"), "header-added"),
    ("value-less", sign, put("x-amz-meta-words", "one"), "header-dropped"),
    ("value-letters", lambda: sign(extra=[("x-amz-meta-x", "%C3%A9")]), put("x-amz-meta-x", "\u00e9"), "header-encoding"),
    ("header-gone", sign, drop("x-amz-meta-words"), "header-dropped"),
    ("header-new", sign, add("x-amz-meta-more", "x"), "header-added"),
    ("type-gone", sign, drop("content-type"), "content-type-dropped"),
    ("type-filled", lambda: sign(extra=[("Content-Type", "")]), put("content-type", "text/plain"), "content-type-added"),
    ("host-port", sign, put("host", f"{HOST}:443"), "host-port"),
    ("host-other", sign, put("host", "backend.internal"), "host-changed"),
    ("host-case", sign, put("host", HOST.upper()), "host-changed"),
    ("method", lambda: sign("HEAD"), method("GET"), "method-changed"),
    ("path-twice", sign, swap("%", "%25"), "path-double-encoding"),
    ("path-once-less", lambda: sign(target="/a%2520b"), swap("%25", "%"), "path-double-encoding"),
    ("path-plus", sign, swap("%20", "+"), "path-plus-or-space"),
    ("path-space", sign, swap("%2B", "%20"), "path-plus-or-space"),
    ("path-slashes", lambda: sign(target="/a//b"), swap("//", "/"), "path-normalized"),
    ("path-dots", lambda: sign(target="/a/./b/../c"), target(lambda _: "/a/c"), "path-normalized"),
    ("path-tail", lambda: sign(target="/a/"), target(lambda _: "/a"), "path-normalized"),
    ("path-new-tail", sign, target(lambda text: f"{text}/"), "path-normalized"),
    ("path-prefix", sign, target(lambda text: f"/s3/v1{text}"), "path-prefix"),
    ("path-bucket", lambda: sign(target="/bucket/key"), target(lambda _: "/key"), "path-prefix"),
    ("path-unicode", lambda: sign(target="/%C3%A9"), target(lambda _: "/e%CC%81"), "path-unicode"),
    ("path-other", sign, target(lambda _: "/index.html"), "path-changed"),
    ("query-new", lambda: sign("GET", LIST), target(lambda text: f"{text}&utm=1"), "query-added"),
    ("query-gone", lambda: sign("GET", LIST), swap("&delimiter=%2F", ""), "query-dropped"),
    ("query-value", lambda: sign("GET", LIST), swap("list-type=2", "list-type=1"), "query-changed"),
    ("query-one-of-two", lambda: sign("GET", LIST), swap("&prefix=c", ""), "query-duplicates"),
    ("query-once-more", lambda: sign("GET", LIST), target(lambda text: f"{text}&prefix=d"), "query-duplicates"),
    ("query-twice", lambda: sign("GET", LIST), swap("%2F", "%252F"), "query-double-encoding"),
    ("query-plus", lambda: sign("GET", "/?prefix=a%2Bb"), swap("%2B", "+"), "query-plus-or-space"),
    ("query-space", lambda: sign("GET", "/?prefix=a%20b"), swap("%20", "%2B"), "query-plus-or-space"),
    ("payload", lambda: sign(payload="UNSIGNED-PAYLOAD"), put("x-amz-content-sha256", "a" * 64), "payload-hash"),
    ("payload-gone", sign, drop("x-amz-content-sha256"), "header-dropped"),
    ("token", lambda: sign(token=TOKEN), put("x-amz-security-token", f"{TOKEN}x"), "token-foreign"),
    ("date-gone", sign, drop("x-amz-date"), "date-missing"),
    ("authorization-gone", sign, drop("authorization"), "access-denied"),
    ("authorization-basic", sign, put("authorization", "Basic dTpw"), "authorization-replaced"),
    ("presigned-path", presign, swap("/a%20b", "/a%2520b"), "presigned-url-reencoded"),
    ("presigned-plus", presign, swap("/a%20b", "/a+b"), "presigned-url-reencoded"),
    ("presigned-query", lambda: presign(query="x=%2F&"), swap("x=%2F", "x=%252F"), "presigned-url-reencoded"),
    ("presigned-utm", presign, target(lambda text: f"{text}&utm_source=mail"), "query-added"),
    ("presigned-header", presign, add("x-amz-meta-a", "x"), "header-added"),
    ("presigned-with-login", presign, add("Authorization", "Basic dTpw"), "two-mechanisms"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("make", "change", "cause"), [c[1:] for c in ON_THE_WAY], ids=[c[0] for c in ON_THE_WAY]
)
def test_changed_on_the_way(make: Callable[[], Signed], change: Callable[[Signed], None], cause: str) -> None:
    """S3's own canonical request proves the cause, with and without the credentials."""
    sent = make()
    received = sent.copy()
    change(received)
    token = Credentials(*KEYS, TOKEN) if "x-amz-security-token" in dict(sent.headers) else None
    error = refusal(received, credentials=token)
    confidence = "likely" if cause == "access-denied" else "certain"
    for keys in (None, (*KEYS, TOKEN) if token else KEYS):
        found = checked(
            explain(sent.request, xml(error), credentials=keys), cause, confidence, sent.signature
        )
        assert found.code == error.code
        if error.code == "SignatureDoesNotMatch":
            assert found.diff


@pytest.mark.parametrize(
    ("make", "change", "cause"),
    [c[1:] for c in ON_THE_WAY if c[3].startswith(("path", "header-r", "host-p"))],
)
def test_hash_alone_names_the_change(
    make: Callable[[], Signed], change: Callable[[Signed], None], cause: str
) -> None:
    """A server that shows its string to sign but not its canonical request: the hash in it suffices."""
    if cause in ("path-unicode", "path-changed"):
        return  # no known mistake: anything may have happened
    sent = make()
    received = sent.copy()
    change(received)
    body = xml(refusal(received), ("CanonicalRequest", "CanonicalRequestBytes"))
    found = explain(sent.request, body)
    if cause == "path-prefix" and found.cause == "unknown":
        assert "/s3/v1" in received.target  # a prefix of two segments is not guessed
        return
    checked(found, cause, "reproduced", sent.signature)


# What a signer did wrong, as the canonical request it signed. S3 receives the request as it should be.
SIGNER_MISTAKES: list[tuple[str, Callable[[str], str], str]] = [
    ("path-twice", lambda c: c.replace("%", "%25"), "path-double-encoding"),
    ("path-raw", lambda c: c.replace("%20", " ").replace("%2B", "+"), "path-encoding"),
    ("path-plus", lambda c: c.replace("%20", "+"), "path-plus-or-space"),
    ("query-forgotten", lambda c: c.replace("\na=1&b=%2F\n", "\n\n"), "query-dropped"),
    ("query-order", lambda c: c.replace("a=1&b=%2F", "b=%2F&a=1"), "query-order"),
    ("query-raw", lambda c: c.replace("b=%2F", "b=/"), "query-encoding"),
    ("host-port", lambda c: c.replace(f"host:{HOST}", f"host:{HOST}:443"), "host-port"),
    ("method", lambda c: c.replace("PUT", "GET"), "method-changed"),
    ("payload", lambda c: c.replace(reference.EMPTY_SHA256, "UNSIGNED-PAYLOAD"), "payload-hash"),
    ("payload-end", lambda c: c[: c.rindex("\n") + 1] + "UNSIGNED-PAYLOAD", "payload-hash"),
    (
        "type-unsigned",
        lambda c: c.replace("content-type:text/plain\n", "").replace("content-type;", ""),
        "content-type-added",
    ),
    (
        "two-at-once",
        lambda c: (
            c.replace("%2B", "%252B").replace("%20", "%2520").replace(f"host:{HOST}", f"host:{HOST}:443")
        ),
        "path-double-encoding",
    ),
]


@pytest.mark.parametrize(
    ("mistake", "cause"), [c[1:] for c in SIGNER_MISTAKES], ids=[c[0] for c in SIGNER_MISTAKES]
)
@pytest.mark.parametrize("terse", [True, False], ids=["not-shown", "shown"])
def test_mistake_of_the_signer(mistake: Callable[[str], str], cause: str, terse: bool) -> None:
    sent = sign(target="/a%20b/c%2Bd.txt?b=%2F&a=1", mistake=mistake)
    body = xml(refusal(sent), TERSE if terse else ())
    checked(explain(sent.request, body, credentials=KEYS), cause, "reproduced", sent.signature)
    assert explain(sent.request, body).confidence == "likely"


SECRETS = [
    ("line-feed", lambda s: f"{s}\n", "secret-white-space"),
    ("crlf", lambda s: f"{s}\r\n", "secret-white-space"),
    ("space-after", lambda s: f"{s} ", "secret-white-space"),
    ("space-before", lambda s: f" {s}", "secret-white-space"),
    ("tab", lambda s: f"{s}\t", "secret-white-space"),
    ("no-break-space", lambda s: f"{s}\u00a0", "secret-white-space"),
    ("quotes", lambda s: f'"{s}"', "secret-mangled"),
    ("encoded", lambda s: s.replace("/", "%2F"), "secret-mangled"),
    ("cut", lambda s: s[:-1], "secret-mangled"),
]


@pytest.mark.parametrize(("spoil", "cause"), [c[1:] for c in SECRETS], ids=[c[0] for c in SECRETS])
@pytest.mark.parametrize("terse", [True, False], ids=["not-shown", "shown"])
def test_pasted_secret(spoil: Callable[[str], str], cause: str, terse: bool) -> None:
    spoiled = spoil(WHO.secret_access_key)
    sent = sign(who=dataclasses.replace(WHO, secret_access_key=spoiled))
    body = xml(refusal(sent), TERSE if terse else ())
    for request in (sent.request, None) if not terse else (sent.request,):
        checked(explain(request, body, credentials=KEYS), cause, "reproduced", sent.signature, spoiled)
    if cause == "secret-white-space" and not terse:
        # The spoiled one at hand gives the signature as it is: then S3 must have another secret.
        found = explain(sent.request, body, credentials=(WHO.access_key_id, spoiled))
        checked(found, "secret-white-space", "reproduced", sent.signature, spoiled)


def test_white_space_beside_another_fault() -> None:
    sent = sign(who=dataclasses.replace(WHO, secret_access_key=f"{WHO.secret_access_key}\n"))
    received = sent.copy()
    received.set("host", f"{HOST}:443")
    found = explain(sent.request, refusal(received), credentials=KEYS)
    assert checked(found, "host-port", "certain", sent.signature).also == ("secret-white-space",)


def test_wrong_secret() -> None:
    other = Credentials(WHO.access_key_id, "another/secret/of/forty/characters/ABCD")
    sent = sign()
    error = refusal(sent, credentials=other)
    # With the signer's secret it is proved; with its canonical request too; else it is the likely cause.
    checked(explain(sent.request, error, credentials=KEYS), "wrong-secret", "certain", sent.signature)
    canonical = error.extra["CanonicalRequest"].encode()
    told = dataclasses.replace(sent.request, canonical_request=canonical)
    checked(explain(told, error), "wrong-secret", "certain", sent.signature)
    checked(explain(sent.request, error), "wrong-secret", "likely", sent.signature)
    terse = xml(error, TERSE)
    checked(explain(sent.request, terse, credentials=KEYS), "changed-on-the-way", "likely", sent.signature)
    unknown = (WHO.access_key_id, "z" * 40)
    checked(explain(sent.request, terse, credentials=unknown), "wrong-secret", "likely", "z" * 40)


@pytest.mark.parametrize(("region", "service"), [("eu-west-1", "s3"), ("us-east-1", "execute-api")])
def test_key_derived_for_another_place(region: str, service: str) -> None:
    wrong = dataclasses.replace(WHO, region=region, service=service)
    sent = sign()
    canonical = refusal(sent, credentials=Credentials(WHO.access_key_id, "q" * 40)).extra["CanonicalRequest"]
    signature = wrong.sign_text(reference.string_to_sign(WHO.timestamp, WHO.scope, canonical))
    names = sent.request.header("authorization").partition("SignedHeaders=")[2].partition(",")[0]
    sent.set("authorization", WHO.authorization(names, signature))
    cause = "wrong-region" if service == "s3" else "wrong-service"
    checked(explain(sent.request, refusal(sent), credentials=KEYS), cause, "reproduced", signature)


def test_region_service_and_day() -> None:
    for who, cause in (
        (dataclasses.replace(WHO, region="eu-central-1"), "wrong-region"),
        (dataclasses.replace(WHO, service="execute-api"), "wrong-service"),
    ):
        sent = sign(who=who)
        found = checked(explain(sent.request, refusal(sent)), cause, "certain", sent.signature)
        assert (who.region if cause == "wrong-region" else who.service) in found.sentence
    sent = sign()
    sent.set("x-amz-date", "20260102T000000Z")
    checked(explain(sent.request, refusal(sent)), "credential-date", "certain")


@pytest.mark.parametrize(("hours", "words"), [(1.0, "behind"), (-2.0, "local time"), (40.1, "behind")])
def test_clock(hours: float, words: str) -> None:
    sent = sign()
    error = refusal(sent, now=NOW + hours * 3600)
    assert words in checked(explain(sent.request, xml(error)), "clock-skew", "certain").sentence
    # HEAD has no body; the Date header tells.
    silent = f"HTTP/1.1 403 Forbidden\r\nDate: {reference_date(NOW + hours * 3600)}\r\n\r\n"
    checked(explain(sent.request, silent), "clock-skew", "likely")


def reference_date(seconds: float) -> str:
    from email.utils import formatdate

    return formatdate(seconds, usegmt=True)


def test_presigned_too_late_and_too_early() -> None:
    sent = presign()
    late = checked(explain(sent.request, xml(refusal(sent, now=NOW + 7200))), "presigned-expired", "certain")
    assert "1 h before it was used" in late.sentence
    checked(explain(sent.request, xml(refusal(sent, now=NOW - 7200))), "clock-skew", "certain")
    cut = Signed("GET", sent.target.partition("&X-Amz-Date")[0], sent.headers)
    found = checked(explain(cut.request, refusal(cut)), "presigned-url-cut", "certain")
    assert "X-Amz-Signature" in found.sentence
    escaped = Signed("GET", sent.target.replace("&", "&amp;"), sent.headers)
    checked(explain(escaped.request, refusal(escaped)), "presigned-url-reencoded", "certain")


def test_tokens() -> None:
    temporary = Credentials(*KEYS, TOKEN)
    missing = sign()
    checked(explain(missing.request, refusal(missing, credentials=temporary)), "token-missing", "certain")
    foreign = sign(token=f"{TOKEN}other")
    found = explain(foreign.request, refusal(foreign, credentials=temporary), credentials=(*KEYS, TOKEN))
    checked(found, "token-foreign", "certain", f"{TOKEN}other")
    asia = Signed(
        headers=[(n, v.replace("AKIAIOSFODNN7EXAMPLE", "ASIAIOSFODNN7EXAMPLE")) for n, v in sign().headers]
    )
    checked(explain(asia.request, refusal(asia)), "token-missing", "certain")
    # A server that compares only signatures: the token was lost, or replaced, on its way.
    sent = sign(token=TOKEN)
    for change, cause in ((drop, "token-missing"), (lambda name: put(name, "x" * 99), "token-changed")):
        received = sent.copy()
        change("x-amz-security-token")(received)
        seen = None if cause == "token-missing" else "x" * 99
        error = refusal(received, credentials=Credentials(*KEYS, seen))
        checked(explain(sent.request, error), cause, "certain", sent.signature, "x" * 99)
    unsigned = sign(
        token=TOKEN,
        mistake=lambda c: re.sub("x-amz-security-token:.*\n", "", c).replace(";x-amz-security-token", ""),
    )
    error = refusal(unsigned, credentials=temporary)
    checked(explain(unsigned.request, error, credentials=(*KEYS, TOKEN)), "token-added", "reproduced")


def test_headers_that_were_not_signed() -> None:
    sent = sign()
    sent.headers.append(("x-amz-acl", "private"))
    found = checked(explain(sent.request, refusal(sent)), "header-not-signed", "certain", sent.signature)
    assert "x-amz-acl" in found.sentence


def test_body_that_was_changed() -> None:
    body = b"what was signed"
    stream = Signer(Credentials(*KEYS), WHO.region, clock=lambda: NOW).sign(
        "PUT", f"https://{HOST}/k", {}, body
    )
    headers = [("Host", HOST), *stream.items()]
    from s3accel.verify import Verifier

    verified = Verifier({KEYS[0]: Credentials(*KEYS)}.get, clock=lambda: NOW).verify("PUT", "/k", headers)
    checker = verified.body()
    checker.feed(b"something else")
    with pytest.raises(Exception, match="XAmzContentSHA256Mismatch") as caught:
        checker.finish()
    request = SignedRequest("PUT", f"https://{HOST}/k", tuple(headers))
    checked(explain(request, xml(caught.value)), "payload-changed", "certain")


@pytest.mark.parametrize("checksum", [None, "crc32"])
def test_chunk_and_trailer(checksum: str | None) -> None:
    from s3accel.verify import Verifier

    signer = Signer(Credentials(*KEYS), WHO.region, clock=lambda: NOW)
    stream = signer.stream("PUT", f"https://{HOST}/k", None, 20_000, chunk_size=8192, checksum=checksum)
    headers = [("Host", HOST), *stream.headers.items()]
    encoded = bytearray(streams.drain(stream, bytes(20_000)))
    if checksum is None:
        encoded[100] ^= 1
    else:
        at = encoded.index(b"x-amz-trailer-signature:") + 24
        encoded[at] = ord("1") if encoded[at] != ord("1") else ord("2")
    verified = Verifier({KEYS[0]: Credentials(*KEYS)}.get, clock=lambda: NOW).verify("PUT", "/k", headers)
    with pytest.raises(Exception, match="SignatureDoesNotMatch") as caught:
        streams.feed(verified.body(), bytes(encoded))
    request = SignedRequest("PUT", f"https://{HOST}/k", tuple(headers))
    cause = "chunk-signature" if checksum is None else "trailer-signature"
    seed = verified.signature
    found = checked(explain(request, xml(caught.value)), cause, "certain", seed)
    if checksum is None:
        assert "first chunk" in found.sentence


@pytest.mark.parametrize(
    ("code", "message", "cause"),
    [
        ("InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist", "unknown-access-key"),
        ("ExpiredToken", "The provided token has expired.", "token-expired"),
        ("PermanentRedirect", "must be addressed using the specified endpoint", "wrong-region"),
        ("InvalidRequest", "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.", "signature-v2"),
        ("AuthorizationQueryParametersError", "X-Amz-Expires must be non-negative", "presign-expires"),
        ("AuthorizationHeaderMalformed", "the Credential is mal-formed; expecting ...", "credential-malformed"),
        ("AuthorizationHeaderMalformed", "the Signature component is missing", "authorization-malformed"),
        ("MissingSecurityHeader", "Your request is missing a required header", "authorization-dropped"),
        ("BadDigest", "The Content-MD5 you specified did not match", "payload-changed"),
        ("NoSuchKey", "The specified key does not exist.", "not-a-signature-error"),
        ("SlowDown", "Please reduce your request rate.", "not-a-signature-error"),
    ],
)  # fmt: skip
def test_codes(code: str, message: str, cause: str) -> None:
    checked(explain(sign().request, {"Code": code, "Message": message}), cause, "certain")


def test_older_and_other_signatures() -> None:
    v2 = {
        "Code": "SignatureDoesNotMatch",
        "StringToSign": "GET\n\n\nTue, 27 Mar 2007 19:36:42 +0000\n/bucket/key",
    }
    checked(explain(None, v2), "signature-v2", "certain")
    post = {"Code": "SignatureDoesNotMatch", "StringToSign": "eyJleHBpcmF0aW9uIjoiMjAyNiJ9"}
    checked(explain(None, post), "post-policy", "likely")
    sent = sign()
    other = {"Code": "SignatureDoesNotMatch", "SignatureProvided": "0" * 64}
    checked(explain(sent.request, other), "other-request", "certain", sent.signature)


def test_form_of_the_canonical_request() -> None:
    """The same values, but not as S3 puts them together; the customer's key in it stays hidden."""
    key = ("x-amz-server-side-encryption-customer-key", "c2VjcmV0IG9mIHRoZSBjdXN0b21lcg==")
    sent = sign(extra=[key])
    error = refusal(sent, credentials=Credentials(WHO.access_key_id, "q" * 40))
    lines = error.extra["CanonicalRequest"].split("\n")
    lines[3], lines[4] = lines[4], lines[3]
    told = dataclasses.replace(sent.request, canonical_request="\n".join(lines).encode())
    checked(explain(told, error), "canonical-form", "certain", key[1])


def test_another_date_of_the_same_day() -> None:
    sent = sign()
    received = sent.copy()
    received.set("x-amz-date", f"{WHO.timestamp[:-3]}30Z")
    found = checked(explain(sent.request, refusal(received)), "date-changed", "certain", sent.signature)
    assert found.also == ()


def test_a_bare_token_as_authorization_is_not_shown() -> None:
    sent = sign()
    received = sent.copy()
    received.set("authorization", "glpat-a-token-of-some-gateway")
    found = explain(sent.request, refusal(received))
    checked(found, "authorization-replaced", "certain", "glpat-a-token-of-some-gateway")


def test_only_the_answer_is_at_hand() -> None:
    sent = sign()
    received = sent.copy()
    swap("%", "%25")(received)
    body = xml(refusal(received))
    checked(explain(None, body), "path-double-encoding", "likely")
    checked(explain(None, body, credentials=KEYS), "path-double-encoding", "reproduced", sent.signature)
    checked(explain(None, xml(refusal(received), TERSE)), "unknown", "likely")


def test_what_was_hidden_before_it_was_kept_is_no_difference() -> None:
    """An exception may keep S3's canonical request with the token taken out."""
    sent = sign(token=TOKEN)
    error = refusal(sent, credentials=Credentials(WHO.access_key_id, "q" * 40, TOKEN))
    hidden = error.extra["CanonicalRequest"].replace(TOKEN, "[hidden]")
    extra = {"CanonicalRequest": hidden, "StringToSign": error.extra["StringToSign"]}
    mismatch = SignatureMismatch(error.code, error.status, error.message, extra=extra)
    checked(explain(sent.request, mismatch), "wrong-secret", "likely", sent.signature)
