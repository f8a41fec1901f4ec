"""POST policies: the published example to the byte, botocore to the byte, and S3's rules before signing."""

from __future__ import annotations

import base64
import importlib.util
import json
import string
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3accel.credentials import Credentials
from s3accel.errors import ConfigError, CredentialsError
from s3accel.postpolicy import PostPolicy, sign_policy, sign_post
from s3accel.signer import Signer, SigningKey
from support import reference, rivals, strategies, vectors

DOC = vectors.load("s3-doc-examples")
EXAMPLES = [case for case in DOC["cases"] if case["kind"] == "post-policy"]
WHO = reference.Identity()
NOW = reference.epoch(WHO.timestamp)
KNOWN = Credentials(WHO.access_key_id, WHO.secret_access_key)
SIGNER = Signer(KNOWN, WHO.region, clock=lambda: NOW)


def policy_of(fields: dict[str, str]) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(base64.b64decode(fields["policy"]))
    return loaded


def post(key: str = "k", **options: Any) -> dict[str, str]:
    return sign_post(KNOWN, WHO.region, "bucket", key, **{"clock": lambda: NOW, **options})


@pytest.mark.parametrize("case", EXAMPLES, ids=lambda case: case["id"])
def test_doc_example(case: dict[str, Any]) -> None:
    """A ready document is signed byte for byte, CRLF included."""
    scope = case["input"]["credential_scope"]
    _, region, _, _ = scope.split("/")
    known = DOC["meta"]["credentials"]
    expected = case["expected"]
    form = dict(expected["form_fields"])
    own = {"Policy", "X-Amz-Signature", "X-Amz-Credential", "X-Amz-Algorithm", "X-Amz-Date"}
    signer = Signer(
        Credentials(known["access_key_id"], known["secret_access_key"]),
        region,
        clock=lambda: reference.epoch(form["X-Amz-Date"]),
    )
    fields = {n: v for n, v in form.items() if n not in own}
    made = sign_policy(case["input"]["policy_utf8_crlf"], signer, fields)
    assert made["policy"] == expected["policy_base64"] == expected["string_to_sign"]
    assert made["x-amz-signature"] == expected["signature"]
    assert {n.lower(): v for n, v in made.items()} == {n.lower(): v for n, v in form.items()}


def test_policy_and_signature() -> None:
    fields = post("a b/é.txt", expires=60, fields={"acl": "private"}, content_length_range=(1, 10))
    assert policy_of(fields) == {
        "expiration": "2026-01-01T12:01:00Z",
        "conditions": [
            ["content-length-range", 1, 10],
            {"acl": "private"},
            {"bucket": "bucket"},
            {"key": "a b/é.txt"},
            {"x-amz-algorithm": "AWS4-HMAC-SHA256"},
            {"x-amz-credential": f"{WHO.access_key_id}/{WHO.scope}"},
            {"x-amz-date": WHO.timestamp},
        ],
    }
    assert fields["x-amz-signature"] == WHO.sign_text(fields["policy"])
    assert list(fields)[-2:] == ["policy", "x-amz-signature"]


def test_file_name_in_the_key() -> None:
    fields = post("up/${filename}")
    assert ["starts-with", "$key", "up/"] in policy_of(fields)["conditions"]
    assert fields["key"] == "up/${filename}"
    assert ["starts-with", "$key", ""] in policy_of(post("${filename}"))["conditions"]


def test_session_token_is_field_and_condition() -> None:
    known = Credentials(WHO.access_key_id, WHO.secret_access_key, "token/+==")
    fields = sign_post(known, WHO.region, "bucket", "k", clock=lambda: NOW)
    assert fields["x-amz-security-token"] == "token/+=="
    assert {"x-amz-security-token": "token/+=="} in policy_of(fields)["conditions"]


def test_express_session() -> None:
    known = Credentials(WHO.access_key_id, WHO.secret_access_key, "token")
    fields = sign_post(known, WHO.region, "b--use1-az5--x-s3", "k", service="s3express", clock=lambda: NOW)
    assert fields["X-Amz-S3session-Token"] == "token"
    assert {"X-Amz-S3session-Token": "token"} in policy_of(fields)["conditions"]
    assert "/us-east-1/s3express/aws4_request" in fields["x-amz-credential"]


