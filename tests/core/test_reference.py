"""The witness itself: the reference implementation of the tests against the published AWS examples."""

from __future__ import annotations

import hashlib

import pytest

from support import reference, vectors

DOC = vectors.load("s3-doc-examples")
CASES = {case["id"]: case for case in DOC["cases"]}
WHO = reference.Identity(timestamp=DOC["meta"]["timestamp"])


def target_of(case: dict) -> str:
    if "target" in case["input"]:
        return str(case["input"]["target"])
    return "/" + case["input"]["url"].split("/", 3)[3]


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c["kind"] in ("header", "streaming")])
def test_published_example(name: str) -> None:
    case = CASES[name]
    expected = case["expected"]
    headers = [(n, v) for n, v in case["input"]["headers"]]
    canonical, signed = reference.canonical_request(
        case["input"]["method"], target_of(case), headers, expected["payload_hash"]
    )
    assert canonical == expected["canonical_request"]
    assert signed == expected["signed_headers"]
    text = reference.string_to_sign(WHO.timestamp, WHO.scope, canonical)
    assert text == expected["string_to_sign"]
    assert WHO.sign_text(text) == expected.get("signature", expected.get("seed_signature"))


@pytest.mark.parametrize("name", ["streaming-put", "streaming-put-trailer"])
def test_published_stream(name: str) -> None:
    case = CASES[name]
    expected = case["expected"]
    data = vectors.data_of(case["input"]["body"])
    sizes = reference.split_sizes(len(data), case["input"]["chunk_size"])
    trailers = [(n, v) for n, v in case["input"]["trailers"]]
    body, chain = reference.frame_signed(WHO, expected["seed_signature"], data, sizes, trailers)
    assert chain[: len(expected["chunks"])] == [chunk["signature"] for chunk in expected["chunks"]]
    assert len(body) == expected["encoded_content_length"]
    assert hashlib.sha256(body).hexdigest() == expected["encoded_body_sha256"]
    if trailers:
        assert chain[-1] == expected["trailer"]["signature"]
        algorithm = trailers[0][0].removeprefix("x-amz-checksum-")
        assert reference.checksum_base64(algorithm, data) == trailers[0][1]
