"""No byte of a request escapes the signature: one battery of attacks over every scheme of signing.

Each attack begins with a request that is accepted and changes something that a server would act on. It must be refused,
with one of S3's errors and never another exception, and by SigV4 and SigV4a alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from s3accel import Credentials, Signer, Verifier
from s3accel.errors import VerificationError
from s3accel.postpolicy import PostPolicy
from s3accel.sigv4a import SignerV4a

pytest.importorskip("cryptography", reason="SigV4a needs cryptography")

NOW = 1767268800.0
HOST = "b.example.com"
CREDENTIALS = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
TEMPORARY = Credentials("ASIAEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "token/+=")
KNOWN = {c.access_key_id: c for c in (CREDENTIALS, TEMPORARY)}
#: Signed in the header forms, and of the kind that a server acts on.
EXTRA = {"x-amz-meta-a": "one two", "content-type": "text/plain"}


@dataclass(frozen=True)
class Request:
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]

    @property
    def query(self) -> bool:
        return "X-Amz-Signature" in self.target

    def header(self, name: str) -> str:
        return next(value for n, value in self.headers if n.lower() == name)

    def with_header(self, name: str, change: Callable[[str], str]) -> Request:
        return replace(
            self, headers=tuple((n, change(v) if n.lower() == name else v) for n, v in self.headers)
        )

    def plus(self, name: str, value: str) -> Request:
        return replace(self, headers=(*self.headers, (name, value)))

    def without(self, name: str) -> Request:
        return replace(self, headers=tuple(h for h in self.headers if h[0].lower() != name))

    def retarget(self, old: str, new: str) -> Request:
        assert old in self.target
        return replace(self, target=self.target.replace(old, new, 1))

    def reauth(self, old: str, new: str) -> Request:
        """Changes a field of the authentication, in whichever place this request has it."""
        if self.query:
            return self.retarget(old.replace("; ", ";").replace(";", "%3B"), new.replace(";", "%3B"))
        assert old in self.header("authorization")
        return self.with_header("authorization", lambda v: v.replace(old, new, 1))


def make(scheme: str) -> Request:
    version, form, *token = scheme.split("-")
    credentials = TEMPORARY if token else CREDENTIALS
    signer: Signer | SignerV4a
    if version == "v4a":
        signer = SignerV4a(credentials, "*", clock=lambda: NOW)
    else:
        signer = Signer(credentials, "us-east-1", clock=lambda: NOW)
    url = f"https://{HOST}/dir/report.txt?versionId=7&x=a%20b"
    if form == "query":
        signed = signer.presign("PUT", url, 600, EXTRA)
        headers = {"Host": HOST, **EXTRA}
        return Request("PUT", signed[len(f"https://{HOST}") :], tuple(headers.items()))
    headers = {"Host": HOST, **EXTRA}
    if form == "stream":
        stream = signer.stream("PUT", url, EXTRA, 70_000, checksum="crc32")
        headers |= stream.headers
        headers.pop("Content-Length")
    else:
        headers |= signer.sign("PUT", url, EXTRA, b"body")
    return Request("PUT", url[len(f"https://{HOST}") :], tuple(headers.items()))


SCHEMES = [
    "v4-header",
    "v4-header-token",
    "v4-query",
    "v4-query-token",
    "v4-stream",
    "v4a-header",
    "v4a-header-token",
    "v4a-query",
    "v4a-query-token",
    "v4a-stream",
]


def signature(request: Request) -> str:
    text = request.target if request.query else request.header("authorization")
    return text.rpartition("Signature=")[2].partition("&")[0]


def names(request: Request) -> str:
    if request.query:
        return request.target.partition("X-Amz-SignedHeaders=")[2].partition("&")[0].replace("%3B", ";")
    return request.header("authorization").partition("SignedHeaders=")[2].partition(",")[0]


def relist(request: Request, listed: str) -> Request:
    return request.reauth("SignedHeaders=" + names(request), "SignedHeaders=" + listed)


def resign(request: Request, text: str) -> Request:
    return request.reauth("Signature=" + signature(request), "Signature=" + text)


ATTACKS: dict[str, Callable[[Request], Request]] = {
    # what comes behind a '#', and other ends of the target
    "path hash": lambda r: r.retarget("report.txt", "report.txt#evil"),
    "path hash before the query": lambda r: r.retarget("report.txt?", "report.txt#x?"),
    "query hash": lambda r: replace(r, target=r.target + "#evil"),
    "query hash and parameters": lambda r: replace(r, target=r.target + "&#&uploadId=X&partNumber=1"),
    "encoded hash": lambda r: r.retarget("report.txt", "report.txt%23evil"),
    "second question mark": lambda r: replace(r, target=r.target + "?acl"),
    "parameter behind": lambda r: replace(r, target=r.target + "&acl"),
    "parameter before": lambda r: r.retarget("?", "?acl&"),
    "parameter taken away": lambda r: r.retarget("versionId=7&", ""),
    "parameter changed": lambda r: r.retarget("versionId=7", "versionId=8"),
    "parameter in other case": lambda r: r.retarget("versionId", "VersionId"),
    "parameter twice": lambda r: r.retarget("versionId=7", "versionId=7&versionId=7"),
    "semicolon": lambda r: r.retarget("versionId=7&", "versionId=7;"),
    "plus for what was a plus": lambda r: r.retarget("a%20b", "a%2Bb"),
    "other path": lambda r: r.retarget("report", "repor"),
    "dot segment": lambda r: r.retarget("/dir/", "/dir/../dir/"),
    "empty segment": lambda r: r.retarget("/dir/", "//dir/"),
    "trailing slash": lambda r: r.retarget("report.txt?", "report.txt/?"),
    "encoded slash": lambda r: r.retarget("dir/", "dir%5C"),
    "double encoding": lambda r: r.retarget("report", "%2572eport"),
    "NUL": lambda r: r.retarget("report.txt", "report.txt%00"),
    "raw NUL": lambda r: r.retarget("report.txt", "report.txt\0"),
    "raw space": lambda r: r.retarget("report.txt", "report.txt x"),
    "line break in the target": lambda r: r.retarget("report.txt", "report.txt\nhost:evil"),
    "tab in the target": lambda r: r.retarget("report.txt", "report.txt\t"),
    "no leading slash": lambda r: replace(r, target=r.target[1:]),
    "empty target": lambda r: replace(r, target=""),
    "asterisk": lambda r: replace(r, target="*"),
    # absolute forms
    "other authority": lambda r: replace(r, target="https://evil.example.com" + r.target),
    "authority with user": lambda r: replace(r, target=f"https://evil@{HOST}" + r.target),
    "authority with port": lambda r: replace(r, target=f"https://{HOST}:8443" + r.target),
    "no authority": lambda r: replace(r, target="https://" + r.target),
    "authority as a prefix": lambda r: replace(r, target=f"https://{HOST}.evil.com" + r.target),
    "other scheme": lambda r: replace(r, target=f"foo://{HOST}" + r.target),
    "file scheme": lambda r: replace(r, target="file://" + r.target),
    "scheme without slashes": lambda r: replace(r, target="https:" + r.target),
    "path-absolute authority": lambda r: replace(r, target=f"//{HOST}" + r.target),
    # method
    "other method": lambda r: replace(r, method="DELETE"),
    "lower-case method": lambda r: replace(r, method="put"),
    "empty method": lambda r: replace(r, method=""),
    "method with a line break": lambda r: replace(r, method="PUT\n/dir/report.txt"),
    "method with a space": lambda r: replace(r, method="PUT "),
    "method beyond ASCII": lambda r: replace(r, method="PU\u0442"),
    # headers
    "host changed": lambda r: r.with_header("host", lambda v: "evil." + v),
    "host with a port": lambda r: r.with_header("host", lambda v: v + ":8443"),
    "second host": lambda r: r.plus("Host", "evil.example.com"),
    "no host": lambda r: r.without("host"),
    "signed header changed": lambda r: r.with_header("x-amz-meta-a", lambda v: v + "!"),
    "signed header in other case": lambda r: r.with_header("x-amz-meta-a", str.upper),
    "signed header taken away": lambda r: r.without("x-amz-meta-a"),
    "signed header twice": lambda r: r.plus("X-Amz-Meta-A", "three"),
    "signed header emptied": lambda r: r.with_header("x-amz-meta-a", lambda v: ""),
    "content type changed": lambda r: r.with_header("content-type", lambda v: "text/html"),
    "unsigned x-amz header": lambda r: r.plus("x-amz-acl", "public-read"),
    "unsigned x-amz header, upper case": lambda r: r.plus("X-AMZ-ACL", "public-read"),
    "header with a line break": lambda r: r.with_header("x-amz-meta-a", lambda v: v + "\nx-amz-acl:public-read"),
    "header name with a line break": lambda r: r.plus("a\nx-amz-acl", "public-read"),
    # SignedHeaders
    "host not listed": lambda r: relist(r, ";".join(n for n in names(r).split(";") if n != "host")),
    "header not listed": lambda r: relist(r, ";".join(n for n in names(r).split(";") if n != "x-amz-meta-a")),
    "list in upper case": lambda r: relist(r, names(r).upper()),
    "name that is not there": lambda r: relist(r, names(r) + ";zebra"),
    "empty list": lambda r: relist(r, ""),
    "list with a space": lambda r: relist(r, names(r).replace(";", "; ", 1)),
    "many names": lambda r: relist(r, names(r) + ";" + ";".join(f"y{i}" for i in range(300))),
    # the signature and its claims
    "signature changed": lambda r: resign(r, ("0" if signature(r)[-1] != "0" else "1").join([signature(r)[:-1], ""])),
    "signature in upper case": lambda r: resign(r, signature(r).upper()),
    "signature cut": lambda r: resign(r, signature(r)[:-2]),
    "signature longer": lambda r: resign(r, signature(r) + "00"),
    "empty signature": lambda r: resign(r, ""),
    "another key": lambda r: r.reauth("EXAMPLE/" if not r.query else "EXAMPLE%2F", "OTHER/" if not r.query else "OTHER%2F"),
    "another day": lambda r: r.reauth("20260101", "20260102"),
    "another service": lambda r: r.reauth("/s3/" if not r.query else "%2Fs3%2F", "/ec2/" if not r.query else "%2Fec2%2F"),
    "another algorithm": lambda r: r.reauth("AWS4-", "AWS5-"),
    "another mechanism beside": lambda r: (
        r.plus("Authorization", "AWS AKIDEXAMPLE:abc")
        if r.query
        else replace(r, target=r.target + "&X-Amz-Signature=" + "0" * 64)
    ),
}  # fmt: skip
HEADER_ONLY: dict[str, Callable[[Request], Request]] = {
    "content hash swapped": lambda r: r.without("x-amz-content-sha256").plus(
        "x-amz-content-sha256", "UNSIGNED-PAYLOAD"
    ),
    "second authorization": lambda r: r.plus("Authorization", r.header("authorization")),
    "date changed": lambda r: r.with_header("x-amz-date", lambda v: v.replace("120000", "120001")),
    "second date": lambda r: r.plus("x-amz-date", "20260101T120001Z"),
    "no date": lambda r: r.without("x-amz-date"),
    "content hash changed": lambda r: r.with_header("x-amz-content-sha256", lambda v: "UNSIGNED-PAYLOAD"),
    "second content hash": lambda r: r.plus("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
    "no content hash": lambda r: r.without("x-amz-content-sha256"),
    "signature twice": lambda r: r.with_header("authorization", lambda v: v + ", Signature=" + "0" * 64),
    "unknown part": lambda r: r.with_header("authorization", lambda v: v + ", Region=x"),
}
QUERY_ONLY: dict[str, Callable[[Request], Request]] = {
    # In a header the list is as good in any order, since every name in it is covered; in a query its text is signed.
    "list reversed": lambda r: relist(r, ";".join(reversed(names(r).split(";")))),
    "name twice": lambda r: relist(r, names(r) + ";x-amz-meta-a"),
    "empty name": lambda r: relist(r, names(r) + ";"),
    "longer life": lambda r: r.retarget("X-Amz-Expires=600", "X-Amz-Expires=601"),
    "endless life": lambda r: r.retarget("X-Amz-Expires=600", "X-Amz-Expires=9999999999999999999999"),
    "life twice": lambda r: replace(r, target=r.target + "&X-Amz-Expires=604800"),
    "date changed": lambda r: r.retarget("T120000Z", "T120001Z"),
    "signature twice": lambda r: replace(r, target=r.target + "&X-Amz-Signature=" + "0" * 64),
    "encoded second signature": lambda r: replace(r, target=r.target + "&X-Amz-%53ignature=" + "0" * 64),
    "credential twice": lambda r: replace(r, target=r.target + "&X-Amz-Credential=A%2F20260101%2Fs3"),
    "content hash added": lambda r: replace(r, target=r.target + "&X-Amz-Content-Sha256=UNSIGNED-PAYLOAD"),
    "many parameters": lambda r: replace(r, target=r.target + "&a" * 300),
}
TOKEN_ONLY: dict[str, Callable[[Request], Request]] = {
    "token changed": lambda r: (
        r.retarget("token%2F", "other%2F") if r.query else r.with_header("x-amz-security-token", lambda v: v + "x")
    ),
    "token taken away": lambda r: (
        r.retarget("&X-Amz-Security-Token=", "&X-Amz-Other=") if r.query else r.without("x-amz-security-token")
    ),
}  # fmt: skip


def cases() -> list[tuple[str, str]]:
    made = []
    for scheme in SCHEMES:
        table = {**ATTACKS, **(QUERY_ONLY if "query" in scheme else HEADER_ONLY)}
        if "token" in scheme:
            table |= TOKEN_ONLY
        made += [(scheme, name) for name in table]
    return made


def verify(request: Request) -> None:
    verifier = Verifier(KNOWN.get, clock=lambda: NOW)
    verifier.verify(request.method, request.target, list(request.headers))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_request_itself_is_accepted(scheme: str) -> None:
    request = make(scheme)
    verify(request)
    # The same in words that mean the same: an absolute form, other escapes, folded white space.
    verify(replace(request, target=f"https://{HOST.upper()}:443" + request.target))
    verify(request.retarget("report", "%72eport"))
    verify(request.with_header("x-amz-meta-a", lambda v: f"  {v.replace(' ', '   ')} "))


@pytest.mark.parametrize(("scheme", "attack"), cases())
def test_attack(scheme: str, attack: str) -> None:
    request = make(scheme)
    table = {**ATTACKS, **(QUERY_ONLY if request.query else HEADER_ONLY), **TOKEN_ONLY}
    changed = table[attack](request)
    assert changed != request
    with pytest.raises(VerificationError):
        verify(changed)


@pytest.mark.parametrize("field", ["method", "target", "header value", "header name"])
@pytest.mark.parametrize("text", ["\u0442", "\udcff", chr(0xD800), "\U0001f600"], ids=ascii)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_character_that_no_byte_stands_for(scheme: str, text: str, field: str) -> None:
    request = make(scheme)
    changed = {
        "method": replace(request, method="PUT" + text),
        "target": request.retarget("report", "report" + text),
        "header value": request.with_header("x-amz-meta-a", lambda v: v + text),
        "header name": request.plus("x-" + text, "1"),
    }[field]
    with pytest.raises(VerificationError):
        verify(changed)


def test_the_error_of_a_lookup_stays_what_it_is() -> None:
    def lookup(_: str) -> Credentials:
        raise UnicodeEncodeError("latin-1", "\u0442", 0, 1, "of the lookup")

    request = make("v4-header")
    with pytest.raises(UnicodeEncodeError, match="of the lookup"):
        Verifier(lookup, clock=lambda: NOW).verify(request.method, request.target, list(request.headers))


@pytest.mark.parametrize("text", ["\udcff", chr(0xD800), "\u0442", "\x00"], ids=ascii)
@pytest.mark.parametrize(
    "field",
    ["key", "policy", "x-amz-signature", "x-amz-security-token", "x-amz-credential", "x-amz-date", "acl"],
)
def test_strange_characters_in_a_form(field: str, text: str) -> None:
    policy = PostPolicy("bkt", "user/42/x").field("acl", "private")
    signed = policy.sign(Signer(TEMPORARY, "us-east-1", clock=lambda: NOW))
    verifier = Verifier(KNOWN.get, clock=lambda: NOW)
    verifier.verify_post(list(signed.items()), "bkt")
    changed = [(name, value + text if name == field else value) for name, value in signed.items()]
    with pytest.raises(VerificationError):
        verifier.verify_post(changed, "bkt")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_work_before_anybody_is_known_is_bounded(scheme: str) -> None:
    """What multiplies is limited: names that are signed, parameters, headers. Refused before the key is looked up."""
    request = make(scheme)
    looked: list[str] = []
    verifier = Verifier(looked.append, clock=lambda: NOW)  # type: ignore[arg-type]
    hostile = [
        relist(request, names(request) + ";" + ";".join(f"y{i % 10}" for i in range(8000))),
        replace(request, target=request.target + "&a" * 8000),
        replace(request, headers=request.headers + tuple((f"x-amz-{i}", "v") for i in range(300))),
        replace(request, target=request.target + "&a=" + "%41" * 12_000),
        request.plus("x-amz-meta-long", "v" * 70_000),
    ]
    for changed in hostile:
        with pytest.raises(VerificationError) as caught:
            verifier.verify(changed.method, changed.target, list(changed.headers))
        assert caught.value.code == "RequestHeaderSectionTooLarge"
    assert looked == []
