"""Imports and #include lines point downwards; the floors are drawn in docs/architecture.md."""

from __future__ import annotations

import ast
import fnmatch
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "python" / "s3accel"
CPP = REPOSITORY / "cpp"

# From the ground up. A module may import what stands lower or beside it, never what stands higher.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("_core", "_version"),
    ("errors", "redact", "credentials"),
    (
        "clock",
        "checksums",
        "turns",
        "signer",
        "streaming",
        "verify",
        "verify.*",
        "presign",
        "explain",
        "explain.*",
        "postpolicy",
        "postpolicy.*",
        "express",
        "sigv4a",
        "sigv4a.*",
    ),
    (
        "transfer.transport",
        "transfer.pool",
        "transfer.exchange",
        "transfer.source",
        "transfer.ranges",
        "transfer.endpoint",
        "transfer.messages",
        "transfer.lane",
        "transfer.laneslot",
        "transfer.limits",
        "transfer.lines",
        "transfer.curlerrors",
    ),
    (
        "transfer.plan",
        "transfer.s3",
        "transfer.s3xml",
        "transfer.calls",
        "transfer.objectinfo",
        "transfer.wholes",
        "transfer.streams",
        "transfer.headers",
        "transfer.attempts",
        "transfer.body",
        "transfer.retry",
        "transfer.route",
        "transfer.routepolicy",
        "transfer.tries",
        "transfer.estimate",
        "transfer.bucketconfig",
        "transfer.journal",
        "transfer.journalfile",
        "transfer.journaljob",
        "transfer.journalroom",
        "transfer.journalschema",
        "transfer.progress",
        "transfer.pieces",
        "transfer.partfile",
        "transfer.ranged",
        "transfer.fetched",
        "transfer.deletes",
        "transfer.hooks",
        "transfer.results",
        "transfer.task",
    ),
    (
        "transfer.doctor",
        "transfer.doctor_access",
        "transfer.doctor_ask",
        "transfer.doctor_checks",
        "transfer.doctor_speed",
    ),
    (
        "transfer.engine",
        "transfer.small",
        "transfer.perform",
        "transfer.uploads",
        "transfer.upload",
        "transfer.download",
        "transfer.downloads",
        "transfer.fetching",
        "transfer.recovery",
    ),
    ("transfer.client", "transfer.journaled", "transfer.journalrun", "transfer.recorder"),
)
# A star stands for the helpers that a module of this floor is divided into.
RANK = {name: rank for rank, names in enumerate(FLOORS) for name in names}
SIGNING = RANK["signer"]
# These stand on the signing floor, side by side with transfer, and no library module imports them.
LEAVES = ("local", "adapters")
# These use the library as anybody would.
TOPS = ("cli", "__main__")
# Who may import what third-party package, and nobody else. Only inside functions where the module itself is
# loaded by `import s3accel` (test_import_cost.py sees to that).
THIRD_PARTY = {
    "pycurl": ("transfer.transport",),
    "botocore": ("credentials", "adapters.botocore", "adapters._botocore*"),
    "aiohttp": ("adapters.aiohttp",),
    "httpx": ("adapters.httpx",),
    "minio": ("adapters.minio",),
    "requests": ("adapters.requests",),
    "urllib3": ("adapters.urllib3", "adapters.minio"),
    "xxhash": ("checksums",),
    "click": ("cli",),
    "rich": ("cli",),
    "uvicorn": ("local",),
    "h11": ("local",),
    "cryptography": ("local", "sigv4a"),
    "yarl": ("adapters.aiohttp",),
    "pytest": ("local.pytest_plugin",),
}
FACADES = {"", "transfer"}  # __init__.py files that only gather public names


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def under(name: str, tops: tuple[str, ...]) -> bool:
    return name.split(".")[0] in tops


def only_for_types(tree: ast.Module) -> set[ast.stmt]:
    """Statements below `if TYPE_CHECKING:`; they load nothing."""
    return {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
        if isinstance(inner, ast.stmt)
    }


