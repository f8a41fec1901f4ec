"""The command itself: help, missing extras, exit codes, kernels, values."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import s3accel
from s3accel import errors
from s3accel.cli import main
from s3accel.cli.app import cli
from s3accel.cli.exits import (
    TABLE,
    Exit,
    concerns_every_object,
    exit_of,
    in_options,
    overall,
    remedy_of,
    text_of,
)
from s3accel.cli.values import SIZE, S3Url, rate_text, seconds_text, size_text

from .conftest import Ran

README = Path(__file__).resolve().parents[2] / "README.md"


def test_help_and_version() -> None:
    runner = CliRunner()
    done = runner.invoke(cli, ["--version"])
    assert s3accel.__version__ in done.output
    done = runner.invoke(cli, ["--help"])
    for code, meaning in TABLE:
        assert re.search(rf"^ +{int(code)}  {re.escape(meaning)}$", done.output, re.MULTILINE)
    for name in ("cp", "serve", "explain", "demo", "kernels"):
        done = runner.invoke(cli, [name, "--help"])
        assert done.exit_code == 0
        assert "Usage: " in done.output


def test_readme_has_the_same_table() -> None:
    found = re.findall(r"^\| (\d+) \| (.+) \|$", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert found == [(str(int(code)), meaning) for code, meaning in TABLE]


def test_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "s3accel", "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, f"s3accel, version {s3accel.__version__}")


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_a_missing_extra_is_one_clear_line(
    missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    assert main(["kernels"]) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert "pip install 's3accel[demo]'" in err


@pytest.mark.parametrize(
    ("command", "missing", "extra"),
    [
        (["cp", "{file}", "s3://bucket/"], "pycurl", "s3accel[transfer]"),
        (["serve"], "uvicorn", "s3accel[local]"),
        (["serve"], "cryptography", "s3accel[local]"),
    ],
)
def test_a_missing_extra_of_a_subcommand(
    command: list[str], missing: str, extra: str, tmp_path: Path
) -> None:
    (tmp_path / "f").write_bytes(b"x")
    arguments = [text.format(file=tmp_path / "f") for text in command]
    code = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        f"from s3accel.cli import main\nsys.exit(main({arguments!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done.stderr
    assert extra in done.stderr
    assert "Traceback" not in done.stderr


def test_cp_does_not_load_the_endpoint() -> None:
    code = "import s3accel.cli.app, sys; print([m for m in ('uvicorn', 'cryptography') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_fault_of_our_own_is_no_traceback(run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(s3accel, "kernels", broken)
    ran = run("kernels")
    assert ran.code == 70
    assert "ZeroDivisionError" in ran.err
    assert "Traceback" not in ran.err


def test_kernels(run: Callable[..., Ran]) -> None:
    import json

    ran = run("kernels", "--json")
    assert ran.code == 0
    found = json.loads(ran.out)
    assert found == s3accel.kernels()
    ran = run("kernels")
    header, *lines = ran.out.splitlines()
    assert len(lines) == len(found) + 1
    at_once = header.index("at once")
    for kernel, line in zip(found, lines, strict=False):
        assert line.split()[0] == kernel["name"]
        assert line.endswith("yes") or not kernel["active"]
        assert ("not measured" in line) == (kernel["available"] and not kernel["rate"])
        lanes = line[at_once:].split()[0]
        assert lanes == ("-" if kernel["what"] == "crc" else str(kernel["lanes"]))


def test_unknown_kernel_is_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "s3accel", "kernels"],
        capture_output=True,
        text=True,
        env={**os.environ, "S3ACCEL_KERNEL": "no-such-kernel"},
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("s3accel: S3ACCEL_KERNEL=no-such-kernel: unknown kernel; known: ")


def test_unknown_kernel_is_an_import_error_elsewhere() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import s3accel"],
        capture_output=True,
        text=True,
        env={**os.environ, "S3ACCEL_KERNEL": "no-such-kernel"},
    )
    assert done.returncode == 1
    assert "ImportError: S3ACCEL_KERNEL=no-such-kernel" in done.stderr
    assert "could not be loaded" not in done.stderr, "the core is there"


def test_a_core_that_is_not_built_says_how() -> None:
    code = "import sys; sys.modules['s3accel._core'] = None; import s3accel"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "build it with `pip install .`" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("65536", 65536),
        ("64KiB", 65536),
        ("64 kib", 65536),
        ("64K", 65536),
        ("8MiB", 8 << 20),
        ("5MB", 5_000_000),
        ("1.5GiB", 3 << 29),
        ("2T", 2 << 40),
        ("7b", 7),
    ],
)
def test_sizes(text: str, count: int) -> None:
    assert SIZE.convert(text, None, None) == count


@pytest.mark.parametrize("text", ["", "-1", "8Mi", "1e6", "MiB", "1,5MiB", "8 MiB B"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(click.BadParameter):
        SIZE.convert(text, None, None)


def test_texts_for_people() -> None:
    assert [size_text(n) for n in (0, 1023, 1024, 1 << 20, 150 << 20, 3 << 29, 48 << 40, 3 << 50)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "1.0 MiB",
        "150 MiB",
        "1.5 GiB",
        "48.0 TiB",
        "3072 TiB",
    ]
    assert rate_text(5e6, 2.0) == "2.5 MB/s"
    assert (seconds_text(0.314), seconds_text(12.34), seconds_text(185)) == ("0.31 s", "12.3 s", "3 min 05 s")
    assert str(S3Url("b", "a//b?c%20")) == "s3://b/a//b?c%20"


def caused(error: BaseException) -> errors.UploadError:
    wrapped = errors.UploadError("put of s3://b/k failed", bucket="b", key="k")
    wrapped.__cause__ = error
    return wrapped


@pytest.mark.parametrize(
    ("error", "code", "all_alike"),
    [
        (errors.ConfigError("x"), Exit.USAGE, False),
        (errors.EndpointError("reason", "remedy"), Exit.USAGE, True),
        (errors.CredentialsError("x"), Exit.CREDENTIALS, True),
        (errors.SourceError("x"), Exit.SOURCE, False),
        (FileNotFoundError(2, "No such file", "f"), Exit.SOURCE, False),
        (errors.ConnectError("x"), Exit.NETWORK, False),
        (errors.TlsError("x"), Exit.NETWORK, True),
        (errors.TransferTimeout("x"), Exit.NETWORK, False),
        (errors.S3Error("InvalidAccessKeyId", 403), Exit.CREDENTIALS, True),
        (errors.SignatureMismatch("SignatureDoesNotMatch", 403), Exit.CREDENTIALS, True),
        (errors.AccessDenied("AccessDenied", 403), Exit.REFUSED, False),
        (errors.S3Error("NoSuchBucket", 404), Exit.REFUSED, True),
        (errors.AccelerationUnavailable("InvalidRequest", 400), Exit.REFUSED, True),
        (errors.ChecksumMismatch("x"), Exit.REFUSED, False),
        (errors.SigningError("x"), Exit.USAGE, False),
        (KeyboardInterrupt(), Exit.INTERRUPTED, False),
        (KeyError("x"), Exit.INTERNAL, False),
    ],
)
def test_exit_codes(error: BaseException, code: Exit, all_alike: bool) -> None:
    for one in (error, caused(error)):
        assert exit_of(one) is code
        assert concerns_every_object(one) is all_alike
        assert "\n" not in text_of(one) + remedy_of(one)


ADDRESS = {"bucket": "my-bucket", "region": "us-east-1", "accelerate": True}


@pytest.mark.parametrize(
    "asked",
    [
        {"bucket": "my.bucket"},
        {"bucket": "My_Bucket"},
        {"bucket": "arn:aws:s3:us-east-1:1:accesspoint/a"},
        {"bucket": "name--use1-az5--x-s3"},
        {"region": "cn-north-1"},
        {"region": "fips-us-east-1"},
        {"region": "us-iso-east-1", "accelerate": False},
        {"endpoint_url": "https://s3.example"},
        {"endpoint_url": "https://s3.example", "accelerate": False, "dualstack": True},
        {"endpoint_url": "http://s3.example", "accelerate": False},
        {"endpoint_url": "https://s3.example/path", "accelerate": False},
        {"endpoint_url": "https://s3-accelerate.amazonaws.com", "accelerate": False},
        {"endpoint_url": "https://[", "accelerate": False},
    ],
)
def test_remedies_are_options_of_the_command(asked: dict[str, object]) -> None:
    """What the library says in arguments of Python is said in the command's own options."""
    from s3accel.transfer.endpoint import resolve

    with pytest.raises(errors.EndpointError) as caught:
        resolve(**{**ADDRESS, **asked})  # type: ignore[arg-type]
    text = text_of(caught.value)
    said = text.replace(f"'{asked.get('bucket')}'", "")
    assert not re.search(r"[a-z]=|\b[a-z]+_[a-z]+\b", said), text
    named = set(re.findall(r"(?<!\S)--[a-z-]+", said))
    known = {option for param in cli.commands["cp"].params for option in (*param.opts, *param.secondary_opts)}
    assert named <= known