def test_steps_and_a_signer_that_holds_a_key_only() -> None:
    key = SigningKey.derive(WHO.secret_access_key, WHO.timestamp[:8], WHO.region, "s3")
    restored = SigningKey.restore(key.export(), key.date, key.region, key.service)
    signer = Signer.from_key(restored, WHO.access_key_id, clock=lambda: NOW)
    policy = (
        PostPolicy("bucket", "k", expires=60)
        .field("Content-Type", "image/png", condition=False)
        .starts_with("Content-Type", "image/")
        .equals("x-amz-meta-user", "42")
        .field("x-ignore-csrf", "anything")
        .size(0, 5)
    )
    fields = policy.sign(signer)
    assert fields == policy.sign(SIGNER)
    assert fields["x-ignore-csrf"] == "anything"
    assert ["eq", "$x-amz-meta-user", "42"] in policy_of(fields)["conditions"]
    assert repr(policy) == "<PostPolicy bucket/k 3 conditions>"


def test_expired_credentials() -> None:
    known = Credentials("AKID", "secret", "token", NOW)
    with pytest.raises(CredentialsError):
        sign_post(known, WHO.region, "bucket", "k", clock=lambda: NOW)


@pytest.mark.parametrize(
    "options",
    [
        {"bucket": ""},
        {"key": ""},
        {"key": "k" * 1025},
        {"key": "é" * 513},
        {"expires": 0},
        {"expires": -1},
        {"expires": 604_801},
        {"expires": 1.5},
        {"expires": True},
        {"conditions": [["content-length-range", 5, 4]]},
        {"conditions": [["content-length-range", -1, 4]]},
        {"conditions": [["content-length-range", 0, 5 * 2**30 + 1]]},
        {"conditions": [["content-length-range", "0", "4"]]},
        {"conditions": [["content-length-range", 0]]},
        {"conditions": [["content-length-range", True, 5]]},
        {"content_length_range": (2, 1)},
        {"conditions": [["unknown", "$acl", "a"]]},
        {"conditions": [["eq", "acl", "a"]]},
        {"conditions": [["eq", "$", "a"]]},
        {"conditions": [["eq", "$acl", 5]]},
        {"conditions": [["eq", "$acl"]]},
        {"conditions": [[]]},
        {"conditions": [{}]},
        {"conditions": [{"acl": "a", "key": "b"}]},
        {"conditions": [{"acl": 5}]},
        {"conditions": [{"acl": object()}]},
        {"conditions": [{"acl": "private"}], "fields": {"acl": "public-read"}},
        {"conditions": [["starts-with", "$acl", "private"]], "fields": {"acl": "public-read"}},
        {"conditions": [["starts-with", "$Content-Type", "image/"]], "fields": {"Content-Type": "image/a,text/b"}},
        {"conditions": [["starts-with", "$key", "other/"]]},
        {"conditions": [["starts-with", "$key", "other/"]], "key": "up/${filename}"},
        {"conditions": [{"key": "up/x"}], "key": "up/${filename}"},
        {"conditions": [{"bucket": "other"}]},
        {"fields": {"key": "k"}},
        {"fields": {"bucket": "b"}},
        {"fields": {"file": "x"}},
        {"fields": {"policy": "x"}},
        {"fields": {"X-Amz-Signature": "x"}},
        {"fields": {"x-amz-security-token": "x"}},
        {"fields": {"acl": 5}},
        {"fields": {"acl": "a", "ACL": "a"}},
        {"fields": {"": "a"}},
        {"fields": {"a\r\nb": "a"}},
        {"fields": {"x-amz-meta-a": "a" * 20_480}},
    ],
    ids=lambda options: vectors.slug(str(options)),
)  # fmt: skip
def test_refused_before_signing(options: dict[str, Any]) -> None:
    options = dict(options)
    with pytest.raises(ConfigError) as caught:
        sign_post(
            KNOWN,
            WHO.region,
            options.pop("bucket", "bucket"),
            options.pop("key", "k"),
            clock=lambda: NOW,
            **options,
        )
    assert WHO.secret_access_key not in str(caught.value)


