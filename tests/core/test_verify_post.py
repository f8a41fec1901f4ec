"""Checking browser forms: what sign_post, botocore and the AWS documentation made passes, every twin is refused."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3accel.credentials import Credentials
from s3accel.errors import VerificationError
from s3accel.postpolicy import sign_post
from s3accel.postpolicy.rules import expand_key
from s3accel.verify import Verifier
from support import reference, strategies, vectors

DOC = vectors.load("s3-doc-examples")
[EXAMPLE] = [case for case in DOC["cases"] if case["kind"] == "post-policy"]
WHO = reference.Identity()
NOW = reference.epoch(WHO.timestamp)
KNOWN = Credentials(WHO.access_key_id, WHO.secret_access_key)
Form = list[tuple[str, str]]


def lookup(access_key_id: str) -> Credentials | None:
    return KNOWN if access_key_id == KNOWN.access_key_id else None


def verifier(now: float = NOW, **options: Any) -> Verifier:
    return Verifier(lookup, **{"region": WHO.region, "clock": lambda: now, **options})


def form(policy: Any = None, fields: dict[str, str] | None = None, raw: bytes | None = None) -> Form:
    """A form signed by the reference implementation, with any policy."""
    document = {
        "expiration": "2026-01-01T13:00:00Z",
        "conditions": [
            {"bucket": "bucket"},
            ["starts-with", "$key", "up/"],
            ["starts-with", "$Content-Type", "image/"],
            ["eq", "$acl", "private"],
            ["content-length-range", 2, 5],
            {"x-amz-algorithm": "AWS4-HMAC-SHA256"},
            {"x-amz-credential": f"{WHO.access_key_id}/{WHO.scope}"},
            {"x-amz-date": WHO.timestamp},
        ],
    }
    if policy is not None:
        document = policy(document)
    encoded = base64.b64encode(json.dumps(document).encode() if raw is None else raw).decode()
    whole = {
        "key": "up/${filename}",
        "Content-Type": "image/png",
        "acl": "private",
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{WHO.access_key_id}/{WHO.scope}",
        "X-Amz-Date": WHO.timestamp,
        "Policy": encoded,
        "X-Amz-Signature": WHO.sign_text(encoded),
        **(fields or {}),
    }
    return [(name, value) for name, value in whole.items() if value != "absent"]


def test_right_form() -> None:
    verified = verifier().verify_post(form(), "bucket", filename="C:\\photos\\cat.png")
    assert verified.key == "up/cat.png"
    assert verified.bucket == "bucket"
    assert verified.access_key_id == WHO.access_key_id
    assert verified.scope == WHO.scope
    assert verified.fields["acl"] == "private"
    assert verified.most == 5
    verified.check_length(2)
    verified.check_length(5)
    for length, code in ((1, "EntityTooSmall"), (6, "EntityTooLarge")):
        with pytest.raises(VerificationError) as caught:
            verified.check_length(length)
        assert (caught.value.code, caught.value.status) == (code, 400)
        assert caught.value.extra["ProposedSize"] == str(length)
    assert dict(form())["X-Amz-Signature"] not in repr(verified)


def test_no_range() -> None:
    verified = verifier().verify_post(form(drop(["content-length-range", 2, 5])), "bucket", filename="a")
    assert verified.most is None
    verified.check_length(10**12)


def test_doc_example() -> None:
    """The published form passes at its time, with a file that it allows."""
    known = DOC["meta"]["credentials"]
    credentials = Credentials(known["access_key_id"], known["secret_access_key"])
    made = Verifier(
        lambda key: credentials,
        region="us-east-1",
        clock=lambda: reference.epoch("20151229T120000Z"),
    )
    fields = [(n, v) for n, v in EXAMPLE["expected"]["form_fields"]]
    verified = made.verify_post(fields, "sigv4examplebucket", filename="photo.jpg")
    assert verified.key == "user/user1/photo.jpg"
    with pytest.raises(VerificationError, match="Policy Condition failed"):
        made.verify_post(fields, "otherbucket", filename="photo.jpg")
    late = Verifier(lambda key: credentials, clock=lambda: reference.epoch("20151230T120000Z"))
    with pytest.raises(VerificationError, match="Policy expired"):
        late.verify_post(fields, "sigv4examplebucket", filename="photo.jpg")


def drop(condition: Any) -> Callable[[Any], Any]:
    return lambda d: {**d, "conditions": [c for c in d["conditions"] if c != condition]}


def add(condition: Any) -> Callable[[Any], Any]:
    return lambda d: {**d, "conditions": [*d["conditions"], condition]}


DENIED = ("AccessDenied", 403)
INVALID = ("InvalidPolicyDocument", 400)
ARGUMENT = ("InvalidArgument", 400)
MISMATCH = ("SignatureDoesNotMatch", 403)
A = f"{WHO.access_key_id}"
REFUSED: list[tuple[str, Form, tuple[str, int]]] = [
    ("signature", form(fields={"X-Amz-Signature": "0" * 64}), MISMATCH),
    ("signature-upper-case", form(fields={"X-Amz-Signature": dict(form())["X-Amz-Signature"].upper()}), MISMATCH),
    ("signature-empty", form(fields={"X-Amz-Signature": ""}), MISMATCH),
    ("policy-changed", form(fields={"Policy": dict(form(add({"a": "b"})))["Policy"]}), MISMATCH),
    ("policy-padded", form(fields={"Policy": dict(form())["Policy"] + " "}), MISMATCH),
    ("another-date-same-day", form(fields={"X-Amz-Date": "20260101T120001Z"}), DENIED),
    ("key-outside", form(fields={"key": "down/x"}), DENIED),
    ("acl", form(fields={"acl": "public-read"}), DENIED),
    ("acl-absent", form(fields={"acl": "absent"}), DENIED),
    ("content-type", form(fields={"Content-Type": "text/html"}), DENIED),
    ("content-type-list", form(fields={"Content-Type": "image/png,text/html"}), DENIED),
    ("uncovered", form(fields={"x-amz-meta-a": "b"}), DENIED),
    ("uncovered-submit", form(fields={"submit": "Upload"}), DENIED),
    ("uncovered-token", form(fields={"x-amz-security-token": ""}), DENIED),
    ("no-bucket-condition", form(drop({"bucket": "bucket"})), DENIED),
    ("another-bucket-condition", form(add({"bucket": "other"})), DENIED),
    ("no-credential-condition", form(drop({"x-amz-credential": f"{A}/{WHO.scope}"})), DENIED),
    ("expired", form(lambda d: {**d, "expiration": "2026-01-01T12:00:00Z"}), DENIED),
    ("expired-fraction", form(lambda d: {**d, "expiration": "2026-01-01T11:59:59.999Z"}), DENIED),
    ("expiration", form(lambda d: {**d, "expiration": "soon"}), INVALID),
    ("no-expiration", form(lambda d: {"conditions": d["conditions"]}), INVALID),
    ("no-conditions", form(lambda d: {"expiration": d["expiration"]}), INVALID),
    ("unknown-member", form(lambda d: {**d, "more": 1}), INVALID),
    ("conditions-object", form(lambda d: {**d, "conditions": {"a": "b"}}), INVALID),
    ("two-properties", form(add({"a": "b", "c": "d"})), INVALID),
    ("number-in-object", form(add({"a": 5})), INVALID),
    ("text-condition", form(add("eq")), INVALID),
    ("empty-condition", form(add([])), INVALID),
    ("unknown-operation", form(add(["matches", "$acl", "p"])), INVALID),
    ("two-arguments", form(add(["eq", "$acl"])), INVALID),
    ("field-without-dollar", form(add(["eq", "acl", "private"])), INVALID),
    ("range-text", form(add(["content-length-range", "a", 5])), INVALID),
    ("range-negative", form(add(["content-length-range", -1, 5])), INVALID),
    ("no-json", form(raw=b"{"), INVALID),
    ("no-utf-8", form(raw=b"\xff\xfe"), INVALID),
    ("duplicate-members", form(raw=b'{"expiration": "a", "expiration": "b", "conditions": []}'), INVALID),
    ("empty-policy", form(fields={"Policy": "", "X-Amz-Signature": WHO.sign_text("")}), INVALID),
    ("no-base64", form(fields={"Policy": "!!!!", "X-Amz-Signature": WHO.sign_text("!!!!")}), INVALID),
    ("no-key", form(fields={"key": "absent"}), ARGUMENT),
    ("empty-key", form(fields={"key": ""}), ARGUMENT),
    ("long-key", form(fields={"key": "up/" + "k" * 1022}), ("KeyTooLongError", 400)),
    ("no-policy", form(fields={"Policy": "absent"}), ARGUMENT),
    ("no-signature", form(fields={"X-Amz-Signature": "absent"}), ARGUMENT),
    ("no-credential", form(fields={"X-Amz-Credential": "absent"}), ARGUMENT),
    ("no-date", form(fields={"X-Amz-Date": "absent"}), ARGUMENT),
    ("no-algorithm", form(fields={"X-Amz-Algorithm": "absent"}), ARGUMENT),
    ("another-algorithm", form(fields={"X-Amz-Algorithm": "AWS4-ECDSA-P256-SHA256"}), ARGUMENT),
    ("date", form(fields={"X-Amz-Date": "2026-01-01"}), ARGUMENT),
    ("another-day", form(fields={"X-Amz-Date": "20260102T000000Z"}), ARGUMENT),
    ("four-parts", form(fields={"X-Amz-Credential": f"{A}/20260101/s3/aws4_request"}), ARGUMENT),
    ("another-region", form(fields={"X-Amz-Credential": f"{A}/20260101/eu-west-1/s3/aws4_request"}), ARGUMENT),
    ("another-service", form(fields={"X-Amz-Credential": f"{A}/20260101/us-east-1/sqs/aws4_request"}), ARGUMENT),
    ("terminal", form(fields={"X-Amz-Credential": f"{A}/20260101/us-east-1/s3/aws5_request"}), ARGUMENT),
    ("another-key", form(fields={"X-Amz-Credential": f"AKID/{WHO.scope}"}), ("InvalidAccessKeyId", 403)),
    ("foreign-token", form(fields={"x-amz-security-token": "t"}), ("InvalidToken", 400)),
    ("field-twice", [*form(), ("ACL", "private")], ARGUMENT),
    ("too-much", form(fields={"x-ignore-a": "a" * 20_480}), ("MaxPostPreDataLengthExceededError", 400)),
    ("anonymous", [("key", "up/x")], DENIED),
    ("version-2", [("key", "up/x"), ("AWSAccessKeyId", A), ("Signature", "s")], ("InvalidRequest", 400)),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "expected"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED])
def test_refused(fields: Form, expected: tuple[str, int]) -> None:
    with pytest.raises(VerificationError) as caught:
        verifier().verify_post(fields, "bucket", filename="cat.png")
    error = caught.value
    assert (error.code, error.status) == expected
    assert WHO.secret_access_key not in str(error) + repr(error.extra)
    if error.code == "SignatureDoesNotMatch":
        policy = dict(fields)["Policy"]
        assert error.extra["StringToSign"] == policy
        assert bytes.fromhex(error.extra["StringToSignBytes"]) == policy.encode()
        assert "CanonicalRequest" not in error.extra


@pytest.mark.parametrize(
    "fields",
    [
        form(fields={"x-ignore-this": "1"}),
        form(fields={"Content-Type": "image/png, image/jpeg"}),
        form(add(["starts-with", "$x-amz-meta-any", ""]), {"X-Amz-Meta-Any": ""}),
        form(add(["EQ", "$acl", "private"])),
        form(add(["content-length-range", "1", "5"])),
        form(lambda d: {**d, "expiration": "2026-01-01T12:00:00.5Z"}),
        form(fields={"bucket": "bucket"}),
    ],
    ids=[
        "ignored",
        "type-list",
        "empty-prefix",
        "operator-case",
        "range-of-texts",
        "fraction",
        "bucket-field",
    ],
)
def test_taken(fields: Form) -> None:
    verifier().verify_post(fields, "bucket", filename="cat.png")


def test_any_region() -> None:
    made = verifier(region=None)
    made.verify_post(form(), "bucket")
    odd = form(fields={"X-Amz-Credential": f"{A}/20260101/a b/s3/aws4_request"})
    with pytest.raises(VerificationError) as caught:
        made.verify_post(odd, "bucket")
    assert caught.value.code == "InvalidArgument"


def test_key_of_last_week() -> None:
    """The document may say more, but a signing key dies seven days after its date."""
    lasting = form(lambda d: {**d, "expiration": "2027-01-01T00:00:00Z"})
    verifier(NOW + 7 * 86_400).verify_post(lasting, "bucket")
    with pytest.raises(VerificationError, match="Policy expired"):
        verifier(NOW + 7 * 86_400 + 1).verify_post(lasting, "bucket")


def test_session_credentials() -> None:
    known = Credentials(WHO.access_key_id, WHO.secret_access_key, "token", NOW + 60)
    fields = sign_post(known, WHO.region, "bucket", "k", clock=lambda: NOW)
    made = Verifier(lambda key: known, clock=lambda: NOW + 59)
    assert made.verify_post(fields.items(), "bucket").key == "k"
    late = Verifier(lambda key: known, clock=lambda: NOW + 60)
    with pytest.raises(VerificationError) as caught:
        late.verify_post(fields.items(), "bucket")
    assert caught.value.code == "ExpiredToken"
    swapped = {**fields, "x-amz-security-token": "tokem"}
    with pytest.raises(VerificationError) as caught:
        made.verify_post(swapped.items(), "bucket")
    assert caught.value.code == "InvalidToken"


def test_express_session() -> None:
    known = Credentials(WHO.access_key_id, WHO.secret_access_key, "token")
    fields = sign_post(known, WHO.region, "bucket", "k", service="s3express", clock=lambda: NOW)
    made = Verifier(lambda key: known, service="s3express", clock=lambda: NOW)
    made.verify_post(fields.items(), "bucket")
    with pytest.raises(VerificationError):
        verifier().verify_post(fields.items(), "bucket")


@given(
    key=st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=30),
    filename=st.text(max_size=10),
    fields=st.dictionaries(
        st.sampled_from(["acl", "Content-Type", "x-amz-meta-a", "x-ignore-a"]),
        st.text(max_size=9),
        max_size=3,
    ),
    secret=strategies.SECRETS,
)
def test_what_is_signed_is_taken(key: str, filename: str, fields: dict[str, str], secret: str) -> None:
    try:
        "".join(fields.values()).encode()
        filename.encode()
    except UnicodeEncodeError:
        return
    known = Credentials(WHO.access_key_id, secret)
    made = sign_post(known, WHO.region, "bucket", key, fields=fields, clock=lambda: NOW)
    verified = Verifier(lambda name: known, clock=lambda: NOW).verify_post(
        made.items(), "bucket", filename=filename
    )
    assert verified.key == expand_key(key, filename)


@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=40)), max_size=8), st.binary(max_size=80))
def test_arbitrary_forms_do_no_harm(fields: Form, raw: bytes) -> None:
    for whole in (fields, [*form(raw=raw), *fields]):
        with pytest.raises(VerificationError):
            verifier().verify_post(whole, "bucket")


@pytest.mark.parametrize(
    ("filename", "key"),
    [("a.png", "a.png"), ("/home/me/a.png", "a.png"), ("C:\\me\\a.png", "a.png"), ("", ""), ("a/", "")],
)
def test_expand_key(filename: str, key: str) -> None:
    assert expand_key("up/${filename}", filename) == f"up/{key}"
    assert expand_key("up/x", filename) == "up/x"