def test_other_words_of_options() -> None:
    assert text_of(errors.ConfigError("payload='unsigned' is refused; part_size is 1 bytes")) == (
        "--payload unsigned is refused; --part-size is 1 bytes"
    )
    assert text_of(errors.ConfigError("max_concurrency is 0")) == "--concurrency is 0"
    assert in_options("let accelerate='auto' choose") == "let --route auto choose"
    # A key that looks like an argument is not one.
    text = "PutObject s3://b/part_size=3/endpoint_url: 403 AccessDenied"
    assert (
        text_of(
            errors.AccessDenied(
                "AccessDenied", 403, operation="PutObject", bucket="b", key="part_size=3/endpoint_url"
            )
        )
        == text
    )
    assert (
        in_options("put of s3://b/part_size=3/accelerate=False")
        == "put of s3://b/part_size=3/accelerate=False"
    )


def test_bad_credentials_get_no_advice_for_absent_ones() -> None:
    assert remedy_of(errors.CredentialsError("none", absent=True)).startswith("set AWS_ACCESS_KEY_ID")
    assert remedy_of(errors.CredentialsError("the secret access key has white space at an end")) == ""


def test_exit_code_of_a_run() -> None:
    assert overall([], 0) is Exit.DONE
    assert overall([], 5) is Exit.DONE
    assert overall([Exit.NETWORK] * 3, 0) is Exit.NETWORK
    assert overall([Exit.NETWORK] * 3, 1) is Exit.SOME_FAILED
    assert overall([Exit.NETWORK, Exit.SOURCE], 0) is Exit.SOME_FAILED