def imports(path: Path, name: str) -> Iterator[tuple[str, int]]:
    """Absolute dotted names that a module imports, with their lines."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = only_for_types(tree)
    package = ["s3accel", *([part for part in name.split(".") if part])]
    if path.name != "__init__.py":
        package = package[:-1]
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in (
            "importlib.import_module",
            "__import__",
        ):
            first = node.args[0]
            yield (str(first.value) if isinstance(first, ast.Constant) else "unknown"), node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                full = f"{stem}.{alias.name}"
                # `from .transfer import plan` names a module, `from .errors import SourceError` a thing
                # in one.
                is_module = full == "s3accel._core" or full.removeprefix("s3accel.") in MODULES
                yield full if is_module else stem, node.lineno


def own(full: str) -> str | None:
    """The project module behind an imported name, or None."""
    if full != "s3accel" and not full.startswith("s3accel."):
        return None
    name = full.removeprefix("s3accel").lstrip(".")
    if name.split(".")[0] == "_core":
        return "_core"
    while name and name not in MODULES:
        name = name.rpartition(".")[0]
    return name


def rank_of(name: str) -> int | None:
    while name:
        for pattern, rank in RANK.items():
            if fnmatch.fnmatchcase(name, pattern):
                return rank
        name = name.rpartition(".")[0]
    return None


@pytest.mark.parametrize("name", [n for n in MODULES if n not in FACADES], ids=str)
def test_module_has_a_floor(name: str) -> None:
    assert rank_of(name) is not None or under(name, LEAVES + TOPS), (
        f"{name} stands on no floor: give it one in FLOORS and in docs/architecture.md"
    )


@pytest.mark.parametrize("name", MODULES, ids=lambda name: name or "__init__")
def test_imports_point_downwards(name: str) -> None:
    rank = rank_of(name)
    wrong = []
    for full, line in imports(MODULES[name], name):
        target = own(full)
        if target is None or target == name:
            continue
        where = f"{name or '__init__'}:{line} imports {target or 's3accel'}"
        below = rank_of(target)
        if under(target, TOPS) and not under(name, TOPS):
            wrong.append(f"{where}: nothing imports the tools")
        elif name == "" and target == "adapters.botocore":
            continue  # `s3accel.install`, loaded when it is asked for; test_import_cost.py guards the rest
        elif under(target, LEAVES) and not (under(name, TOPS) or name.split(".")[0] == target.split(".")[0]):
            wrong.append(f"{where}: only the tools use it")
        elif under(name, LEAVES):
            if target in FACADES or (below is not None and below > SIGNING):
                wrong.append(f"{where}: it stands on the signing floor")
        elif rank is not None:
            if target in FACADES:
                wrong.append(f"{where}: a library module imports from where the name lives")
            elif below is None or below > rank:
                wrong.append(f"{where}: an arrow that points up")
    assert wrong == []


@pytest.mark.parametrize("name", MODULES, ids=lambda name: name or "__init__")
def test_third_party_imports(name: str) -> None:
    wrong = []
    for full, line in imports(MODULES[name], name):
        top = full.split(".")[0]
        if top in sys.stdlib_module_names or top == "s3accel":
            continue
        allowed = THIRD_PARTY.get(top, ())
        if not any(fnmatch.fnmatch(name, place) or name.startswith(f"{place}.") for place in allowed):
            wrong.append(f"{name}:{line} imports {top}")
    assert wrong == []


def test_no_import_cycles() -> None:
    """Also on one floor nothing goes round, counting what is imported when a module loads."""
    graph: dict[str, set[str]] = {}
    for name, path in MODULES.items():
        top_level = {
            node.lineno
            for node in ast.parse(path.read_text(encoding="utf-8")).body
            if hasattr(node, "lineno")
        }
        graph[name] = {
            target
            for full, line in imports(path, name)
            if line in top_level and (target := own(full)) is not None and target != name
        }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail[trail.index(name) :], name])
        if name in done or name not in graph:
            return
        for target in sorted(graph[name]):
            visit(target, (*trail, name))
        done.add(name)

    for name in graph:
        visit(name, ())


# --- C++ ----------------------------------------------------------------------------------------------------

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
SOURCES = sorted(
    path
    for folder in ("include", "core", "bindings")
    for path in (CPP / folder).rglob("*")
    if path.suffix in (".h", ".cpp")
)
# Kernels carry -m flags: an inline function of the C++ library compiled there could be chosen by the
# linker for code that runs on any processor. So: no C++ library, only these C headers, intrinsics and the
# kernels' own.
KERNEL_HEADERS = re.compile(
    r"stddef\.h|stdint\.h|string\.h|cstddef|cstdint|cstring|immintrin\.h|wmmintrin\.h|emmintrin\.h|x86intrin\.h|"
    r"nmmintrin\.h|cpuid\.h|intrin\.h|arm_neon\.h|arm_acle\.h|sys/auxv\.h|sys/sysctl\.h|asm/hwcap\.h"
)
# Ordinary code without -m flags that looks after the kernels; what stands above may include their headers.
ORDINARY_IN_KERNELS = {"cpuid.cpp", "registry.cpp", "registry.h", "lanes.cpp", "lanes.h"}
TABLE = {"kernel.h", "registry.h", "lanes.h", "crc_constants.h"}
# What kernels may share: a table of function pointers, and constants. No function that could be compiled there.
IN_KERNELS = {"kernel.h", "sha256_constants.h", "crc_constants.h"}
# The rooms of the core, each may lean on those before it. Headers of include/s3accel are not told apart here.
ROOMS = ["base", "hash", "http", "sigv4", "chunked", "verify", "botocore"]


@pytest.mark.parametrize("name", sorted(IN_KERNELS - {"kernel.h"}))
def test_kernels_share_constants_only(name: str) -> None:
    text = re.sub(r"//.*", "", (CPP / "core" / "hash" / "kernels" / name).read_text(encoding="utf-8"))
    functions = re.findall(r"^.*\)\s*\{", text, re.MULTILINE)
    loops = re.compile(r"\s*(?:for|if|while)\b")
    assert all("consteval" in line or loops.match(line) for line in functions), functions


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(CPP)))
def test_includes_point_downwards(path: Path) -> None:
    relative = path.relative_to(CPP)
    floor = "kernels" if "kernels" in relative.parts else relative.parts[0]
    wrong = []
    for bracket, target in INCLUDE.findall(path.read_text(encoding="utf-8")):
        python = target.startswith("pybind11/") or target == "Python.h"
        if python and floor != "bindings":
            wrong.append(f"{target}: only the bindings know Python")
        if python or (bracket == "<" and floor != "kernels"):
            continue
        # Quoted names are looked up beside the file and from cpp/core.
        beside = (path.parent / target).exists()
        kernel_header = (
            target.removeprefix("hash/kernels/") if "hash/kernels/" in target or floor == "kernels" else None
        )
        if floor == "include" and not target.startswith("s3accel/"):
            wrong.append(f"{target}: public headers include public headers")
        elif floor == "core" or path.name in ORDINARY_IN_KERNELS:
            if bracket != '"' or target.startswith("s3accel/") or beside:
                continue
            if "hash/kernels/" in target and kernel_header not in TABLE:
                wrong.append(f"{target}: of the kernels only their table and constants are known here")
            room, below = relative.parts[1], ROOMS.index(target.split("/")[0])
            if below > ROOMS.index(room):
                wrong.append(f"{target}: a room above {room}")
        elif floor == "bindings" and not (target.startswith("s3accel/") or beside):
            wrong.append(f"{target}: the bindings use public headers")
        elif floor == "kernels":
            if bracket == "<" and not KERNEL_HEADERS.fullmatch(target):
                wrong.append(f"<{target}>: no C++ library in a kernel")
            if bracket == '"' and kernel_header not in IN_KERNELS:
                wrong.append(f"{target}: a kernel knows kernel.h and nothing else of ours")
    assert wrong == []


def test_there_is_something_to_check() -> None:
    assert len(SOURCES) > 10
    assert {"errors", "signer", "verify"} <= set(MODULES)
