"""Writes sha256_shani.S: SHA-256 of two, three and four messages with SHA-NI and the 16 registers of AVX.

Each message's state takes 2 registers and sha256rnds2 wants xmm0; each message's last 16 words would take 4 more.
For two messages all fit. For three and four, only one (none) keeps its words in registers; of the others only the
newest four words stay in one, and the rest lives in a ring on the stack. The order of instructions is fixed here
because compilers differ: 64.9 (clang 16) to 69.5 (g++ 12) cycles a block for two messages, 55 to 65 for three and
57 to 61 for four.
"""

from __future__ import annotations

from asmgen import ROUND_CONSTANTS, SWAP_QUADS, frame, function, longs, write

ABOUT = [
    "void s3accel_sha256_shani_xN(uint32_t* states, const uint8_t* const* data, size_t blocks);",
    "SHA-256 of N messages, `blocks` (at least 1) 64-byte blocks of each. Needs SHA-NI and AVX.",
]

POINTERS = ["r8", "r9", "r10", "r11"]
RING = 128  # offset from %rsp: 4 x 32 bytes of states at the start of the block come first


class Lane:
    """One message: its state, and where its words are."""

    def __init__(self, number: int, lanes: int, all_words: bool, free: list[int]) -> None:
        self.number = number
        self.pointer = POINTERS[number]
        self.abef = f"%xmm{1 + 2 * number}"
        self.cdgh = f"%xmm{2 + 2 * number}"
        self.free = free  # registers that hold nothing, shared by all lanes
        self.all_words = all_words
        self.words: dict[int, int] = {}  # group of four words -> register

    def take(self, group: int) -> str:
        self.words[group] = self.free.pop(0)
        return self.at(group)

    def at(self, group: int) -> str:
        """The register that holds the group, or its place in the ring."""
        if group in self.words:
            return f"%xmm{self.words[group]}"
        return f"{RING + 64 * self.number + 16 * (group & 3)}(%rsp)"

    def drop(self, group: int) -> None:
        self.free.append(self.words.pop(group))

    def store(self, group: int) -> list[str]:
        """To the ring, unless registers hold all words of this message."""
        if self.all_words:
            return []
        return [f"vmovdqa {self.at(group)}, {RING + 64 * self.number + 16 * (group & 3)}(%rsp)"]

    def four_rounds(self, group: int) -> list[str]:
        """Rounds 4 * group .. + 3, and the words of group + 1."""
        out: list[str] = []
        if group < 4:
            if not self.all_words and group > 0:
                self.drop(group - 1)
            words = self.take(group)
            out += [
                f"vmovdqu {16 * group}(%{self.pointer},%rax), {words}",
                f"vpshufb Lswap(%rip), {words}, {words}",
            ]
            out += self.store(group)
        words = self.at(group)
        needs_older = 1 <= group < 15
        older = self.at(group - 1) if needs_older else ""
        if needs_older and not self.all_words:
            load = older
            older = self.take(group - 1)
            out.append(f"vmovdqa {load}, {older}")
        if 3 <= group < 15:
            begun = self.at(group - 3)  # words after sha256msg1
            if self.all_words:
                temporary = f"%xmm{self.free[0]}"
                self.free.append(self.free.pop(0))
                newer = begun
                out.append(f"vpalignr $4, {older}, {words}, {temporary}")
                out.append(f"vpaddd {temporary}, {newer}, {newer}")
                self.words[group + 1] = self.words.pop(group - 3)
            else:
                newer = self.take(group + 1)
                out.append(f"vpalignr $4, {older}, {words}, {newer}")
                out.append(f"vpaddd {begun}, {newer}, {newer}")
            out.append(f"sha256msg2 {words}, {newer}")
            if group < 14:
                out += self.store(group + 1)
        if 1 <= group < 13:
            out.append(f"sha256msg1 {words}, {older}")
            out += self.store(group - 1)
        out += [
            f"vpaddd Lround+{16 * group}(%rip), {words}, %xmm0",
            f"sha256rnds2 {self.abef}, {self.cdgh}",
            "vpshufd $0x0E, %xmm0, %xmm0",
            f"sha256rnds2 {self.cdgh}, {self.abef}",
        ]
        if not self.all_words:
            if needs_older:
                self.drop(group - 1)
            if 3 <= group < 15:
                self.drop(group)
        if group == 15:
            for held in list(self.words):
                self.drop(held)
        return out


def body(lanes: int) -> list[str]:
    states = range(lanes)
    out = [f"mov {8 * s}(%rsi), %{POINTERS[s]}" for s in states]
    out += ["shl $6, %rdx", "xor %eax, %eax"]
    for s in states:
        a, c = f"%xmm{1 + 2 * s}", f"%xmm{2 + 2 * s}"
        out += [
            f"vpshufd $0xB1, {32 * s}(%rdi), {a}",
            f"vpshufd $0x1B, {32 * s + 16}(%rdi), {c}",
            f"vpalignr $8, {c}, {a}, %xmm15",
            f"vpblendw $0xF0, {a}, {c}, {c}",
            f"vmovdqa %xmm15, {a}",
        ]
    out += [".p2align 6", "1:"]
    free = list(range(1 + 2 * lanes, 16))
    lane = [Lane(s, lanes, s < {2: 2, 3: 1, 4: 0}[lanes], free) for s in states]
    for s in states:
        out += [f"vmovdqa {lane[s].abef}, {32 * s}(%rsp)", f"vmovdqa {lane[s].cdgh}, {32 * s + 16}(%rsp)"]
    for group in range(16):
        for s in states:
            out += lane[s].four_rounds(group)
    for s in states:
        for offset, state in ((0, lane[s].abef), (16, lane[s].cdgh)):
            out.append(f"vpaddd {32 * s + offset}(%rsp), {state}, {state}")
    out += ["add $64, %rax", "cmp %rdx, %rax", "jb 1b"]
    for s in states:
        a, c = lane[s].abef, lane[s].cdgh
        out += [
            f"vpshufd $0x1B, {a}, {a}",
            f"vpshufd $0xB1, {c}, {c}",
            f"vpblendw $0xF0, {c}, {a}, %xmm15",
            f"vmovdqu %xmm15, {32 * s}(%rdi)",
            f"vpalignr $8, {a}, {c}, %xmm15",
            f"vmovdqu %xmm15, {32 * s + 16}(%rdi)",
        ]
    return out


def main() -> None:
    constants = [".p2align 6", "Lround:", longs(ROUND_CONSTANTS), "Lswap:", SWAP_QUADS]
    functions = [
        function(f"s3accel_sha256_shani_x{n}", body(n), RING + 64 * n, RING + 64 * n) for n in (2, 3, 4)
    ]
    write(__file__, "sha256_shani.S", frame("gen_sha256_shani.py", ABOUT, constants, functions))


if __name__ == "__main__":
    main()
