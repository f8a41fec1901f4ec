"""Writes the project's test vectors as inputs of the fuzz targets: `python seeds.py FOLDER` makes FOLDER/TARGET/NAME.

The corpus that is kept beside this file was grown from these and minimised; see tests/cpp/README.md.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

VECTORS = Path(__file__).resolve().parents[2] / "vectors"
#: Targets judge requests at this time; the days of the vectors would all be out of date.
DAYS = ("20130524T000000Z", "20130524")


def load(name: str) -> Any:
    return json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))


def lines(headers: Any) -> str:
    pairs = headers.items() if isinstance(headers, dict) else headers
    return "".join(f"{name}:{value}\n" for name, value in pairs if "\n" not in value)


def requests() -> Iterator[dict[str, Any]]:
    """Every input of a vector that is a request."""
    for case in load("signing-extra")["signing_cases"] + load("s3-doc-examples")["cases"]:
        yield case["input"]
    for case in (
        load("sigv4a")["requests"] + load("sigv4a")["streaming"] + load("streaming-framing")["signed"]
    ):
        yield case["input"]
    for case in load("signing-extra")["verification_cases"]:
        yield case["request"]


def inputs() -> Iterator[tuple[str, bytes]]:
    encoding = load("uri-encoding")
    for case in encoding["components"]:
        yield "uri", b"\0" + bytes.fromhex(case["input_hex"])
        yield "base64", bytes.fromhex(case["input_hex"])
    for text in [c["raw_query"] for c in encoding["canonical_query"]]:
        for flags in (0, 3, 7, 8):
            yield "uri", bytes([flags]) + text.encode()
        yield "url", b"https://h/?" + text.encode()
        yield "presign", b"\0\0\0\0\0\x0e\x10\nGET\nhttps://h/k?" + text.encode() + b"\n\nk\nk\n"
    for text in [c["wire_path"] for c in encoding["canonical_path"]]:
        yield "uri", b"\1" + text.encode()
        yield "split", b"h\nhttps://h" + text.encode()
        yield "request", b"\0\0\0\0\0\nGET\nhttps://h" + text.encode() + b"\n/\n\n"
    for given in requests():
        if "method" not in given:
            continue
        headers = [h for h in given.get("headers", []) if "\n" not in h[1]]
        host = next((value for name, value in headers if name.lower() == "host"), "h")
        target = given.get("target") or "/" + given["url"].partition("://")[2].partition("/")[2]
        url, token = given.get("url") or f"https://{host}{target}", given.get("session_token") or ""
        own = [
            "authorization",
            "x-amz-date",
            "x-amz-content-sha256",
            "x-amz-security-token",
            "x-amz-region-set",
        ]
        free = lines([h for h in headers if h[0].lower() not in own])
        raw = f"{given['method']} {target}\n{lines(headers)}"
        for day in DAYS:
            raw = raw.replace(day, day.replace("20130524", "20260101").replace("T000000Z", "T120000Z"))
        yield "auth", raw.encode()
        yield "verify", raw.encode()
        yield (
            "canonical",
            f"\1{given['method']}\0{target.partition('?')[0]}\0{target.partition('?')[2]}\0\0".encode()
            + free.replace("\n", "\0").encode(),
        )
        yield "url", url.encode()
        yield "split", f"{host}\n{target}".encode()
        yield "split", f"{host}\n{url}".encode()
        yield "request", f"\0\0\0\0\0\n{given['method']}\n{url}\n/z\n{token}\n{free}".encode()
        yield "presign", f"\0\0\0\0\0\x0e\x10\n{given['method']}\n{url}\n{token}\nk\na b\n{free}".encode()
    for case in load("streaming-framing")["decoder_cases"]:
        headers, body = case["headers"], case.get("body_utf8")
        if body is None:
            continue
        flags = ("HMAC" in headers["x-amz-content-sha256"]) | 2 * (
            "TRAILER" in headers["x-amz-content-sha256"]
        )
        flags |= 4 * ("x-amz-trailer" in headers)
        length = headers.get("x-amz-decoded-content-length", "0")
        yield (
            "chunk_decoder",
            bytes([flags, 1]) + (int(length) if length.isdigit() else 0).to_bytes(8, "big") + body.encode(),
        )
    for length, size, mode, trailer, _ in load("streaming-framing")["encoded_length"]:
        flags = (mode == "v4") | 2 * (trailer is not None)
        sizes = ((size - 8192) % 5000).to_bytes(2, "big") + (length % 40000).to_bytes(2, "big")
        yield "chunk_encoder", bytes([flags]) + sizes + b"\2\0\0\0a"


def main() -> None:
    folder = Path(sys.argv[1])
    for target, data in inputs():
        place = folder / target
        place.mkdir(parents=True, exist_ok=True)
        (place / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


if __name__ == "__main__":
    main()
