"""explain: every form a request and an answer may be at hand in, the command, and what it must never do."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3accel.cli import main
from s3accel.credentials import Credentials, StaticProvider
from s3accel.errors import ConfigError, S3Error, SignatureMismatch, UploadError
from s3accel.explain import CAUSES, SignedRequest, explain, explain_s3_error
from s3accel.transfer.messages import BytesBody, Headers, Request, Response
from support.refused import HOST, TOKEN, WHO, Signed, checked, refusal, sign, xml

KEYS = (WHO.access_key_id, WHO.secret_access_key)
BODY = b"the body"


def host_with_port() -> tuple[Signed, Any]:
    """A request whose host got a port on the way, and its refusal."""
    sent = sign(token=TOKEN)
    received = sent.copy()
    received.set("host", f"{HOST}:443")
    return sent, refusal(received, credentials=Credentials(*KEYS, TOKEN))


def raw_request(sent: Signed, line_end: str = "\r\n", prefix: str = "") -> str:
    lines = [f"{sent.method} {sent.target} HTTP/1.1", *(f"{n}: {v}" for n, v in sent.headers)]
    return line_end.join(prefix + line for line in [*lines, ""]) + line_end


def botocore_error(error: Any) -> Any:
    exceptions = pytest.importorskip("botocore.exceptions")
    parsed = {
        "Error": {"Code": error.code, "Message": error.message, **error.extra},
        "ResponseMetadata": {"HTTPStatusCode": error.status, "HTTPHeaders": {"date": "now"}},
    }
    return exceptions.ClientError(parsed, "PutObject")


def upload_error(error: Any) -> UploadError:
    outer = UploadError("gave up")
    outer.__cause__ = SignatureMismatch(error.code, error.status, error.message, extra=error.extra)
    return outer


ANSWERS: dict[str, Callable[[Any], Any]] = {
    "xml": xml,
    "bytes": lambda e: xml(e).encode(),
    "pretty": lambda e: xml(e).replace("><", ">\n  <"),
    "with-namespace": lambda e: xml(e).replace(
        "<Error>", '<Error xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    ),
    "raw-http": lambda e: f"HTTP/1.1 403 Forbidden\r\nContent-Type: application/xml\r\n\r\n{xml(e)}",
    "log": lambda e: f"2026-01-01 DEBUG Response body:\n{xml(e)}\n2026-01-01 DEBUG more\n",
    "log-with-repr": lambda e: f"2026-01-01 DEBUG Response body: {xml(e).encode()!r} done",
    "unclean": lambda e: xml(e).replace("</Error>", "<Key>&#x1;</Key></Error>"),
    "dict": lambda e: {"Code": e.code, "Message": e.message, **e.extra},
    "s3-error": lambda e: SignatureMismatch(e.code, e.status, e.message, extra=e.extra),
    "upload-error": upload_error,
    "verification-error": lambda e: e,
    "client-error": botocore_error,
    "response": lambda e: Response(403, Headers([("Date", "x")]), xml(e).encode()),
    "requests-response": lambda e: SimpleNamespace(status_code=403, headers={}, content=xml(e).encode()),
}


@pytest.mark.parametrize("form", ANSWERS)
def test_forms_of_an_answer(form: str) -> None:
    sent, error = host_with_port()
    checked(explain(sent.request, ANSWERS[form](error)), "host-port", "certain", sent.signature)


def prepared_by_requests(sent: Signed) -> Any:
    requests = pytest.importorskip("requests")
    headers = {n: v for n, v in sent.headers if n != "Host"}
    return requests.Request(sent.method, f"https://{HOST}{sent.target}", headers=headers).prepare()


def prepared_by_botocore(sent: Signed) -> Any:
    awsrequest = pytest.importorskip("botocore.awsrequest")
    headers = {n: v.encode() for n, v in sent.headers if n != "Host"}
    url = f"https://{HOST}{sent.target}"
    return awsrequest.AWSPreparedRequest(sent.method, url, headers, None, stream_output=False)


REQUESTS: dict[str, Callable[[Signed], Any]] = {
    "ours": lambda s: s.request,
    "mapping": lambda s: SignedRequest(s.method, f"https://{HOST}{s.target}", dict(s.headers)),  # type: ignore[arg-type]
    "transfer": lambda s: Request(s.method, f"https://{HOST}{s.target}", tuple(s.headers), BytesBody(b"")),
    "requests": prepared_by_requests,
    "botocore": prepared_by_botocore,
    "raw": raw_request,
    "raw-line-feeds": lambda s: raw_request(s, "\n"),
    "curl": lambda s: raw_request(s, "\n", "> "),
    "bytes": lambda s: raw_request(s).encode(),
    "absolute": lambda s: raw_request(s).replace(f" {s.target} ", f" https://{HOST}{s.target} "),
}


@pytest.mark.parametrize("form", REQUESTS)
def test_forms_of_a_request(form: str) -> None:
    sent, error = host_with_port()
    checked(explain(REQUESTS[form](sent), error), "host-port", "certain", sent.signature)
    assert TOKEN not in repr(SignedRequest.of(REQUESTS[form](sent)))
    assert sent.signature not in repr(SignedRequest.of(REQUESTS[form](sent)))


def test_forms_of_credentials() -> None:
    sent = sign(mistake=lambda c: c.replace("%20", "+"))
    error = refusal(sent)
    frozen = SimpleNamespace(access_key=KEYS[0], secret_key=KEYS[1], token=None)
    for keys in (
        KEYS,
        (*KEYS, None),
        Credentials(*KEYS),
        StaticProvider(Credentials(*KEYS)),
        frozen,
        SimpleNamespace(get_frozen_credentials=lambda: frozen),
    ):
        checked(
            explain(sent.request, error, credentials=keys), "path-plus-or-space", "reproduced", sent.signature
        )
    for bad in ("a-secret-as-text", 3, (KEYS[0],), (KEYS[0], "")):
        with pytest.raises(ConfigError) as caught:
            explain(sent.request, error, credentials=bad)
        assert "a-secret" not in str(caught.value)


def test_what_is_no_request_and_no_answer() -> None:
    sent = sign()
    for request in (object(), 5, "no request line", b""):
        with pytest.raises(ConfigError):
            explain(request, xml(refusal(sent, now=0.0)))
    for answer in (object(), "hello", ValueError("x"), b"x" * (5 << 20)):
        with pytest.raises(ConfigError):
            explain(sent.request, answer)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_document_type_is_refused(encoding: str) -> None:
    bomb = '<?xml version="1.0"?><!DOCTYPE Error [<!ENTITY a "aaaa">]><Error><Code>&a;</Code></Error>'
    with pytest.raises(ConfigError):
        explain(sign().request, bomb.encode(encoding))
    inside = "<Error><!DOCTYPE x [<!ENTITY a 'aaaa'>]><Code>&a;</Code></Error>"
    with pytest.raises(ConfigError, match="document type"):
        explain(sign().request, "x" * 70_000 + inside)


def test_folded_header_of_a_raw_request() -> None:
    sent = sign(extra=[("x-amz-meta-words", "one two")])
    raw = raw_request(sent).replace("one two", "one\r\n two")
    error = refusal(sent, credentials=Credentials(WHO.access_key_id, "q" * 40))
    checked(explain(raw, error), "wrong-secret", "likely", sent.signature)


def test_answer_without_a_body() -> None:
    sent = sign("HEAD")
    head = "HTTP/1.1 400 Bad Request\r\nx-amz-bucket-region: eu-west-3\r\n\r\n"
    assert "eu-west-3" in checked(explain(sent.request, head), "wrong-region", "certain").sentence
    silent = "HTTP/1.1 403 Forbidden\r\n\r\n"
    checked(explain(sent.request, silent), "no-body", "likely")
    checked(explain(sent.request, silent, credentials=KEYS), "access-denied", "likely")
    wrong = sign("HEAD", mistake=lambda c: c.replace("HEAD", "GET"))
    checked(explain(wrong.request, silent, credentials=KEYS), "method-changed", "reproduced")
    bare = SignedRequest("HEAD", f"https://{HOST}/k")
    checked(explain(bare, silent), "authorization-dropped", "certain")
    checked(explain(sent.request, S3Error("403", 403, operation="HeadObject")), "no-body", "likely")


def test_text_for_an_exception() -> None:
    sent = sign()
    received = sent.copy()
    received.set("host", f"{HOST}:443")
    error = refusal(received)
    mismatch = SignatureMismatch(error.code, error.status, error.message, extra=error.extra)
    text = explain_s3_error(sent.request, mismatch)
    assert "the port 443" in text
    assert "\n" not in text
    # Our own signer signs what it sends: equal canonical requests prove a wrong secret.
    wrong = refusal(sent, credentials=Credentials(WHO.access_key_id, "q" * 40))
    mismatch = SignatureMismatch(wrong.code, wrong.status, wrong.message, extra=wrong.extra)
    assert "another secret than S3 has" in explain_s3_error(sent.request, mismatch)
    # It runs while another error is on its way: nothing may come of it.
    assert explain_s3_error(object(), mismatch) == ""
    assert explain_s3_error(sent.request, ValueError("x")) == ""
    assert explain_s3_error(sent.request, S3Error("NoSuchKey", 404)) == ""


def test_terminal_escapes_of_a_server_are_not_passed_on() -> None:
    sent = sign()
    canonical = refusal(sent, credentials=Credentials(WHO.access_key_id, "q" * 40)).extra["CanonicalRequest"]
    evil = canonical.replace("text/plain", "\x1b[2Jtext\u202e")
    found = explain(sent.request, {"Code": "SignatureDoesNotMatch", "CanonicalRequest": evil})
    assert found.cause == "header-changed"
    assert "\x1b" not in str(found)
    assert "\u202e" not in str(found)


@given(st.text(), st.text(), st.binary())
def test_strange_answers_break_nothing(canonical: str, to_sign: str, text: bytes) -> None:
    error = {"Code": "SignatureDoesNotMatch", "CanonicalRequest": canonical, "StringToSign": to_sign}
    found = explain(sign().request, error)
    assert found.cause in CAUSES
    with contextlib.suppress(ConfigError):
        explain(SignedRequest.of(text), text)


@given(st.lists(st.tuples(st.integers(0, 400), st.characters(codec="utf-8")), min_size=1, max_size=5))
def test_any_change_of_the_canonical_request_is_found(changes: list[tuple[int, str]]) -> None:
    sent = sign(token=TOKEN)
    canonical = refusal(sent, credentials=Credentials(WHO.access_key_id, "q" * 40, TOKEN)).extra[
        "CanonicalRequest"
    ]
    letters = list(canonical)
    for at, letter in changes:
        letters[at % len(letters)] = letter
    changed = "".join(letters)
    found = explain(sent.request, {"Code": "SignatureDoesNotMatch", "CanonicalRequest": changed})
    assert found.cause in CAUSES
    assert (found.cause == "wrong-secret") == (changed == canonical)
    assert TOKEN not in str(found)


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A saved answer and a saved request of a signer that encoded the path twice."""
    sent = sign(mistake=lambda c: c.replace("%", "%25"))
    answer, request = tmp_path / "answer.xml", tmp_path / "request.http"
    answer.write_text(xml(refusal(sent)))
    request.write_text(raw_request(sent))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEYS[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEYS[1])
    return answer, request


