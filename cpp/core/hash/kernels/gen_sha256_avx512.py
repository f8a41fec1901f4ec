"""Writes sha256_avx512.S: SHA-256 of sixteen messages, one in each 32-bit lane of the AVX-512 registers.

16 registers hold the message words, 8 the states, 8 are for the arithmetic. The next block's rows are loaded, byte
swapped and half transposed while the last 16 rounds, which compute no new words, still run: their shuffles fill
the gaps between the rotates.
"""

from __future__ import annotations

from asmgen import ROUND_CONSTANTS, SWAP_QUADS, frame, function, longs, merge, write

NAME = "s3accel_sha256_avx512_x16"
ABOUT = [
    "void s3accel_sha256_avx512_x16(uint32_t* states, const uint8_t* const* data, size_t blocks);",
    "SHA-256 of sixteen messages, `blocks` (at least 1) 64-byte blocks of each. Needs AVX-512F and BW.",
]

STATE = list(range(16, 24))  # zmm numbers of a..h in round 0
TEMPS = list(range(24, 32))
TRANSPOSED = 0  # at (%rsp): 8 x 64 bytes of transposed states


def z(register: int) -> str:
    return f"%zmm{register}"


def one_round(i: int, w: int) -> list[str]:
    a, b, c, d, e, f, g, h = (z(STATE[(k - i) % 8]) for k in range(8))
    t, u, v, choice, majority = (z(TEMPS[k]) for k in range(5))
    return [
        f"vpaddd Lround+{4 * i}(%rip){{1to16}}, {h}, {h}",
        f"vprord $6, {e}, {t}",
        f"vprord $11, {e}, {u}",
        f"vprord $25, {e}, {v}",
        f"vmovdqa64 {e}, {choice}",
        f"vpaddd {z(w)}, {h}, {h}",
        f"vpternlogd $0xCA, {g}, {f}, {choice}",
        f"vpternlogd $0x96, {u}, {v}, {t}",
        f"vpaddd {choice}, {h}, {h}",
        f"vpaddd {t}, {h}, {h}",
        f"vprord $2, {a}, {t}",
        f"vprord $13, {a}, {u}",
        f"vprord $22, {a}, {v}",
        f"vmovdqa64 {a}, {majority}",
        f"vpaddd {h}, {d}, {d}",
        f"vpternlogd $0xE8, {c}, {b}, {majority}",
        f"vpternlogd $0x96, {u}, {v}, {t}",
        f"vpaddd {majority}, {h}, {h}",
        f"vpaddd {t}, {h}, {h}",
    ]


def new_word(i: int, w: list[int]) -> list[str]:
    """Word i + 16 in place of word i."""
    target, x, y, w9 = (z(w[(i + k) % 16]) for k in (0, 1, 14, 9))
    t, u, v = (z(TEMPS[k]) for k in (5, 6, 7))
    return [
        f"vprord $7, {x}, {t}",
        f"vprord $18, {x}, {u}",
        f"vpsrld $3, {x}, {v}",
        f"vpaddd {w9}, {target}, {target}",
        f"vpternlogd $0x96, {u}, {v}, {t}",
        f"vpaddd {t}, {target}, {target}",
        f"vprord $17, {y}, {t}",
        f"vprord $19, {y}, {u}",
        f"vpsrld $10, {y}, {v}",
        f"vpternlogd $0x96, {u}, {v}, {t}",
        f"vpaddd {t}, {target}, {target}",
    ]


def load_rows(quad: int, rows: list[int], spare: list[int]) -> tuple[list[str], list[int]]:
    """Rows 4 * quad .. + 3, swapped and transposed within 128-bit lanes: the result's register k holds word
    4 * j + k of its rows in lane j. Uses the registers `rows` and two of `spare`."""
    out = []
    for k in range(4):
        out.append(f"mov {8 * (4 * quad + k)}(%rsi), %r{8 + k}")
    for k in range(4):
        out.append(f"vmovdqu64 (%r{8 + k},%rax), {z(rows[k])}")
    for k in range(4):
        out.append(f"vpshufb Lswap(%rip), {z(rows[k])}, {z(rows[k])}")
    a, b, c, d = rows
    s, t = spare
    out += [
        f"vpunpckldq {z(b)}, {z(a)}, {z(s)}",
        f"vpunpckhdq {z(b)}, {z(a)}, {z(a)}",
        f"vpunpckldq {z(d)}, {z(c)}, {z(t)}",
        f"vpunpckhdq {z(d)}, {z(c)}, {z(c)}",
        f"vpunpcklqdq {z(t)}, {z(s)}, {z(b)}",
        f"vpunpckhqdq {z(t)}, {z(s)}, {z(d)}",
        f"vpunpcklqdq {z(c)}, {z(a)}, {z(s)}",
        f"vpunpckhqdq {z(c)}, {z(a)}, {z(c)}",
        f"vmovdqa64 {z(s)}, {z(a)}",
    ]
    return out, [b, d, a, c]


