"""Writes sha256_hybrid.S: SHA-256 of four messages, schedules in AVX-512VL registers, rounds by SHA-NI.

The message schedule of a block does not depend on the hash state; only the 64 rounds chain. So the schedules
of 4 messages x 2 blocks run as 8 lanes of ymm registers, while the rounds of the previous 8 blocks run as 4
SHA-NI chains that only load W + K. Both instruction streams are woven at a grain of a few instructions,
because out-of-order execution alone cannot reach that far ahead.

The order decides the speed: on Zen 4 the same instructions take 33 to 47 cycles a block, because an instruction's
place in its group of six also decides which of two schedulers it goes to, and the chains have no slack for a
rnds2 that waits. The order here repeats (4 times for the first 16 words, 24 times for two further words), so that it
is described by the few numbers below; they were found by annealing against the clock, as
benchmarks/cpp/search_hybrid.py does.
"""

from __future__ import annotations

from asmgen import ROUND_CONSTANTS, SWAP_QUADS, frame, function, longs, write

NAME = "s3accel_sha256_hybrid_x4"
ABOUT = [
    "void s3accel_sha256_hybrid_x4(uint32_t* states, const uint8_t* const* data, size_t blocks);",
    "SHA-256 of four messages, `blocks` (even, at least 2) 64-byte blocks of each. Needs SHA-NI, AVX-512VL.",
]

POINTERS = ["r8", "r9", "r10", "r11"]
ABEF = [1, 3, 5, 7]  # xmm numbers of the chains' states; xmm0 takes W + K
CDGH = [2, 4, 6, 8]
FREE = list(range(9, 32))  # for the schedule

# A buffer of W + K for 8 lanes: quads of words 0..15 as loaded (lane = message + 4 * block), then one 64-byte
# row for each pair of words 16..63, in the order vpunpckldq and vpunpckhdq leave the lanes.
BUFFER = 512 + 24 * 64
PAIR_OFFSET = [0, 8, 32, 40, 16, 24, 48, 56]

# The stack: the chains' states at the start of their block, the caller's `states`, two buffers.
CALLERS_STATES = 128
BUFFERS = 192
STACK = BUFFERS + 2 * BUFFER

# The constants, from %rdi on: the 64 round constants, the first 16 in the order words are loaded, the byte swap.
FIRST = 256
SWAP = FIRST + 128

# The schedule is 4 groups of 28 instructions (words 4 * group .. + 3) and 24 groups of 32 (two words each), in the
# order of `load_words` and `make_words`. When each instruction of a group is due, counted in instructions from
# the group's begin: earlier and later groups overlap with it.
QUAD_DUE = [
    0.3,
    1,
    -6,
    6,
    5.8,
    9,
    8.4,
    7,
    8,
    10,
    10,
    9.5,
    11,
    21,
    10,
    13,
    18,
    26,
    18,
    19,
    17.5,
    14,
    24,
    23.8,
    37,
    34.2,
    24,
    29,
]
PAIR_DUE = [
    -17,
    -28,
    -19,
    -11.1,
    -8,
    -4,
    8.9,
    8,
    -19.8,
    -3,
    1,
    -4.8,
    3,
    24,
    2.9,
    2.5,
    6,
    12,
    12.21,
    19,
    2,
    -1,
    4,
    20.97,
    22.6,
    25.6,
    52,
    53,
    55,
    58,
    61.1,
    59,
]
# How many schedule instructions stand before each rnds2 in turn, and how many of those between it and its load:
# for the 10 rnds2 beside a group of 28 instructions, and for the 9 beside a group of 32.
QUAD_WEAVE = [(1, 1), (0, 0), (5, 1), (10, 0), (2, 2), (2, 2), (0, 0), (4, 2), (1, 0), (3, 2)]
PAIR_WEAVE = [(0, 0), (3, 2), (2, 1), (3, 2), (2, 0), (2, 0), (5, 3), (4, 1), (11, 0)]