@pytest.mark.parametrize(
    ("conditions", "fields"),
    [
        ([["starts-with", "$Content-Type", "image/"]], {"Content-Type": "image/a, image/b"}),
        ([["starts-with", "$x-amz-meta-tag", ""]], {}),
        ([["eq", "$acl", "private"], ["starts-with", "$acl", "p"]], {}),
        ([["starts-with", "$key", "up/n"]], {}),
        ([{"ACL": "private"}], {"acl": "private"}),
        ([["content-length-range", 0, 0]], {"success_action_status": "201"}),
    ],
    ids=str,
)
def test_taken(conditions: list[Any], fields: dict[str, str]) -> None:
    assert post("up/${filename}", conditions=conditions, fields=fields)


OWN = [
    {"x-amz-algorithm": "AWS4-HMAC-SHA256"},
    {"x-amz-credential": f"{WHO.access_key_id}/{WHO.scope}"},
    {"x-amz-date": WHO.timestamp},
]
READY = {
    "expiration": "2026-01-02T00:00:00.000Z",
    "conditions": [{"bucket": "b"}, ["starts-with", "$key", ""], *OWN],
}


def without(condition: Any, *more: Any) -> dict[str, Any]:
    conditions = READY["conditions"]
    return {**READY, "conditions": [c for c in conditions if c != condition] + list(more)}


READY_REFUSED: list[tuple[str, Any]] = [
    ("no-bucket", without({"bucket": "b"})),
    ("no-key", without(["starts-with", "$key", ""])),
    ("no-algorithm", without(OWN[0])),
    ("no-credential", without(OWN[1])),
    ("another-credential", without(OWN[1], {"x-amz-credential": "AKID/20260101/us-east-1/s3/aws4_request"})),
    ("another-date", without(OWN[2], {"x-amz-date": "20260101T120001Z"})),
    ("empty-range", without(None, ["content-length-range", 2, 1])),
    ("expired", {**READY, "expiration": "2026-01-01T12:00:00Z"}),
    ("expiration-no-time", {**READY, "expiration": "tomorrow"}),
    ("expiration-without-zone", {**READY, "expiration": "2026-01-02T00:00:00"}),
    ("expiration-no-date", {**READY, "expiration": "2026-02-30T00:00:00Z"}),
    ("expiration-number", {**READY, "expiration": 5}),
    ("no-expiration", {"conditions": READY["conditions"]}),
    ("no-conditions", {"expiration": READY["expiration"]}),
    ("conditions-no-list", {**READY, "conditions": {}}),
    ("condition-no-list", without(None, "acl")),
    ("unknown-member", {**READY, "version": "1"}),
    ("no-object", [READY]),
]


@pytest.mark.parametrize(("document"), [c[1] for c in READY_REFUSED], ids=[c[0] for c in READY_REFUSED])
def test_ready_document_refused(document: Any) -> None:
    with pytest.raises(ConfigError, match=r"S3 would refuse|no file at all"):
        sign_policy(json.dumps(document), SIGNER, {"key": "k"})
    # Whoever knows better signs it all the same.
    text = json.dumps(document)
    made = sign_policy(text, SIGNER, check=False)
    assert base64.b64decode(made["policy"]).decode() == text


@pytest.mark.parametrize(
    "text",
    ["", "{", "5", "null", '{"expiration": NaN}', '{"a": 1, "a": 2}', b"\xff", "[" * 100_000],
    ids=lambda text: vectors.slug(str(text)[:20]),
)
def test_no_json_is_refused(text: Any) -> None:
    with pytest.raises(ConfigError, match="Invalid JSON"):
        sign_policy(text, SIGNER)


def test_ready_document_with_uncovered_field() -> None:
    text = json.dumps(READY)
    assert sign_policy(text, SIGNER, {"key": "k", "x-ignore-me": "1"})["key"] == "k"
    with pytest.raises(ConfigError, match="Extra input fields: acl"):
        sign_policy(text, SIGNER, {"key": "k", "acl": "private"})


# --- botocore -----------------------------------------------------------------------------------------------

FIELD_NAMES = st.sampled_from(
    [
        "acl",
        "Content-Type",
        "Cache-Control",
        "success_action_status",
        "x-amz-meta-a",
        "x-amz-meta-B",
        "redirect",
    ]
)
VALUES = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
KEYS = strategies.KEYS.filter(bool)


