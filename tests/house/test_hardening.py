"""The built module has what distributions ask of a shared library, and shows nothing but its entry."""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from s3accel import _core

REPOSITORY = Path(__file__).resolve().parents[2]
ASSEMBLY = sorted((REPOSITORY / "cpp" / "core" / "hash" / "kernels").glob("*.S"))

elf = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the module is no ELF file here")

# System V ABI, "Object Files" and "Program Loading and Dynamic Linking"; GNU extensions of them.
PT_DYNAMIC, PT_GNU_STACK, PT_GNU_RELRO = 2, 0x6474E551, 0x6474E552
DT_NULL, DT_TEXTREL, DT_BIND_NOW, DT_FLAGS, DT_FLAGS_1 = 0, 22, 24, 30, 0x6FFFFFFB
DF_TEXTREL, DF_BIND_NOW, DF_1_NOW, PF_X = 4, 8, 1, 1
SHT_DYNSYM, SHT_NOTE = 11, 7
# System V ABI, AMD64 supplement, "Program Property".
NT_GNU_PROPERTY_TYPE_0, X86_FEATURE_1_AND, IBT, SHSTK = 5, 0xC0000002, 1, 2


class Elf:
    """A 64-bit little-endian ELF file, as far as these tests read it."""

    def __init__(self, path: str) -> None:
        self.data = Path(path).read_bytes()
        assert self.data[:6] == b"\x7fELF\x02\x01"
        (self.phoff, self.shoff) = struct.unpack_from("<QQ", self.data, 32)
        self.phentsize, self.phnum, self.shentsize, self.shnum = struct.unpack_from("<HHHH", self.data, 54)

    def segments(self) -> Iterator[tuple[int, int, int, int]]:
        """(type, flags, offset, bytes in the file)"""
        for i in range(self.phnum):
            kind, flags, offset, _, _, size = struct.unpack_from(
                "<IIQQQQ", self.data, self.phoff + i * self.phentsize
            )
            yield kind, flags, offset, size

    def dynamic(self) -> dict[int, int]:
        (at, size) = next((o, n) for kind, _, o, n in self.segments() if kind == PT_DYNAMIC)
        pairs = struct.iter_unpack("<QQ", self.data[at : at + size // 16 * 16])
        return {tag: value for tag, value in pairs if tag != DT_NULL}

    def sections(self) -> list[tuple[int, ...]]:
        """(name, type, flags, address, offset, size, link, ...)"""
        return [
            struct.unpack_from("<IIQQQQIIQQ", self.data, self.shoff + i * self.shentsize)
            for i in range(self.shnum)
        ]

    def properties(self) -> dict[int, int]:
        """The 4-byte program properties: type -> value."""
        found = {}
        for _, kind, _, _, offset, size, *_ in self.sections():
            if kind != SHT_NOTE or self.data[offset + 8 : offset + 16] != struct.pack(
                "<I4s", NT_GNU_PROPERTY_TYPE_0, b"GNU\0"
            ):
                continue
            (length,) = struct.unpack_from("<I", self.data, offset + 4)
            assert 16 + length <= size
            at = offset + 16
            while at < offset + 16 + length:
                kind, width, value = struct.unpack_from("<III", self.data, at)
                assert width == 4
                found[kind] = value
                at += 16  # each is padded to 8 bytes
        return found

    def dynamic_symbols(self) -> Iterator[tuple[str, int]]:
        """(name, section index: 0 for those that others define)"""
        headers = self.sections()
        for header in headers:
            if header[1] != SHT_DYNSYM:
                continue
            strings = headers[header[6]][4]
            for at in range(header[4], header[4] + header[5], 24):
                name, _, _, section = struct.unpack_from("<IBBH", self.data, at)
                end = self.data.index(b"\0", strings + name)
                yield self.data[strings + name : end].decode(), section


@pytest.fixture(scope="module")
def module() -> Elf:
    return Elf(str(_core.__file__))


@elf
def test_only_the_entry_is_exported(module: Elf) -> None:
    assert {name for name, section in module.dynamic_symbols() if section != 0} == {"PyInit__core"}


@elf
def test_what_the_loader_protects(module: Elf) -> None:
    segments = {kind: flags for kind, flags, _, _ in module.segments()}
    assert PT_GNU_RELRO in segments
    assert not segments[PT_GNU_STACK] & PF_X
    dynamic = module.dynamic()
    now = (
        DT_BIND_NOW in dynamic
        or dynamic.get(DT_FLAGS, 0) & DF_BIND_NOW
        or dynamic.get(DT_FLAGS_1, 0) & DF_1_NOW
    )
    assert now, "symbols are bound late, so their table stays writable"
    assert DT_TEXTREL not in dynamic
    assert not dynamic.get(DT_FLAGS, 0) & DF_TEXTREL


@elf
def test_the_stack_is_guarded(module: Elf) -> None:
    imported = {name for name, section in module.dynamic_symbols() if section == 0}
    if any("__asan" in name or "__tsan" in name for name in imported):
        pytest.skip("a build with sanitizers")
    assert "__stack_chk_fail" in imported


@pytest.mark.parametrize("path", ASSEMBLY, ids=lambda path: path.name)
def test_assembly_takes_part_in_control_flow_enforcement(path: Path) -> None:
    """One object file without the note switches it off for a whole process."""
    text = path.read_text()
    assert '.section .note.gnu.property,"a",@note' in text
    functions = re.findall(r"^\.globl NAME\((\w+)\)$", text, re.M)
    assert functions
    for name in functions:
        assert re.search(rf"^NAME\({name}\):\n\.cfi_startproc\nendbr64\n", text, re.M), name


@elf
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the assembly is for x86-64")
@pytest.mark.parametrize("path", ASSEMBLY, ids=lambda path: path.name)
def test_the_assembled_object_says_so(path: Path, tmp_path: Path) -> None:
    """The object and not the module: where the C library's crti.o has no note, no linked file has one."""
    compiler = shlex.split(os.environ.get("CC") or "cc")
    if shutil.which(compiler[0]) is None:
        pytest.skip(f"no compiler: {compiler[0]}")
    made = tmp_path / "kernel.o"
    subprocess.run([*compiler, "-c", str(path), "-o", str(made)], check=True)
    assert Elf(str(made)).properties()[X86_FEATURE_1_AND] == IBT | SHSTK