class Schedule:
    """The instructions that compute W + K of 8 blocks, each with the time it is due, on virtual registers."""

    def __init__(self) -> None:
        self.items: list[tuple[float, str, int, list[int]]] = []  # due, text, target (0: none), sources
        self.group_begin = 0
        self.group_due: list[float] = []
        self.place = 0
        self.registers = 0
        words: list[int] = []
        for quad in range(4):
            self.begin(28 * quad, QUAD_DUE)
            words += self.load_words(quad)
        for i in range(16, 64, 2):
            self.begin(112 + 16 * (i - 16), PAIR_DUE)
            words += self.make_words(i, words)
        self.items.sort(key=lambda item: item[0])

    def begin(self, at: int, due: list[float]) -> None:
        self.group_begin, self.group_due, self.place = at, due, 0

    def add(self, text: str, *sources: int, target: bool = True) -> int:
        """Adds an instruction with {d} for its target and {0}, {1} for its sources; returns the target."""
        self.registers += target
        due = self.group_begin + self.group_due[self.place]
        self.items.append((due, text, self.registers if target else 0, list(sources)))
        self.place += 1
        return self.registers

    def load_words(self, quad: int) -> list[int]:
        at = 16 * quad
        rows = [self.add(f"vmovdqu32 {at}(%{pointer},%rax), %xmm{{d}}") for pointer in POINTERS]
        for r, pointer in enumerate(POINTERS):
            rows[r] = self.add(f"vinserti32x4 $1, {64 + at}(%{pointer},%rax), %ymm{{0}}, %ymm{{d}}", rows[r])
        rows = [self.add(f"vpshufb {SWAP}(%rdi), %ymm{{0}}, %ymm{{d}}", row) for row in rows]
        sums = [self.add(f"vpaddd {FIRST + 32 * quad}(%rdi), %ymm{{0}}, %ymm{{d}}", row) for row in rows]
        for r in range(4):
            self.add(f"vmovdqa32 %ymm{{0}}, {(quad * 4 + r) * 32}(%rcx)", sums[r], target=False)
        low = [self.two("vpunpckldq", rows[r], rows[r + 1]) for r in (0, 2)]
        high = [self.two("vpunpckhdq", rows[r], rows[r + 1]) for r in (0, 2)]
        second, first = self.two("vpunpckhqdq", *low), self.two("vpunpcklqdq", *low)
        fourth, third = self.two("vpunpckhqdq", *high), self.two("vpunpcklqdq", *high)
        return [first, second, third, fourth]

    def make_words(self, i: int, w: list[int]) -> list[int]:
        begun = []
        for k in (i, i + 1):
            total = self.two("vpaddd", w[k - 16], w[k - 7])
            begun.append(self.two("vpaddd", total, self.sigma(w[k - 15], 7, 18, 3)))
        made = [self.two("vpaddd", begun[k], self.sigma((w + begun)[i + k - 2], 17, 19, 10)) for k in (0, 1)]
        sums = [
            self.add(f"vpaddd {4 * (i + k)}(%rdi){{{{1to8}}}}, %ymm{{0}}, %ymm{{d}}", made[k]) for k in (0, 1)
        ]
        rows = [self.two(name, *sums) for name in ("vpunpckldq", "vpunpckhdq")]
        for k in (0, 1):
            at = 512 + (i // 2 - 8) * 64 + 32 * k
            self.add(f"vmovdqa32 %ymm{{0}}, {at}(%rcx)", rows[k], target=False)
        return made

    def sigma(self, x: int, a: int, b: int, shift: int) -> int:
        # XOR twice instead of vpternlogd: a ternlog takes the pipes rnds2 needs (12 cycles against 8, measured).
        first, second = self.one("vprord", a, x), self.one("vprord", b, x)
        both = self.two("vpxord", first, second)
        return self.two("vpxord", both, self.one("vpsrld", shift, x))

    def one(self, name: str, count: int, source: int) -> int:
        return self.add(f"{name} ${count}, %ymm{{0}}, %ymm{{d}}", source)

    def two(self, name: str, a: int, b: int) -> int:
        return self.add(f"{name} %ymm{{1}}, %ymm{{0}}, %ymm{{d}}", a, b)

    def lines(self) -> list[str]:
        """The instructions in their order, with the registers of the CPU; the longest unused one is taken next."""
        last = {source: n for n, (_, _, _, sources) in enumerate(self.items) for source in sources}
        free, held, out = list(FREE), {}, []
        for n, (_, text, target, sources) in enumerate(self.items):
            names = [held[source] for source in sources]
            for source in dict.fromkeys(sources):
                if last[source] == n:
                    free.append(held.pop(source))
            if target:
                held[target] = free.pop(0)
            out.append(text.format(*names, d=held.get(target)))
        return out


def wk_offset(lane: int, pair: int) -> int:
    if pair < 8:
        return (pair // 2 * 4 + (lane & 3)) * 32 + (lane >> 2) * 16 + (pair & 1) * 8
    return 512 + (pair - 8) * 64 + PAIR_OFFSET[lane]


def save(s: int) -> list[str]:
    return [f"vmovdqa %xmm{ABEF[s]}, {32 * s}(%rsp)", f"vmovdqa %xmm{CDGH[s]}, {32 * s + 16}(%rsp)"]


def rounds() -> list[tuple[str, list[str]]]:
    """The 64 rounds of two blocks of each chain: the loads of W + K and the rnds2 with what follows it."""
    out = []
    for block in range(2):
        for pair in range(32):
            for s in range(4):
                a, c = ABEF[s], CDGH[s]
                source, target = (a, c) if pair % 2 == 0 else (c, a)
                lines = [f"sha256rnds2 %xmm{source}, %xmm{target}"]
                if pair == 31:
                    lines += [f"vpaddd {32 * s}(%rsp), %xmm{a}, %xmm{a}"]
                    lines += [f"vpaddd {32 * s + 16}(%rsp), %xmm{c}, %xmm{c}", *save(s)]
                out.append((f"vmovq {wk_offset(s + 4 * block, pair)}(%rsi), %xmm0", lines))
    return out


def weave(chains: list[tuple[str, list[str]]], others: list[str]) -> list[str]:
    beside_quads = 4 * len(QUAD_WEAVE)
    out: list[str] = []
    for i, (load, lines) in enumerate(chains):
        before, between = QUAD_WEAVE[i % len(QUAD_WEAVE)]
        if i >= beside_quads:
            before, between = PAIR_WEAVE[(i - beside_quads) % len(PAIR_WEAVE)]
        out += [*others[: before - between], load, *others[before - between : before], *lines]
        others = others[before:]
    return out + others


def body() -> list[str]:
    out = [f"mov {8 * s}(%rsi), %{POINTERS[s]}" for s in range(4)]
    out += [
        f"lea {BUFFERS}(%rsp), %rcx",
        f"lea {BUFFERS + BUFFER}(%rsp), %rsi",
        "shl $6, %rdx",
        "xor %eax, %eax",
    ]
    for s in range(4):
        a, c = ABEF[s], CDGH[s]
        out += [
            f"vpshufd $0xB1, {32 * s}(%rdi), %xmm{a}",
            f"vpshufd $0x1B, {32 * s + 16}(%rdi), %xmm{c}",
            f"vpalignr $8, %xmm{c}, %xmm{a}, %xmm15",
            f"vpblendw $0xF0, %xmm{a}, %xmm{c}, %xmm{c}",
            f"vmovdqa %xmm15, %xmm{a}",
            *save(s),
        ]
    out += [f"mov %rdi, {CALLERS_STATES}(%rsp)", "lea Lconstants(%rip), %rdi"]
    schedule = Schedule().lines()
    out += [*schedule, "xchg %rsi, %rcx", "add $128, %rax", "cmp %rdx, %rax", "jae 2f", ".p2align 6", "1:"]
    out += weave(rounds(), schedule)
    out += ["xchg %rsi, %rcx", "add $128, %rax", "cmp %rdx, %rax", "jb 1b", "2:"]
    for load, lines in rounds():
        out += [load, *lines]
    out.append(f"mov {CALLERS_STATES}(%rsp), %rdi")
    for s in range(4):
        a, c = ABEF[s], CDGH[s]
        out += [
            f"vpshufd $0x1B, %xmm{a}, %xmm{a}",
            f"vpshufd $0xB1, %xmm{c}, %xmm{c}",
            f"vpblendw $0xF0, %xmm{c}, %xmm{a}, %xmm15",
            f"vmovdqu %xmm15, {32 * s}(%rdi)",
            f"vpalignr $8, %xmm{a}, %xmm{c}, %xmm15",
            f"vmovdqu %xmm15, {32 * s + 16}(%rdi)",
        ]
    return out


def constants() -> list[str]:
    first = [longs(ROUND_CONSTANTS[4 * q : 4 * q + 4] * 2) for q in range(4)]
    return [".p2align 6", "Lconstants:", longs(ROUND_CONSTANTS), *first, SWAP_QUADS, SWAP_QUADS]


def main() -> None:
    functions = [function(NAME, body(), STACK, 128)]
    write(__file__, "sha256_hybrid.S", frame("gen_sha256_hybrid.py", ABOUT, constants(), functions))


if __name__ == "__main__":
    main()
