"""What installing s3accel changes for boto3: botocore alone, botocore with awscrt, s3accel, in one run.

    python benchmarks/bench_botocore.py [--rounds 15] [--profile]

Each of the three runs in a process of its own (awscrt is chosen when botocore is imported), and they take turns,
round after round, so that a busy moment hits all of them. Bodies go to a sink in another process over TLS,
which reads and forgets them. CPU is the client's own, user and system (`time.process_time`). A cell shows the best
of the rounds, its share of botocore's best, and the median of the shares round by round; where botocore alone
cannot do it (CRC64NVME), awscrt's is what shares are of.
"""

from __future__ import annotations

import argparse
import cProfile
import io
import json
import os
import pstats
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

KEYS = {
    "aws_access_key_id": "AKIDEXAMPLE",
    "aws_secret_access_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
}
MIB = 1 << 20
SIDES = {"botocore": "true", "with awscrt": "", "s3accel": "true", "s3accel, signed chunks": "true"}


# --- the sink ---------------------------------------------------------------------------------------------------


def sink(certificate: str) -> None:
    """Serves HTTPS on loopback: takes PUTs of any framing, answers 200. Prints its port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(
            target=_serve, args=(context.wrap_socket(connection, server_side=True),), daemon=True
        ).start()


def _serve(connection: ssl.SSLSocket) -> None:
    file = connection.makefile("rwb", buffering=256 * 1024)
    answer = b'HTTP/1.1 200 OK\r\nETag: "0"\r\nContent-Length: 0\r\n\r\n'
    while file.readline():
        headers = {}
        while (line := file.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            headers[name.strip().lower()] = value.strip().lower()
        if headers.get(b"expect"):
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if headers.get(b"transfer-encoding") == b"chunked":
            while size := int(file.readline(), 16):
                _skip(file, size + 2)
            file.readline()
        else:
            _skip(file, int(headers.get(b"content-length", b"0")))
        connection.sendall(answer)


def _skip(file: Any, size: int) -> None:
    while size > 0:
        size -= len(file.read(min(size, MIB)))


# --- one side -----------------------------------------------------------------------------------------------------


def side(name: str, endpoint: str, ca: str) -> None:
    """Measures on demand: a line with the name of a measurement in, a line of JSON out."""
    import boto3
    from botocore.config import Config

    if name.startswith("s3accel"):
        from s3accel.adapters import botocore as adapter

        adapter.install(payload="signed-chunks" if "signed" in name else None)
    config = Config(s3={"addressing_style": "path"}, signature_version="s3v4")
    s3 = boto3.client("s3", region_name="us-east-1", endpoint_url=endpoint, verify=ca, config=config, **KEYS)
    sizes = {"0 B": 0, "64 KiB": 65_536, "8 MiB": 8 * MIB, "64 MiB": 64 * MIB}
    bodies = {label: os.urandom(size) for label, size in sizes.items()}
    arguments = {"Bucket": "bucket", "Key": "key"}
    s3.put_object(Body=b"", **arguments)

    def put(label: str, **more: Any) -> Callable[[], Any]:
        return lambda: s3.put_object(Body=bodies[label], **arguments, **more)

    def put_file() -> None:
        with open(path, "rb") as file:
            s3.put_object(Body=file, **arguments)

    with tempfile.NamedTemporaryFile() as kept:
        path = kept.name
        kept.write(bodies["8 MiB"])
        kept.flush()
        work: dict[str, tuple[Callable[[], Any], int]] = {
            "add_auth": (_add_auth(), 2000),
            "presign": (lambda: s3.generate_presigned_url("get_object", arguments), 500),
            "0 B": (put("0 B"), 40),
            "64 KiB": (put("64 KiB"), 40),
            "8 MiB": (put("8 MiB"), 4),
            "8 MiB file": (put_file, 4),
            "64 MiB": (put("64 MiB"), 1),
        }
        if os.environ.get("BOTO_DISABLE_CRT") != "true" or name.startswith("s3accel"):
            work["8 MiB crc64nvme"] = (put("8 MiB", ChecksumAlgorithm="CRC64NVME"), 4)
        for line in sys.stdin:
            what = line.strip()
            if what.startswith("profile "):
                function, count = work[what.removeprefix("profile ")]
                print(json.dumps(_profiled(function, count * 5)), flush=True)
                continue
            if what not in work:
                print("null", flush=True)
                continue
            function, count = work[what]
            cpu, wall = time.process_time(), time.perf_counter()
            for _ in range(count):
                function()
            print(
                json.dumps([(time.process_time() - cpu) / count, (time.perf_counter() - wall) / count]),
                flush=True,
            )


def _add_auth() -> Callable[[], Any]:
    """`add_auth` of the class that botocore would take, on a prepared PutObject."""
    import botocore.auth
    from botocore.awsrequest import AWSRequest
    from botocore.config import Config
    from botocore.credentials import ReadOnlyCredentials

    headers = {
        "User-Agent": "Boto3/1.44.5 md/Botocore#1.44.5",
        "Expect": "100-continue",
        "Transfer-Encoding": "chunked",
        "Content-Encoding": "aws-chunked",
        "X-Amz-Trailer": "x-amz-checksum-crc32",
        "X-Amz-Decoded-Content-Length": "0",
        "x-amz-sdk-checksum-algorithm": "CRC32",
    }
    request = AWSRequest(
        "PUT", "https://bucket.s3-accelerate.amazonaws.com/some/key.bin", headers=headers, data=b""
    )
    algorithm = {"algorithm": "crc32", "in": "trailer", "name": "x-amz-checksum-crc32"}
    request.context = {
        "client_config": Config(),
        "has_streaming_input": True,
        "checksum": {"request_algorithm": algorithm},
        "signing": {},
    }
    credentials = ReadOnlyCredentials(*KEYS.values(), None)
    auth = botocore.auth.AUTH_TYPE_MAPS["s3v4"](credentials, "s3", "us-east-1")
    return lambda: auth.add_auth(request)


def _profiled(function: Callable[[], Any], count: int) -> str:
    profile = cProfile.Profile()
    profile.enable()
    for _ in range(count):
        function()
    profile.disable()
    text = io.StringIO()
    pstats.Stats(profile, stream=text).sort_stats("tottime").print_stats(18)
    return text.getvalue()


# --- the run --------------------------------------------------------------------------------------------------------

ROWS = {
    "add_auth": ("add_auth", "us"),
    "presign": ("generate_presigned_url", "us"),
    "0 B": ("put_object, empty", "us"),
    "64 KiB": ("put_object, 64 KiB", "us"),
    "8 MiB": ("put_object, 8 MiB", "ms"),
    "8 MiB file": ("put_object, file of 8 MiB", "ms"),
    "8 MiB crc64nvme": ("put_object, 8 MiB, CRC64NVME", "ms"),
    "64 MiB": ("put_object, 64 MiB", "ms"),
}


def start(*arguments: str, crt: str = "") -> subprocess.Popen[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    environment.update(BOTO_DISABLE_CRT=crt, AWS_EC2_METADATA_DISABLED="true")
    return subprocess.Popen(
        [sys.executable, __file__, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )


def ask(process: subprocess.Popen[str], what: str) -> Any:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(what + "\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument(
        "--profile", action="store_true", help="also show where the time of an 8 MiB PUT goes"
    )
    options = parser.parse_args()
    import trustme

    folder = Path(tempfile.mkdtemp(prefix="bench-botocore-"))
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    certificate.private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    server = start("--sink", str(folder / "server.pem"))
    assert server.stdout is not None
    endpoint = f"https://127.0.0.1:{server.stdout.readline().strip()}"
    sides = {
        name: start("--side", name, endpoint, str(folder / "ca.pem"), crt=crt) for name, crt in SIDES.items()
    }
    found: dict[str, dict[str, list[list[float]]]] = {name: {} for name in sides}
    try:
        for _ in range(options.rounds):
            for what in ROWS:
                for name, process in sides.items():
                    result = ask(process, what)
                    if result is not None:
                        found[name].setdefault(what, []).append(result)
        report(found)
        if options.profile:
            print(ask(sides["botocore"], "profile 8 MiB"))
            print(ask(sides["s3accel"], "profile 8 MiB"))
    finally:
        for process in [*sides.values(), server]:
            process.terminate()


def report(found: dict[str, dict[str, list[list[float]]]]) -> None:
    for index, title in enumerate(("client CPU", "wall")):
        print(f"\n{title}: best of the rounds (share of the best; median of the shares)")
        print("".join(["".ljust(32), *(name.rjust(30) for name in found)]))
        for what, (label, unit) in ROWS.items():
            scale = 1e6 if unit == "us" else 1e3
            base = [each[index] for each in found["botocore"].get(what) or found["with awscrt"][what]]
            cells = []
            for row in found.values():
                times = [each[index] for each in row.get(what, ())]
                shares = [ours / theirs for ours, theirs in zip(times, base, strict=False)]
                cells.append(
                    f"{min(times) * scale:.1f} {unit} ({min(times) / min(base):.2f}; {statistics.median(shares):.2f})"
                    if times
                    else "-"
                )
            print("".join([label.ljust(32), *(cell.rjust(30) for cell in cells)]))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--sink"]:
        sink(sys.argv[2])
    elif sys.argv[1:2] == ["--side"]:
        side(*sys.argv[2:5])
    else:
        main()
