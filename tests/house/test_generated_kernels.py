"""The assembly kernels in the repository are what their generators write, byte for byte."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

KERNELS = Path(__file__).resolve().parents[2] / "cpp" / "core" / "hash" / "kernels"
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