@pytest.mark.differential
@pytest.mark.skipif(
    importlib.util.find_spec("botocore") is None, reason="botocore, the witness, is not installed"
)
@given(
    who=st.builds(
        reference.Identity,
        strategies.ACCESS_KEYS,
        strategies.SECRETS,
        strategies.TIMES,
        st.sampled_from(strategies.REGIONS),
    ),
    token=strategies.TOKENS,
    bucket=st.text(string.ascii_lowercase + string.digits, min_size=3, max_size=20),
    key=st.builds(lambda text, tail: text + tail, KEYS, st.sampled_from(["", "${filename}"])),
    fields=st.dictionaries(FIELD_NAMES, VALUES, max_size=4),
    prefixes=st.dictionaries(st.sampled_from(["x-amz-meta-c", "x-amz-meta-d"]), VALUES, max_size=2),
    size=st.none() | st.tuples(st.integers(0, 10**6), st.integers(10**6, 5 * 2**30)),
    expires=st.integers(1, 604_800),
)
def test_botocore(
    who: reference.Identity,
    token: str | None,
    bucket: str,
    key: str,
    fields: dict[str, str],
    prefixes: dict[str, str],
    size: tuple[int, int] | None,
    expires: int,
) -> None:
    """The whole form is equal to the byte: fields, policy text, signature.

    botocore covers no field by itself and knows ``${filename}`` at the end of a key only; both are given as
    it wants them.
    """
    from botocore import auth, credentials
    from botocore.signers import S3PostPresigner

    if "${filename}" in key.removesuffix("${filename}"):
        return
    conditions: list[Any] = [{name: value} for name, value in fields.items()]
    conditions += [["starts-with", f"${name}", value] for name, value in prefixes.items()]
    if size is not None:
        conditions.append(["content-length-range", *size])
    ours = sign_post(
        Credentials(who.access_key_id, who.secret_access_key, token),
        who.region,
        bucket,
        key,
        expires=expires,
        conditions=conditions,
        fields=fields,
        clock=lambda: reference.epoch(who.timestamp),
    )

    class Presigner(S3PostPresigner):  # type: ignore[misc]
        """The last step of generate_presigned_post, without a client that would want a model and a host."""

        def __init__(self) -> None:
            super().__init__(self)

        def sign(self, operation: str, request: Any, *_: Any) -> None:
            known = credentials.Credentials(who.access_key_id, who.secret_access_key, token)
            auth.S3SigV4PostAuth(known, "s3", who.region).add_auth(request)

    whole: list[Any] = [*conditions, {"bucket": bucket}]
    name = "${filename}"
    whole.append(["starts-with", "$key", key[: -len(name)]] if key.endswith(name) else {"key": key})
    moment = rivals.when(who.timestamp).replace(tzinfo=None)
    with (
        mock.patch("botocore.auth.get_current_datetime", return_value=moment),
        mock.patch("botocore.signers.get_current_datetime", return_value=moment),
    ):
        theirs = Presigner().generate_presigned_post(
            {
                "method": "POST",
                "url": "https://h/",
                "headers": {},
                "body": b"",
                "context": {},
                "auth_path": None,
                "url_path": "/",
                "query_string": {},
            },
            fields={**fields, "key": key},
            conditions=whole,
            expires_in=expires,
        )["fields"]
    assert ours == theirs


def test_whole_botocore_client() -> None:
    boto3 = pytest.importorskip("boto3", reason="boto3, the witness, is not installed")
    from botocore.config import Config

    client = boto3.client(
        "s3",
        config=Config(signature_version="s3v4"),
        region_name=WHO.region,
        aws_access_key_id=WHO.access_key_id,
        aws_secret_access_key=WHO.secret_access_key,
    )
    moment = rivals.when(WHO.timestamp).replace(tzinfo=None)
    with (
        mock.patch("botocore.auth.get_current_datetime", return_value=moment),
        mock.patch("botocore.signers.get_current_datetime", return_value=moment),
    ):
        theirs = client.generate_presigned_post(
            "bucket", "up/${filename}", {"acl": "private"}, [{"acl": "private"}], ExpiresIn=600
        )
    client.close()
    ours = post("up/${filename}", conditions=[{"acl": "private"}], fields={"acl": "private"}, expires=600)
    assert ours == theirs["fields"]
