"""What reads text that others wrote, given any text: only the errors that are documented, in time that grows with the
length, and with no secret in what it says.

The readers: S3's refusals and requests (`explain`), forms and their policies, URLs for a log. The XML of answers is in
tests/transfer. The long form (S3ACCEL_LONG=1) tries each property two thousand times.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import time
import traceback
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote_plus

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from s3accel.credentials import Credentials
from s3accel.errors import ConfigError, VerificationError
from s3accel.explain import CAUSES, SignedRequest, explain
from s3accel.explain.error import MAX_BYTES, epoch_of, refusal_of
from s3accel.postpolicy.rules import parse_policy, read_policy
from s3accel.redact import SECRET_QUERY, redact_text, redact_url
from s3accel.verify import Verifier
from support import reference
from support.refused import TOKEN, WHO, refusal, sign, xml

LONG = os.environ.get("S3ACCEL_LONG") == "1"
often = settings(max_examples=2000 if LONG else 120)
KEYS = (WHO.access_key_id, WHO.secret_access_key, TOKEN)
NOW = reference.epoch(WHO.timestamp)

# Text as readers meet it: what has a meaning in the formats, odd digits, and what bytes become that are no UTF-8.
CHARACTERS = st.one_of(
    st.sampled_from("<>&;=\\\"'%+?#:/@ \t\r\n\0\x7f\x85\u2028\u00b2\u0663\udcff\ud800x0"),
    st.characters(),
)


def texts(*words: str, size: int = 12) -> st.SearchStrategy[str]:
    pieces = (
        st.one_of(st.sampled_from(words), st.text(CHARACTERS, max_size=6)) if words else st.text(CHARACTERS)
    )
    return st.lists(pieces, max_size=size).map("".join)


def edited(base: str, *words: str) -> st.SearchStrategy[str]:
    """The text with a few places cut out and others put in."""
    edit = st.tuples(
        st.integers(0, len(base)),
        st.sampled_from((0, 0, 1, 3, 40)),
        st.one_of(texts(*words, size=2), st.just("")),
    )

    def apply(edits: list[tuple[int, int, str]]) -> str:
        text = base
        for at, cut, new in sorted(edits, reverse=True):
            text = text[:at] + new + text[at + cut :]
        return text

    return st.lists(edit, max_size=4).map(apply)


def refused() -> str:
    received = sign(token=TOKEN)
    received.set("x-amz-meta-words", "three")
    return xml(refusal(received, credentials=Credentials(*KEYS)))


SENT = sign(token=TOKEN)
RAW = f"{SENT.method} {SENT.target} HTTP/1.1\r\n" + "".join(f"{n}: {v}\r\n" for n, v in SENT.headers) + "\r\n"
ANSWER = refused()
LOG = "HTTP/1.1 403 Forbidden\r\nDate: Thu, 01 Jan 2026 12:00:00 GMT\r\n\r\n" + ANSWER
XML_WORDS = ("<Error>", "</Error>", "<Code>", "</Code>", "<!DOCTYPE a>", "<![CDATA[", "]]>", "&#x1;", "&#55296;", "&lt;", "\\n", "\\x", "\\u12", "\\d", "<a:b>", "<?xml version='1.0' encoding='utf-16'?>", "<HostId/>", "HTTP/1.1 \u0663\u0663\u0663", "Date: ")  # fmt: skip
HTTP_WORDS = ("GET / HTTP/1.1\r\n", "> ", "\r\n", "Host: ", "://", "Authorization: AWS4-HMAC-SHA256 ", "Credential=", "SignedHeaders=", "X-Amz-Algorithm=", "X-Amz-Signature=", "%", "%zz", "[", "]", ":99999")  # fmt: skip


def assert_silent(text: str) -> None:
    for secret in (WHO.secret_access_key, TOKEN, SENT.signature):
        assert secret not in text


def explained(request: Any, answer: Any) -> None:
    """Explains it, or says with a ConfigError why not; shows no secret in either."""
    try:
        found = explain(request, answer, credentials=KEYS)
    except ConfigError as error:
        assert_silent("".join(traceback.format_exception(error, limit=0)))
        return
    assert found.cause in CAUSES
    assert_silent(f"{found}\n{found!r}\n{json.dumps(found.to_dict())}")


@often
@given(edited(LOG, *XML_WORDS))
def test_explain_reads_any_answer(answer: str) -> None:
    explained(SENT.request, answer)


@often
@given(edited(RAW, *HTTP_WORDS))
def test_explain_reads_any_request(request: str) -> None:
    explained(request, ANSWER)


@often
@given(st.one_of(texts(*XML_WORDS), edited(LOG, *XML_WORDS)), st.booleans())
def test_refusals(text: str, as_bytes: bool) -> None:
    data: Any = text.encode("utf-8", "surrogatepass") if as_bytes else text
    try:
        read = refusal_of(data)
    except ConfigError:
        return
    assert isinstance(read.code, str)
    assert all(isinstance(value, str) for value in read.fields.values())


FIELDS = st.dictionaries(
    st.one_of(st.sampled_from(("Code", "Message", "Status", "HTTPStatusCode", "StringToSign", "StringToSignBytes", "Region", "Date", "RequestTime", "ServerTime")), texts(size=1)),
    st.one_of(texts("403", "zz", "AWS4-HMAC-SHA256\n", "20260101T120000Z\n", size=4), st.integers(), st.none(), st.binary(max_size=5)),
    max_size=6,
)  # fmt: skip


@often
@given(
    FIELDS,
    st.one_of(st.none(), texts("403", size=1), st.integers(-5, 10**6), st.lists(st.integers(), max_size=1)),
)
def test_refusals_from_mappings(fields: dict[str, Any], status: Any) -> None:
    for form in (
        fields,
        {"Error": fields, "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": fields}},
    ):
        explained(SENT.request, form)


@often
@given(
    texts(
        "Thu, 01 Jan 2026 12:00:00 ",
        "GMT",
        "-0000",
        "+9999",
        "2026",
        "99999999999",
        "T120000Z",
        "20260101",
        size=6,
    )
)
def test_times(text: str) -> None:
    found = epoch_of(text)
    assert found is None or isinstance(found, float)


@often
@given(
    texts("http://", "//", "h", "[::1]", ":80", "a", "?", "#", "%41", size=5),
    texts(size=3),
    st.binary(max_size=9),
)
def test_signed_requests(url: str, value: str, body: bytes) -> None:
    for given_body in (body, value, None, object()):
        made = SimpleNamespace(
            method="GET", url=url, headers={"Authorization": value, "x": value}, body=given_body
        )
        explained(made, ANSWER)


# -- redaction -------------------------------------------------------------------------------------------------------

CANARY = "canary7canary7canary7"
SECRET_NAMES = st.sampled_from(sorted(SECRET_QUERY))
URL_PARTS = texts("&", "=", "a", "X-Amz-Date=1", "%26", ";", size=4).map(
    lambda t: "".join(c for c in t if c not in "#?\ud800")
)


def spelled(name: str, how: int) -> str:
    return (name, name.upper(), name.title(), "".join(f"%{ord(c):02x}" for c in name))[how % 4]


@often
@given(URL_PARTS, SECRET_NAMES, st.integers(0, 3), URL_PARTS)
def test_no_url_shows_a_secret_parameter(before: str, name: str, how: int, after: str) -> None:
    """Whatever stands around it: `&` begins a parameter, its name is read in any case."""
    shown = redact_url(f"https://h/k?{before}&{spelled(name, how)}={CANARY}&{after}")
    assert CANARY not in shown
    # A token that its caller forgot to encode.
    shown = redact_url(f"https://h/k?{before}&{spelled(name, how)}=a b\"c'd<e>{CANARY}")
    assert CANARY not in shown
    shown = redact_url(f"https://user:{CANARY}@h/k?{before}")
    assert CANARY not in shown


@often
@given(
    texts(
        "http://",
        "h/",
        "?",
        "&",
        "x-amz-signature=",
        "X-Amz-Credential=",
        "a=1",
        "user:pw@",
        "#",
        "//",
        size=9,
    )
)
def test_redaction_is_whole_after_once(url: str) -> None:
    # A secret's name before the query hides up to the next '&', whatever that was.
    assume(not any(f"{name}=" in url.partition("?")[0].lower() for name in SECRET_QUERY))
    once = redact_url(url)
    assert redact_url(once) == once
    text = redact_text(url)
    assert redact_text(text) == text
    # What is no secret stays: the same parameters, in order.
    assert [unquote_plus(p.partition("=")[0]) for p in once.partition("?")[2].split("&")] == [
        unquote_plus(p.partition("=")[0]) for p in url.partition("?")[2].split("&")
    ]


# -- forms -----------------------------------------------------------------------------------------------------------

DOCUMENT = json.dumps({
    "expiration": "2026-01-01T13:00:00Z",
    "conditions": [{"bucket": "bucket"}, ["starts-with", "$key", "up/"], ["content-length-range", 2, 5], {"x-amz-algorithm": "AWS4-HMAC-SHA256"},
                   {"x-amz-credential": f"{WHO.access_key_id}/{WHO.scope}"}, {"x-amz-date": WHO.timestamp}],
})  # fmt: skip
JSON_WORDS = ("[", "]", "{", "}", ",", ":", '"', '"\\ud800"', "1e999", "-1", "9" * 5000, "NaN", "null", "\\", '["eq", "$acl", "x"]', "2026-13-01T00:00:00Z", ".999999999Z")  # fmt: skip


@often
@given(st.one_of(edited(DOCUMENT, *JSON_WORDS), texts(*JSON_WORDS)))
@example("[" * 200_000)
@example('{"a":' * 100_000)
def test_policies(document: str) -> None:
    for read in (
        lambda: parse_policy(document.encode("utf-8", "surrogatepass")),
        lambda: read_policy(base64.b64encode(document.encode("utf-8", "surrogatepass")).decode()),
        lambda: read_policy(document),
    ):
        try:
            policy = read()
            policy.check({"key": "up/a", "x": "1"}, "bucket", "up/a", NOW)
        except VerificationError as error:
            json.dumps(error.extra)


FORM = {
    "key": "up/${filename}",
    "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
    "X-Amz-Credential": f"{WHO.access_key_id}/{WHO.scope}",
    "X-Amz-Date": WHO.timestamp,
    "Policy": base64.b64encode(DOCUMENT.encode()).decode(),
}
FORM["X-Amz-Signature"] = WHO.sign_text(FORM["Policy"])


@st.composite
def forms(draw: st.DrawFn) -> tuple[list[tuple[str, str]], bool]:
    """Fields, and whether nothing but the names' case was changed."""
    fields = [(draw(st.sampled_from((name, name.upper()))), value) for name, value in FORM.items()]
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(fields) - 1))
        name, value = fields[at]
        what = draw(st.integers(0, 3))
        if what == 0:
            fields.append(
                (draw(st.sampled_from((name, "acl", "x-amz-meta-a", "awsaccesskeyid"))), draw(texts(size=2)))
            )
        elif what == 1:
            fields.pop(at)
            if not fields:
                break
        else:
            fields[at] = (name, draw(edited(value, "/", "20260101", "aws4_request")))
    # The policy allows any key that begins like this.
    same = [
        (name.lower(), FORM["key"] if name.lower() == "key" and value.startswith("up/") else value)
        for name, value in fields
    ] == [(name.lower(), value) for name, value in FORM.items()]
    return fields, same


