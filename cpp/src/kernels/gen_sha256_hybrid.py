"""Writes sha256_hybrid.S: SHA-256 of four messages, schedules in AVX-512VL registers, rounds by SHA-NI.

The message schedule of a block does not depend on the hash state; only the 64 rounds chain. So the schedules
of 4 messages x 2 blocks run as 8 lanes of ymm registers, while the rounds of the previous 8 blocks run as 4
SHA-NI chains that only load W + K. Both instruction streams are woven at a grain of a few instructions,
because out-of-order execution alone cannot reach that far ahead.
"""

from __future__ import annotations

from asmgen import ROUND_CONSTANTS, SWAP_QUADS, frame, function, longs, merge, write

NAME = "s3accel_sha256_hybrid_x4"
ABOUT = [
    "void s3accel_sha256_hybrid_x4(uint32_t* states, const uint8_t* const* data, size_t blocks);",
    "SHA-256 of four messages, `blocks` (even, at least 2) 64-byte blocks of each. Needs SHA-NI, AVX-512VL.",
]

POINTERS = ["r8", "r9", "r10", "r11"]
ABEF = [1, 3, 5, 7]  # xmm numbers of the chains' states
CDGH = [2, 4, 6, 8]
TEMPS = list(range(9, 16))
W = list(range(16, 32))

# A buffer of W + K for 8 lanes: quads of words 0..15 as loaded (lane = message + 4 * block), then one 64-byte
# row for each pair of words 16..63, in the order vpunpckldq and vpunpckhdq leave the lanes.
BUFFER = 512 + 24 * 64
PAIR_OFFSET = [0, 8, 32, 40, 16, 24, 48, 56]

# How many schedule instructions follow each rnds2, in turn (scaled so that all are used up). The best of 54 even
# and uneven patterns on Zen 4, by some percent; loosening the schedule's own order at random gained nothing.
PATTERN = [5, 4, 0]


