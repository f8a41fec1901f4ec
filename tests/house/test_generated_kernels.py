"""The assembly kernels are what their generators write, byte for byte, and constants stand in one place and are right."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from pathlib import Path

import pytest

CPP = Path(__file__).resolve().parents[2] / "cpp"
KERNELS = CPP / "core" / "hash" / "kernels"
GENERATORS = sorted(KERNELS.glob("gen_*.py"))


def test_every_assembly_file_has_a_generator() -> None:
    made = {generator.name.removeprefix("gen_").removesuffix(".py") for generator in GENERATORS}
    assert made == {path.stem for path in KERNELS.glob("*.S")}
    assert made


@pytest.mark.parametrize("generator", GENERATORS, ids=lambda path: path.name)
def test_regenerating_changes_nothing(generator: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-B", str(generator), str(tmp_path)], check=True, cwd=KERNELS)
    written = list(tmp_path.iterdir())
    assert len(written) == 1
    committed = KERNELS / written[0].name
    assert written[0].read_bytes() == committed.read_bytes(), f"run python3 {generator.name} in {KERNELS}"


def words(name: str, digits: int) -> list[int]:
    text = (KERNELS / name).read_text(encoding="utf-8")
    return [int(word, 16) for word in re.findall(rf"\b0x([0-9a-fA-F]{{{digits}}})\b", text)]


def test_the_words_of_sha256_are_those_of_the_standard() -> None:
    """FIPS 180-4, 4.2.2: the first 32 bits of the fractions of the cube roots of the first 64 primes."""
    primes = [n for n in range(2, 312) if all(n % d for d in range(2, math.isqrt(n) + 1))]
    wanted = []
    for prime in primes:
        root = round((prime << 96) ** (1 / 3))  # near: floats have 53 bits, of 35 that are asked for
        while root**3 > prime << 96:
            root -= 1
        while (root + 1) ** 3 <= prime << 96:
            root += 1
        wanted.append(root & 0xFFFFFFFF)
    assert len(wanted) == 64
    assert words("sha256_constants.h", 8) == wanted


def test_the_polynomials_are_those_of_the_standards() -> None:
    """As the standards write them, the highest power first; the kernels take the bits from the other end."""
    written = [(0x04C11DB7, 32), (0x1EDC6F41, 32), (0xAD93D23594C93659, 64)]
    reflected = [int(f"{polynomial:0{width}b}"[::-1], 2) for polynomial, width in written]
    assert words("crc_constants.h", 8) + words("crc_constants.h", 16) == reflected


@pytest.mark.parametrize(
    ("constant", "home"),
    [
        ("428a2f98", "sha256_constants.h"),
        ("c67178f2", "sha256_constants.h"),
        ("EDB88320", "crc_constants.h"),
        ("82F63B78", "crc_constants.h"),
        ("9A6C9329AC4BC9B5", "crc_constants.h"),
    ],
)
def test_a_constant_is_written_once(constant: str, home: str) -> None:
    written = [path for ending in ("h", "cpp", "py") for path in CPP.rglob(f"*.{ending}")]
    assert [path.name for path in written if constant.lower() in path.read_text("utf-8").lower()] == [home]
