"""Habits of the house that a reader cannot check alone: no assert on input, no open ends, no long files."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PYTHON = sorted((REPOSITORY / "python").rglob("*.py"))
CPP = sorted(path for path in (REPOSITORY / "cpp").rglob("*") if path.suffix in (".h", ".cpp"))
# Written with a gap so that this file is not its own first finding.
OPEN_ENDS = re.compile("|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X:", "NotImplemented" + "Error"]))
LONGEST = 800


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_no_assert_in_product(path: Path) -> None:
    """`python -O` removes asserts: what they would refuse would pass."""
    lines = [
        n.lineno for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.Assert)
    ]
    assert lines == []


@pytest.mark.parametrize("path", PYTHON + CPP, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_no_open_ends_and_no_endless_files(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert OPEN_ENDS.findall(text) == []
    assert len(text.splitlines()) <= LONGEST