@often
@given(forms(), st.one_of(st.just("a.txt"), texts(size=2)), st.sampled_from(("us-east-1", None)))
def test_forms(form: tuple[list[tuple[str, str]], bool], filename: str, region: str | None) -> None:
    fields, same = form
    known = Credentials(WHO.access_key_id, WHO.secret_access_key)
    verifier = Verifier({known.access_key_id: known}.get, region=region, clock=lambda: NOW)
    try:
        verified = verifier.verify_post(fields, "bucket", filename=filename)
    except VerificationError as error:
        shown = f"{error}{error!r}{error.extra}"
        assert WHO.secret_access_key not in shown
        # The right signature of a policy that was changed is not told.
        provided = [value for name, value in fields if name.lower() == "x-amz-signature"]
        encoded = [value for name, value in fields if name.lower() == "policy"]
        if encoded and provided:
            right = (
                WHO.sign_text(encoded[0].encode("utf-8", "surrogateescape").decode("latin-1"))
                if encoded[0].isascii()
                else ""
            )
            assert not right or any(right in text for text in provided) or right not in shown
        return
    # Base64 allows white space round the text, but then the text that was signed is another one.
    assert same
    assert verified.key.startswith("up/")


# -- time ------------------------------------------------------------------------------------------------------------


def quickest(call: Callable[[], Any]) -> float:
    best = float("inf")
    for _ in range(3):
        begin = time.process_time()
        call()
        best = min(best, time.process_time() - begin)
    return best


