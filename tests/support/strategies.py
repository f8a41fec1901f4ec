"""Generated requests: strange keys, duplicate and empty query names, white space in headers, session tokens.

What is left out, and why, is written at each place: those are the points where the witnesses are known to
disagree with each other or with S3, so that no answer could be called right. Nothing else is filtered.
"""

from __future__ import annotations

import string
from dataclasses import dataclass, field

from hypothesis import strategies as st

from . import reference

METHODS = ("GET", "PUT", "POST", "DELETE", "HEAD", "PATCH", "OPTIONS")
HOSTS = (
    "bucket.s3-accelerate.amazonaws.com",
    "s3.eu-central-1.amazonaws.com",
    "Bucket.S3.Example.COM",
    "localhost:9000",
    "127.0.0.1:8443",
    "[::1]:9000",
    "example.com:443",
    "example.com:80",
)
REGIONS = ("us-east-1", "eu-central-1", "ap-northeast-1", "us-gov-west-1")
# Signed by every rule there is.
RECOMMENDED_NAMES = ("Content-Type", "content-md5", "Range", "x-amz-acl", "X-Amz-Meta-Title", "x-amz-tagging")
# Signed by the witnesses; our Signer leaves them alone, the canonical stage takes them when told to.
ORDINARY_NAMES = ("Cache-Control", "If-Match", "content-length", "Content-Disposition", "x-custom")
# Never signed by us. `expect`, `user-agent`, … are on everybody's list; awscrt does sign `connection`, `te`,
# `trailer`, `keep-alive` and `proxy-*`, so it is only shown names from the lists above.
NEVER_SIGNED_NAMES = ("Expect", "User-Agent", "Connection", "TE", "Transfer-Encoding", "X-Amzn-Trace-Id")

# Visible ASCII, space and tab, and some letters outside ASCII. Left out: other white space (NBSP,
# vertical tab, U+2003, …), which botocore's str.split() removes while S3 and awscrt keep it; and control
# characters, which no HTTP message may carry.
VALUE_ALPHABET = string.ascii_letters + string.digits + "  \t\t" + '"\\,;:=+/%()<>@*~!#$&' + "éß日本"
KEY_ALPHABET = st.one_of(
    st.sampled_from("/.~-_+ %&=?#@:;,!*'()[]{}<>|\\^`\"$\t"),
    st.sampled_from(string.ascii_letters + string.digits),
    st.characters(exclude_categories=("Cs",)),
)
KEYS = st.one_of(
    st.text(KEY_ALPHABET, max_size=24),
    st.lists(
        st.sampled_from(["", ".", "..", "a", "b c", "%2F", "%2e", "c+d", "e~f", "é", "e\u0301", "*"]),
        max_size=6,
    ).map("/".join),
)
QUERY_NAMES = st.one_of(
    st.sampled_from(["acl", "uploads", "partNumber", "uploadId", "prefix", "a", "a-b", "a.b", "A", "aa", ""]),
    st.text(KEY_ALPHABET, max_size=6),
)
QUERY_VALUES = st.one_of(st.none(), st.just(""), st.text(KEY_ALPHABET, max_size=10))


@st.composite
def queries(draw: st.DrawFn) -> str:
    """A wire query in canonical encoding.

    botocore signs the text of a query as it stands, awscrt decodes and encodes it: only text that is encoded
    canonically means the same to both (a raw ``+`` means three things to three signers). Nameless valueless
    segments (``a&&b``) are left out: botocore signs ``=`` for them, S3 and awscrt nothing.
    """
    pairs = draw(st.lists(st.tuples(QUERY_NAMES, QUERY_VALUES), max_size=5))
    if pairs and draw(st.booleans()):
        pairs.append((pairs[0][0], draw(QUERY_VALUES)))
    segments = []
    for name, value in pairs:
        if value is None:
            if name:
                segments.append(reference.encode(name))
        else:
            segments.append(f"{reference.encode(name)}={reference.encode(value)}")
    return "&".join(segments)


def header_lists(names: tuple[str, ...]) -> st.SearchStrategy[list[tuple[str, str]]]:
    """Headers with repeated names and white space at the ends and inside, also inside quotes."""
    values = st.text(VALUE_ALPHABET, max_size=20)
    return st.lists(st.tuples(st.sampled_from(names), values), max_size=6)


@dataclass(frozen=True)
class Case:
    who: reference.Identity
    token: str | None
    method: str
    scheme: str
    host: str
    path: str
    query: str
    body: bytes | None  # None stands for UNSIGNED-PAYLOAD
    headers: list[tuple[str, str]] = field(default_factory=list)

    @property
    def target(self) -> str:
        return self.path + (f"?{self.query}" if self.query else "")

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}{self.target}"

    @property
    def host_header(self) -> str:
        """Lower case, and no port if it is the scheme's own."""
        default = {"https": ":443", "http": ":80"}[self.scheme]
        return self.host.lower().removesuffix(default)


TIMES = st.integers(946684800, 4102444799).map(reference.timestamp_of)  # 2000 to 2099
SECRETS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=80)
ACCESS_KEYS = st.text(string.ascii_uppercase + string.digits, min_size=16, max_size=20)
TOKENS = st.one_of(st.none(), st.text(string.ascii_letters + string.digits + "+/=", min_size=1, max_size=200))


@st.composite
def cases(
    draw: st.DrawFn, names: tuple[str, ...], services: tuple[str, ...] = ("s3",), unsigned: bool = True
) -> Case:
    who = reference.Identity(
        draw(ACCESS_KEYS),
        draw(SECRETS),
        draw(TIMES),
        draw(st.sampled_from(REGIONS)),
        draw(st.sampled_from(services)),
    )
    body = draw(st.binary(max_size=80))
    scheme = draw(st.sampled_from(["https", "https", "http"]))
    # UNSIGNED-PAYLOAD without TLS is refused by botocore and by us alike.
    return Case(
        who=who,
        token=draw(TOKENS),
        method=draw(st.sampled_from(METHODS)),
        scheme=scheme,
        host=draw(st.sampled_from(HOSTS)),
        path="/" + reference.encode(draw(KEYS), safe="/"),
        query=draw(queries()),
        body=None if unsigned and scheme == "https" and draw(st.booleans()) else body,
        headers=draw(header_lists(names)),
    )