def wk_offset(lane: int, pair: int) -> int:
    if pair < 8:
        return (pair // 2 * 4 + (lane & 3)) * 32 + (lane >> 2) * 16 + (pair & 1) * 8
    return 512 + (pair - 8) * 64 + PAIR_OFFSET[lane]


def y(register: int) -> str:
    return f"%ymm{register}"


def schedule(offset: str, buffer: str) -> list[str]:
    """W + K of the blocks at `offset` and `offset` + 64 of all messages, into `buffer`."""
    out: list[str] = []
    used = 0
    for quad in range(4):
        rows = [TEMPS[(used + i) % 7] for i in range(4)]
        spare = [TEMPS[(used + 4 + i) % 7] for i in range(2)]
        used += 6
        at = 16 * quad
        for r in range(4):
            out.append(f"vmovdqu {at}(%{POINTERS[r]},%{offset}), %xmm{rows[r]}")
        for r in range(4):
            out.append(f"vinserti128 $1, {64 + at}(%{POINTERS[r]},%{offset}), {y(rows[r])}, {y(rows[r])}")
        for r in range(4):
            out.append(f"vpshufb Lswap(%rip), {y(rows[r])}, {y(rows[r])}")
        w = W[4 * quad : 4 * quad + 4]
        for r in range(4):
            out.append(f"vpaddd Lfirst+{32 * quad}(%rip), {y(rows[r])}, {y(w[r])}")
        for r in range(4):
            out.append(f"vmovdqa64 {y(w[r])}, {(quad * 4 + r) * 32}(%{buffer})")
        low, high = spare
        out += [
            f"vpunpckldq {y(rows[1])}, {y(rows[0])}, {y(w[0])}",
            f"vpunpckldq {y(rows[3])}, {y(rows[2])}, {y(low)}",
            f"vpunpckhdq {y(rows[1])}, {y(rows[0])}, {y(w[2])}",
            f"vpunpckhdq {y(rows[3])}, {y(rows[2])}, {y(high)}",
            f"vpunpckhqdq {y(low)}, {y(w[0])}, {y(w[1])}",
            f"vpunpcklqdq {y(low)}, {y(w[0])}, {y(w[0])}",
            f"vpunpckhqdq {y(high)}, {y(w[2])}, {y(w[3])}",
            f"vpunpcklqdq {y(high)}, {y(w[2])}, {y(w[2])}",
        ]

    # XOR twice instead of vpternlogd: a ternlog takes the pipes rnds2 needs (12 cycles against 8, measured).
    def sigma0(i: int) -> list[str]:
        w, w9, x, a, b = W[i % 16], W[(i - 7) % 16], W[(i - 15) % 16], TEMPS[4], TEMPS[5]
        return [
            f"vpaddd {y(w9)}, {y(w)}, {y(w)}",
            f"vprord $7, {y(x)}, {y(a)}",
            f"vprord $18, {y(x)}, {y(b)}",
            f"vpxor {y(b)}, {y(a)}, {y(a)}",
            f"vpsrld $3, {y(x)}, {y(b)}",
            f"vpxor {y(b)}, {y(a)}, {y(a)}",
            f"vpaddd {y(a)}, {y(w)}, {y(w)}",
        ]

    def sigma1(i: int, a: int, b: int) -> list[str]:
        w, x = W[i % 16], W[(i - 2) % 16]
        return [
            f"vprord $17, {y(x)}, {y(a)}",
            f"vprord $19, {y(x)}, {y(b)}",
            f"vpxor {y(b)}, {y(a)}, {y(a)}",
            f"vpsrld $10, {y(x)}, {y(b)}",
            f"vpxor {y(b)}, {y(a)}, {y(a)}",
            f"vpaddd {y(a)}, {y(w)}, {y(w)}",
        ]

    def store(i: int) -> list[str]:
        a, b, c = TEMPS[4:7]
        row = 512 + (i // 2 - 8) * 64
        return [
            f"vpaddd Lround+{4 * i}(%rip){{1to8}}, {y(W[i % 16])}, {y(a)}",
            f"vpaddd Lround+{4 * i + 4}(%rip){{1to8}}, {y(W[(i + 1) % 16])}, {y(b)}",
            f"vpunpckldq {y(b)}, {y(a)}, {y(c)}",
            f"vpunpckhdq {y(b)}, {y(a)}, {y(a)}",
            f"vmovdqa64 {y(c)}, {row}(%{buffer})",
            f"vmovdqa64 {y(a)}, {row + 32}(%{buffer})",
        ]

    out += sigma0(16) + sigma0(17)
    for i in range(16, 64, 2):
        first, second = sigma1(i, TEMPS[0], TEMPS[1]), sigma1(i + 1, TEMPS[2], TEMPS[3])
        critical = [line for both in zip(first, second, strict=True) for line in both]
        other = (store(i - 2) if i > 16 else []) + (sigma0(i + 2) + sigma0(i + 3) if i + 2 < 64 else [])
        out += merge(other, critical) if len(other) >= len(critical) else merge(critical, other)
    return out + store(62)


def rounds(buffer: str) -> list[list[str]]:
    """The 64 rounds of two blocks of each chain; each item stays together."""
    out: list[list[str]] = []
    for block in range(2):
        for s in range(4):
            out.append([f"vmovdqa %xmm{ABEF[s]}, {32 * s}(%rsp)"])
            out.append([f"vmovdqa %xmm{CDGH[s]}, {32 * s + 16}(%rsp)"])
        for pair in range(32):
            for s in range(4):
                source, target = (ABEF[s], CDGH[s]) if pair % 2 == 0 else (CDGH[s], ABEF[s])
                load = f"vmovq {wk_offset(s + 4 * block, pair)}(%{buffer}), %xmm0"
                out.append([load, f"sha256rnds2 %xmm{source}, %xmm{target}"])
        for s in range(4):
            out.append([f"vpaddd {32 * s}(%rsp), %xmm{ABEF[s]}, %xmm{ABEF[s]}"])
            out.append([f"vpaddd {32 * s + 16}(%rsp), %xmm{CDGH[s]}, %xmm{CDGH[s]}"])
    return out


def weave(chains: list[list[str]], others: list[str]) -> list[str]:
    out: list[str] = []
    scale = len(others) / (len(chains) * sum(PATTERN) / len(PATTERN))
    due, taken = 0.0, 0
    for i, item in enumerate(chains):
        out += item
        due += PATTERN[i % len(PATTERN)] * scale
        while taken < len(others) and taken < due - 1e-9:
            out.append(others[taken])
            taken += 1
    return out + others[taken:]


def body() -> list[str]:
    out = [f"mov {8 * s}(%rsi), %{POINTERS[s]}" for s in range(4)]
    out += ["shl $6, %rdx", "xor %eax, %eax", "lea 128(%rsp), %rsi", f"lea {128 + BUFFER}(%rsp), %rcx"]
    for s in range(4):
        a, c = ABEF[s], CDGH[s]
        out += [
            f"vpshufd $0xB1, {32 * s}(%rdi), %xmm{a}",
            f"vpshufd $0x1B, {32 * s + 16}(%rdi), %xmm{c}",
            f"vpalignr $8, %xmm{c}, %xmm{a}, %xmm15",
            f"vpblendw $0xF0, %xmm{a}, %xmm{c}, %xmm{c}",
            f"vmovdqa %xmm15, %xmm{a}",
        ]
    out += schedule("rax", "rsi")
    out += ["add $128, %rax", "cmp %rdx, %rax", "jae 2f", ".p2align 6", "1:"]
    out += weave(rounds("rsi"), schedule("rax", "rcx"))
    out += ["xchg %rsi, %rcx", "add $128, %rax", "cmp %rdx, %rax", "jb 1b", "2:"]
    out += [line for item in rounds("rsi") for line in item]
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


def main() -> None:
    constants = [".p2align 6", "Lround:", longs(ROUND_CONSTANTS), "Lfirst:"]
    constants += [longs(ROUND_CONSTANTS[4 * q : 4 * q + 4] * 2) for q in range(4)]
    constants += ["Lswap:", SWAP_QUADS, SWAP_QUADS]
    functions = [function(NAME, body(), 128 + 2 * BUFFER)]
    write(__file__, "sha256_hybrid.S", frame("gen_sha256_hybrid.py", ABOUT, constants, functions))


if __name__ == "__main__":
    main()