def quiet(read: Callable[[str], Any]) -> Callable[[str], None]:
    def call(text: str) -> None:
        with contextlib.suppress(ConfigError, VerificationError):
            read(text)

    return call


def post(text: str) -> None:
    Verifier({WHO.access_key_id: Credentials(*KEYS[:2])}.get, region=None, clock=lambda: NOW).verify_post(
        [("key", text[:900]), ("policy", text[:19000])], "bucket"
    )


READERS: dict[str, Callable[[str], Any]] = {
    "answer": quiet(lambda t: refusal_of(t)),
    "answer in elements": quiet(lambda t: refusal_of(f"<Error>{t}</Error>")),
    "answer in an element": quiet(lambda t: refusal_of(f"<Error><Code>SignatureDoesNotMatch</Code><StringToSign>{t}</StringToSign></Error>")),
    "request": quiet(lambda t: SignedRequest.from_http(t)),
    "request's target": quiet(lambda t: explain(f"GET /{t} HTTP/1.1\r\nHost: h\r\n\r\n", ANSWER)),
    "request's headers": quiet(lambda t: explain(f"GET / HTTP/1.1\r\n{t}\r\n\r\n", ANSWER)),
    "curl's log": quiet(lambda t: SignedRequest.from_http("> GET / HTTP/1.1\r\n" + t)),
    "url": redact_url,
    "log line": redact_text,
    "policy": quiet(lambda t: parse_policy(t.encode())),
    "policy's conditions": quiet(lambda t: parse_policy(f'{{"expiration":"2026-01-01T13:00:00Z","conditions":[{t}[]]}}'.encode())),
    "time": epoch_of,
}  # fmt: skip
PATTERNS = ("a", " ", "<", "<a>", "<a", "</", "&", "&#", "&lt;", "\n", "\r\n", "<Error>", "<Error", "</Error>", "<Code>", "<a>b</a>", "<!", "\\n", "HTTP/1.1 403\n", "< HTTP/1.1 4", "date: ", "date:  a\n",
            "> ", "> GET / HTTP/1.1\n", "> a: b\n", "a=b&", "a:b\r\n", "%", "%41", "[", "{", '["eq","$a",""],', '"', "x-amz-signature=", "authorization:", "authorization ", "//", "a@", "@", "x-amz-security-token=a ",
            "Signature=", "0123456789abcdef", "-PAYLOAD", ";", ",", "1")  # fmt: skip


@pytest.mark.parametrize("reader", READERS)
def test_time_grows_with_the_length(reader: str) -> None:
    """Four times the text takes four times as long; a square would be sixteen times, and minutes at the limit."""
    read = READERS[reader]
    small = 20_000 if LONG else 5_000
    for pattern in PATTERNS:
        short, long = pattern * (small // len(pattern)), pattern * (4 * small // len(pattern))
        # What is slow only by chance is not slow a second time.
        for _ in range(3):
            few, many = quickest(lambda t=short: read(t)), quickest(lambda t=long: read(t))
            if many <= 9 * few + 0.01:
                break
        else:
            pytest.fail(
                f"{pattern!r}: {few:.4f} s for {small} characters, {many:.4f} s for four times as many"
            )


def test_what_is_too_long_is_not_read() -> None:
    with pytest.raises(ConfigError, match="cut the log"):
        refusal_of("a" * (MAX_BYTES + 1))
