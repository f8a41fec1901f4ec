"""What is said of wheels in pyproject.toml agrees with itself: versions, platforms, files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

tomllib = pytest.importorskip("tomllib", reason="Python 3.10 reads no TOML")

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIG = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
WHEELS = CONFIG["tool"]["cibuildwheel"]


def test_the_versions_that_are_named_are_built() -> None:
    named = {
        "cp" + found[1].replace(".", "")
        for line in CONFIG["project"]["classifiers"]
        if (found := re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", line))
    }
    built = {pattern.removesuffix("-*") for pattern in WHEELS["build"]}
    assert {one for one in built if not one.endswith("t")} == named
    assert min(named, key=lambda one: int(one[3:])) == "cp" + CONFIG["project"]["requires-python"][
        2:
    ].replace(".", "")
    assert any(one.endswith("t") for one in built) == any(
        "Free Threading" in c for c in CONFIG["project"]["classifiers"]
    )


def test_the_platforms() -> None:
    assert WHEELS["linux"]["archs"] == ["x86_64", "aarch64"]
    assert WHEELS["macos"]["archs"] == ["x86_64", "arm64"]
    for machine in WHEELS["linux"]["archs"]:
        assert WHEELS[f"manylinux-{machine}-image"] == "manylinux_2_28"
        assert WHEELS[f"musllinux-{machine}-image"] == "musllinux_1_2"


def test_what_wheels_are_tested_with_is_there() -> None:
    extras = CONFIG["project"]["optional-dependencies"]
    assert set(WHEELS["test-extras"]) <= set(extras)
    files = re.findall(r"\{project\}/(\S+)", WHEELS["test-command"])
    assert files
    assert all((REPOSITORY / file).is_file() for file in files)
