"""Published vectors: SHA-256, HMAC, key derivation, the ten checksums, combination, multipart values."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
from typing import Any

import pytest

from s3accel import _core, checksums
from support import vectors

HASHES = vectors.load("hash-primitives")
SUMS = vectors.load("checksums")
ALGORITHMS = sorted(SUMS["digest_and_base64_sizes"])
CRC = sorted(SUMS["crc_parameters"])
RAW_CRC = {"crc32": _core.crc32, "crc32c": _core.crc32c, "crc64nvme": _core.crc64nvme}


def available(name: str) -> bool:
    return not name.startswith("xxhash") or importlib.util.find_spec("xxhash") is not None


def algorithm_params() -> list[Any]:
    absent = pytest.mark.skip(reason="needs the xxhash package")
    return [pytest.param(name, marks=() if available(name) else absent) for name in ALGORITHMS]


@pytest.mark.parametrize("case", HASHES["sha256"], ids=lambda case: vectors.slug(case["desc"]))
def test_sha256(case: dict[str, Any]) -> None:
    data = vectors.data_of(case["input"])
    assert _core.sha256(data).hex() == case["digest_hex"]


def test_sha256_many_equals_the_published_digests() -> None:
    """All published messages at once: lengths from 0 to a million in one batch."""
    messages = [vectors.data_of(case["input"]) for case in HASHES["sha256"]]
    assert [digest.hex() for digest in _core.sha256_many(messages)] == [
        case["digest_hex"] for case in HASHES["sha256"]
    ]


@pytest.mark.parametrize("case", HASHES["hmac_sha256"], ids=lambda case: vectors.slug(case["desc"]))
def test_hmac_sha256(case: dict[str, Any]) -> None:
    made = _core.hmac_sha256(bytes.fromhex(case["key_hex"]), bytes.fromhex(case["data_hex"]))
    assert made.hex() == case["hmac_hex"]


@pytest.mark.parametrize(
    "case", HASHES["sigv4_key"], ids=lambda case: f"{case['date']}-{case['region']}-{case['service']}"
)
def test_signing_key(case: dict[str, Any]) -> None:
    key = _core.SigningKey.derive(case["secret_access_key"], case["date"], case["region"], case["service"])
    assert key.export().hex() == case["kSigning_hex"]
    assert key.sign(b"abc") == hashlib_hmac(bytes.fromhex(case["kSigning_hex"]), b"abc")


def hashlib_hmac(key: bytes, message: bytes) -> str:
    import hmac

    return hmac.new(key, message, hashlib.sha256).hexdigest()


@pytest.mark.parametrize("name", CRC)
def test_crc_check_value(name: str) -> None:
    """The catalogued check value of each CRC: the result over the nine ASCII digits."""
    assert RAW_CRC[name](b"123456789") == int(SUMS["crc_parameters"][name]["check_123456789"], 16)


@pytest.mark.parametrize("name", algorithm_params())
@pytest.mark.parametrize("item", SUMS["items"], ids=lambda item: item["name"])
def test_checksum(item: dict[str, Any], name: str) -> None:
    data = vectors.data_of(item["input"])
    assert len(data) == item["length"]
    whole = checksums.new(name)
    whole.update(data)
    assert whole.digest().hex() == item["hex"][name]
    assert checksums.encode(whole.digest()) == item["base64"][name]
    in_pieces = checksums.new(name)
    for start in range(0, len(data), max(1, len(data) // 3)):
        in_pieces.update(memoryview(data)[start : start + max(1, len(data) // 3)])
    assert in_pieces.digest() == whole.digest()
    if name in RAW_CRC:
        assert RAW_CRC[name](data) == int(item["hex"][name], 16)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_algorithm_table(name: str) -> None:
    """Header name and size of each algorithm, as S3 wants them."""
    size, _ = SUMS["digest_and_base64_sizes"][name]
    algorithm = checksums.ALGORITHMS[name]
    assert algorithm.header == f"x-amz-checksum-{name}"
    assert algorithm.digest_size == size
    assert algorithm.native == (name in CRC)
    assert algorithm.composite == (name in SUMS["multipart"]["composite"])
    assert algorithm.full_object == (name in SUMS["multipart"]["full_object"])


def test_no_other_algorithms() -> None:
    assert sorted(checksums.ALGORITHMS) == ALGORITHMS


def test_unknown_algorithm_is_refused() -> None:
    with pytest.raises(ValueError, match="crc16"):
        checksums.new("crc16")


@pytest.mark.parametrize(
    "row",
    SUMS["crc_combine"],
    ids=lambda row: f"{row['algorithm']}-{row['crc_a_hex']}-{row['crc_b_hex']}-{row['len_b']}",
)
def test_crc_combination(row: dict[str, Any]) -> None:
    a, b = bytes.fromhex(row["crc_a_hex"]), bytes.fromhex(row["crc_b_hex"])
    assert checksums.combine(row["algorithm"], a, b, row["len_b"]).hex() == row["crc_ab_hex"]
    raw = getattr(_core, f"{row['algorithm']}_combine")
    assert raw(int.from_bytes(a, "big"), int.from_bytes(b, "big"), row["len_b"]) == int(row["crc_ab_hex"], 16)


@pytest.fixture(scope="module")
def parts() -> list[bytes]:
    return [vectors.data_of(part["input"]) for part in SUMS["multipart"]["parts"]]


@pytest.mark.parametrize("name", algorithm_params())
def test_multipart_part_checksums(name: str, parts: list[bytes]) -> None:
    for part, expected in zip(parts, SUMS["multipart"]["part_checksums_base64"], strict=True):
        made = checksums.new(name)
        made.update(part)
        assert checksums.encode(made.digest()) == expected[name]


@pytest.mark.parametrize("name", sorted(SUMS["multipart"]["full_object"]))
def test_multipart_full_object(name: str, parts: list[bytes]) -> None:
    """The CRC of the object, from the CRCs of its parts and their lengths alone."""
    expected = SUMS["multipart"]["part_checksums_base64"]
    total = base64.b64decode(expected[0][name])
    for part, sums in zip(parts[1:], expected[1:], strict=True):
        total = checksums.combine(name, total, base64.b64decode(sums[name]), len(part))
    assert base64.b64encode(total).decode() == SUMS["multipart"]["full_object"][name]


@pytest.mark.parametrize(
    "name", [param for param in algorithm_params() if param.values[0] in SUMS["multipart"]["composite"]]
)
def test_multipart_composite(name: str) -> None:
    """The checksum of the concatenated raw checksums, with the number of parts behind it."""
    digests = [base64.b64decode(sums[name]) for sums in SUMS["multipart"]["part_checksums_base64"]]
    assert checksums.composite(name, digests) == SUMS["multipart"]["composite"][name]
