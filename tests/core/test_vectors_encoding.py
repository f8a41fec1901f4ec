"""Published vectors: URI encoding, canonical query, canonical path."""

from __future__ import annotations

from typing import Any

import pytest

from s3accel import _core, errors, signer
from support import reference, vectors

URI = vectors.load("uri-encoding")
PATHS = URI["canonical_path"]
QUERIES = URI["canonical_query"]


@pytest.mark.parametrize("case", URI["components"], ids=lambda case: vectors.slug(case["desc"]))
def test_component(case: dict[str, Any]) -> None:
    raw = bytes.fromhex(case["input_hex"])
    assert _core.uri_encode(raw) == case["encoded"]
    assert _core.uri_encode(raw, True) == case["encoded_keep_slash"]
    if case["input_utf8"] is not None:
        assert signer.uri_encode(case["input_utf8"]) == case["encoded"]
        assert signer.uri_encode(case["input_utf8"], keep_slash=True) == case["encoded_keep_slash"]
    # A key sent encoded once to a service that encodes twice.
    path = "/" + case["encoded_keep_slash"]
    assert _core.canonical_path(path, True, False) == "/" + case["double_encoded_keep_slash"]


@pytest.mark.parametrize("case", QUERIES, ids=lambda case: vectors.slug(case["raw_query"]))
def test_canonical_query(case: dict[str, Any]) -> None:
    raw = case["raw_query"]
    readings = case.get("implementations_disagree")
    if readings and "awscrt" in readings:
        # A malformed escape: awscrt refuses it, and so do we; a verifier may read it leniently.
        assert readings["awscrt"] == "error"
        with pytest.raises(errors.SigningError):
            _core.canonical_query(raw)
        return
    assert _core.canonical_query(raw) == case["canonical"]
    if "pairs" in case:
        built = "&".join(f"{signer.uri_encode(n)}={signer.uri_encode(v)}" for n, v in case["pairs"])
        assert _core.canonical_query(built) == case["canonical"]
    as_form = next((text for name, text in (readings or {}).items() if "form decoding" in name), None)
    if as_form is not None:
        assert _core.canonical_query(raw, True) == as_form


@pytest.mark.parametrize("case", PATHS, ids=lambda case: vectors.slug(case["wire_path"]))
def test_canonical_path(case: dict[str, Any]) -> None:
    wire = case["wire_path"]
    assert _core.canonical_path(wire, False, False) == case["s3"]["canonical"]
    assert _core.canonical_path(wire, True, True) == case["other_services"]["normalized_then_encoded"]
    assert _core.canonical_path(wire, True, False) == case["other_services"]["unnormalized_then_encoded"]


@pytest.mark.parametrize("case", PATHS, ids=lambda case: vectors.slug(case["wire_path"]))
def test_server_reads_the_path(case: dict[str, Any]) -> None:
    """A server decodes and encodes the path: what was signed as sent passes if that changes nothing."""
    from s3accel.credentials import Credentials
    from s3accel.verify import Verifier

    who = reference.Identity()
    known = Credentials(who.access_key_id, who.secret_access_key)
    verifier = Verifier(
        lambda key: known if key == who.access_key_id else None, clock=lambda: reference.epoch(who.timestamp)
    )
    wire = case["wire_path"] or "/"
    host = [("host", "b.s3.us-east-1.amazonaws.com")]
    rewritten, _ = who.sign_headers(
        "GET", case["s3"]["server_decode_then_encode"], host, reference.EMPTY_SHA256
    )
    verifier.verify("GET", wire, rewritten)
    as_sent, _ = who.sign_headers("GET", wire, host, reference.EMPTY_SHA256)
    if case["s3"]["stable"]:
        verifier.verify("GET", wire, as_sent)
    else:
        with pytest.raises(errors.VerificationError) as caught:
            verifier.verify("GET", wire, as_sent)
        assert caught.value.code == "SignatureDoesNotMatch"
