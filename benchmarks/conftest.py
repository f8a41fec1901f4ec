"""Shared by the benchmarks: the tests' reference implementation, and the tables at the end of a run."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

for _key in [key for key in os.environ if key.startswith("AWS_")]:
    del os.environ[_key]

# Rows that a benchmark leaves for the summary: table title -> [(cells…)]
TABLES: dict[str, list[tuple[str, ...]]] = {}


@pytest.fixture(scope="session")
def tables() -> dict[str, list[tuple[str, ...]]]:
    return TABLES


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for title, rows in TABLES.items():
        terminalreporter.section(title)
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        for row in rows:
            cells = (
                cell.ljust(w) if i == 0 else cell.rjust(w)
                for i, (cell, w) in enumerate(zip(row, widths, strict=True))
            )
            terminalreporter.write_line("  ".join(cells))