def command(*arguments: str) -> Any:
    testing = pytest.importorskip("click.testing")
    pytest.importorskip("rich")
    from s3accel.cli.explain import explain_command

    return testing.CliRunner().invoke(explain_command, arguments)


def test_command(saved: tuple[Path, Path]) -> None:
    answer, request = map(str, saved)
    shown = command(answer, "--request", request)
    assert shown.exit_code == 0
    assert shown.output.startswith("path-double-encoding (reproduced): ")
    assert "Remedy: " in shown.output
    assert WHO.secret_access_key not in shown.output
    told = json.loads(command(answer, "--request", request, "--json").output)
    assert (told["cause"], told["confidence"]) == ("path-double-encoding", "reproduced")
    blind = command(answer, "--request", request, "--no-credentials")
    assert blind.output.startswith("wrong-secret (likely)")


def test_command_with_a_url(saved: tuple[Path, Path]) -> None:
    answer = str(saved[0])
    lines = [line for line in saved[1].read_text().splitlines()[1:] if line]
    headers = [item for line in lines for item in ("--header", line)]
    url = f"https://{HOST}{sign().target}"
    shown = command(answer, "--url", url, "--method", "PUT", *headers)
    assert shown.output.startswith("path-double-encoding (reproduced)")


def test_command_that_cannot(saved: tuple[Path, Path], tmp_path: Path) -> None:
    answer, request = map(str, saved)
    url = f"https://{HOST}/k"
    assert command(answer, "--url", url, "--request", request).exit_code == 2
    assert command(answer, "--header", "Host: x").exit_code == 2
    bad = command(answer, "--url", url, "--header", "half-of-a-secret")
    assert bad.exit_code == 2
    assert "half-of-a-secret" not in bad.output
    assert isinstance(command(request).exception, ConfigError)  # a request is no answer
    terse = tmp_path / "terse.xml"
    terse.write_text("<Error><Code>SignatureDoesNotMatch</Code></Error>")
    assert command(str(terse), "--no-credentials").exit_code == 1


def test_command_is_part_of_the_tool(saved: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("click")
    pytest.importorskip("rich")
    assert main(["explain", str(saved[0]), "--request", str(saved[1])]) == 0
    assert capsys.readouterr().out.startswith("path-double-encoding (reproduced)")


def test_every_cause_has_a_remedy_a_test_and_a_line_in_the_guide() -> None:
    root = Path(__file__).parents[2]
    source = "".join(path.read_text() for path in (root / "python" / "s3accel").glob("*explain*.py"))
    used = set(re.findall(r'(?:Finding|Mistake|Hit|finding)\(\s*"([a-z0-9-]+)"', source))
    used |= set(re.findall(r'yield \(?\s*"([a-z0-9-]+)"', source)) | set(
        re.findall(r'cause = "([a-z0-9-]+)"', source)
    )
    assert used <= CAUSES
    guide = (root / "docs" / "guide-explain.md").read_text()
    assert {cause for cause in CAUSES if f"`{cause}`" not in guide} == set()
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_explain*.py"))
    assert {cause for cause in CAUSES if f'"{cause}"' not in tests} == set()