def gather_words(k: int, rows: list[list[int]], w: list[int], spare: list[int]) -> list[str]:
    """Words k, k + 4, k + 8, k + 12 of all messages from register k of the four quads."""
    r = [rows[quad][k] for quad in range(4)]
    s, t = spare
    w[k], w[8 + k], w[4 + k], w[12 + k] = r[0], r[1], r[2], r[3]
    return [
        f"vshufi32x4 $0x88, {z(r[1])}, {z(r[0])}, {z(s)}",
        f"vshufi32x4 $0xDD, {z(r[1])}, {z(r[0])}, {z(r[0])}",
        f"vshufi32x4 $0x88, {z(r[3])}, {z(r[2])}, {z(t)}",
        f"vshufi32x4 $0xDD, {z(r[3])}, {z(r[2])}, {z(r[3])}",
        f"vshufi32x4 $0xDD, {z(t)}, {z(s)}, {z(r[1])}",
        f"vshufi32x4 $0x88, {z(r[3])}, {z(r[0])}, {z(r[2])}",
        f"vshufi32x4 $0xDD, {z(r[3])}, {z(r[0])}, {z(r[3])}",
        f"vshufi32x4 $0x88, {z(t)}, {z(s)}, {z(r[0])}",
    ]


def transpose_state(to_lanes: bool) -> list[str]:
    """Between the states as stored (8 words of a message together) and one register for each word."""
    out = []
    if to_lanes:
        for message in range(16):
            for word in range(8):
                out += [
                    f"mov {32 * message + 4 * word}(%rdi), %r8d",
                    f"mov %r8d, {64 * word + 4 * message}(%rsp)",
                ]
        out += [f"vmovdqa64 {64 * word}(%rsp), {z(STATE[word])}" for word in range(8)]
    else:
        out += [f"vmovdqa64 {z(STATE[word])}, {64 * word}(%rsp)" for word in range(8)]
        for message in range(16):
            for word in range(8):
                out += [
                    f"mov {64 * word + 4 * message}(%rsp), %r8d",
                    f"mov %r8d, {32 * message + 4 * word}(%rdi)",
                ]
    return out


def body() -> list[str]:
    out = ["shl $6, %rdx", "xor %eax, %eax", *transpose_state(True)]
    # Row registers of the four quads and the words they become are the same in every turn of the loop.
    rows = []
    for quad in range(4):
        lines, order = load_rows(quad, list(range(4 * quad, 4 * quad + 4)), TEMPS[5:7])
        rows.append(order)
        out += lines
    w = [0] * 16
    out += [".p2align 6", "1:"]
    # The offset of the next block; the last turn loads its own block once more, which nobody uses.
    out += ["lea 64(%rax), %rcx", "cmp %rdx, %rcx", "cmovb %rcx, %rax"]
    gathers = [gather_words(k, rows, w, TEMPS[5:7]) for k in range(4)]
    out += [f"vmovdqa64 {z(STATE[word])}, {64 * word}(%rsp)" for word in range(8)]
    out += gathers[0]
    # Quad q's registers are free once the words that gather_words left in them are used up.
    early = {52: 0, 56: 2, 60: 1}
    pending: list[str] = []
    for i in range(64):
        other: list[str] = []
        if i < 3:
            other = gathers[i + 1]
        elif i == 3:
            other = new_word(0, w) + new_word(1, w) + new_word(2, w)
        elif i < 49:
            other = new_word(i - 1, w)
        elif i >= 52:
            if i in early:
                pending = load_rows(early[i], list(range(4 * early[i], 4 * early[i] + 4)), TEMPS[5:7])[0]
            share = -(-len(pending) // (4 - i % 4))
            other, pending = pending[:share], pending[share:]
        out += merge(one_round(i, w[i % 16]), other)
    out += load_rows(3, [12, 13, 14, 15], TEMPS[5:7])[0]
    out += [f"vpaddd {64 * word}(%rsp), {z(STATE[word])}, {z(STATE[word])}" for word in range(8)]
    out += ["cmp %rdx, %rcx", "jb 1b", *transpose_state(False)]
    return out


def main() -> None:
    constants = [".p2align 6", "Lswap:", *[SWAP_QUADS] * 4, "Lround:", longs(ROUND_CONSTANTS)]
    functions = [function(NAME, body(), 512, 512)]
    write(__file__, "sha256_avx512.S", frame("gen_sha256_avx512.py", ABOUT, constants, functions))


if __name__ == "__main__":
    main()
