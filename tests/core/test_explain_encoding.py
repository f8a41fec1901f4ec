"""Signers that encode or order in another way than S3: the mistake is named, and nobody on the way is blamed."""

from __future__ import annotations

from urllib.parse import unquote

import pytest

from s3accel import uri_encode
from s3accel.explain import explain
from support import reference
from support.refused import HOST, WHO, Signed, checked, refusal, sign


@pytest.mark.parametrize(
    ("path", "cause"),
    [
        ("/k%20a+b", "path-plus-or-space"),
        ("/k%20a(b)", "path-encoding"),
        ("/k%7ea", "path-encoding"),
        ("/k@a", "path-encoding"),
        ("/k%2Bb@c", "path-encoding"),
    ],
)
def test_path_signed_as_it_stood_where_s3_encodes_it(path: str, cause: str) -> None:
    """What curl and most signers do with a URL that was not encoded by S3's rule: nothing merged any slashes."""
    sent = sign("GET", path, mistake=lambda canonical: canonical.replace(encoded_by_s3(path), path, 1))
    found = checked(explain(sent.request, refusal(sent)), cause, "certain", sent.signature)
    assert "slashes" not in found.sentence


@pytest.mark.parametrize(
    ("query", "cause"),
    [("x=a@b", "query-encoding"), ("x=a%2fb", "query-encoding"), ("b=1&a=2", "query-order")],
)
def test_query_signed_as_it_stood(query: str, cause: str) -> None:
    def as_it_stood(canonical: str) -> str:
        lines = canonical.split("\n")
        return "\n".join([*lines[:2], query, *lines[3:]])

    sent = sign("GET", f"/k?{query}", mistake=as_it_stood)
    found = explain(sent.request, refusal(sent), credentials=(WHO.access_key_id, WHO.secret_access_key))
    checked(found, cause, "reproduced", sent.signature)


def encoded_by_s3(path: str) -> str:
    return uri_encode(unquote(path), True)


def test_names_out_of_order_are_not_called_lost() -> None:
    """A signer that lists its headers as they came: nothing was dropped on the way."""
    headers = [
        ("Host", HOST),
        ("x-amz-date", WHO.timestamp),
        ("x-amz-content-sha256", reference.EMPTY_SHA256),
    ]
    names = ";".join(name.lower() for name, _ in headers)
    canonical, right = reference.canonical_request("GET", "/a", headers, reference.EMPTY_SHA256)
    to_sign = reference.string_to_sign(WHO.timestamp, WHO.scope, canonical.replace(right, names))
    signature = WHO.sign_text(to_sign)
    sent = Signed("GET", "/a", [*headers, ("Authorization", WHO.authorization(names, signature))], signature)
    found = explain(sent.request, refusal(sent))
    checked(found, "canonical-form", "certain", signature)
    assert "alphabetical order" in found.sentence
