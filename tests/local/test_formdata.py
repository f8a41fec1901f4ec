"""The reader of multipart/form-data: what it takes, in pieces of any size, and what it refuses."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from s3accel.local.formdata import FormReader, boundary_of
from s3accel.local.refusals import Refusal

B = b"----x'y"


def part(name: str, value: bytes, extra: str = "") -> bytes:
    return b'--%s\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n' % (
        B,
        name.encode(),
        extra.encode(),
        value,
    )


def read(body: bytes, *sizes: int) -> tuple[list[tuple[str, str]], str, bytes]:
    reader = FormReader(B)
    out = []
    at = 0
    for size in sizes:
        out.append(reader.feed(body[at : at + size]))
        at += size
    out.append(reader.feed(body[at:]))
    reader.finish()
    return reader.fields, reader.filename, b"".join(out)


def code(body: bytes) -> str:
    with pytest.raises(Refusal) as caught:
        read(body)
    return caught.value.code


END = b"--" + B + b"--\r\n"
FILE = part("file", b"data", '; filename="f"')

# Pieces that are nearly boundaries.
TEETH = [b"\r", b"\n", b"\r\n", b"-", b"--", B[:3], b"\r\n--" + B[:-1], b"\0", b"text"]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(TEETH), max_size=12).map(b"".join),
    st.lists(st.integers(0, 40), max_size=30),
)
@example(b"\r\n--" + B[:-1] + b"\r\n", [1] * 250)
@example(b"", [1] * 250)
def test_pieces_of_any_size(data: bytes, sizes: list[int]) -> None:
    body = part("key", "ä".encode()) + part("Empty", b"") + part("file", data, '; filename="a b"')
    body += part("submit", b"Send") + END
    assert read(body, *sizes) == ([("key", "ä"), ("Empty", "")], "a b", data)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300) | st.lists(st.sampled_from([*TEETH, FILE, END, B, b"--" + B])).map(b"".join))
def test_whatever_comes(body: bytes) -> None:
    """The answer is a form or a refusal, and the same however the bytes arrive."""

    def outcome(*sizes: int) -> object:
        try:
            return read(body, *sizes)
        except Refusal as refusal:
            return refusal.code

    assert outcome() == outcome(*[1] * len(body))


@pytest.mark.parametrize(
    ("disposition", "filename"),
    [
        ('form-data; name="file"; filename="a;b=c.png"', "a;b=c.png"),
        ("form-data;name=file;filename=plain", "plain"),
        ('Form-Data; Name="FILE"; FileName="C:\\dir\\f.png"', "C:\\dir\\f.png"),
        ('form-data; name="file"; filename="say \\"hi\\" \\\\"', 'say "hi" \\'),
        ('form-data; name="file"; filename="%22.png"', "%22.png"),
        ('form-data; name="file"', ""),
    ],
)
def test_names(disposition: str, filename: str) -> None:
    head = f"Content-Type: image/png\r\ncontent-disposition:  {disposition} \r\n".encode()
    body = b"--" + B + b"\r\n" + head + b"\r\ndata\r\n--" + B + b"--"
    assert read(body) == ([], filename, b"data")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"preamble\r\n" + FILE + END,
        b"\r\n" + FILE + END,
        FILE,
        FILE + END[:-3],
        FILE + END + b"epilogue",
        FILE + END + b"\r\n",
        FILE.replace(B, B + b" ") + END,
        FILE.replace(B + b"\r\n", B + b"\n") + END,
        part("file", b"a\r\n--" + B + b"z") + END,
        b"--" + B + b"\r\n\r\ndata\r\n" + END,
        b"--" + B + b"\r\nContent-Type: a/b\r\n\r\ndata\r\n" + END,
        FILE.replace(b"form-data", b"attachment") + END,
        FILE.replace(b"name=", b"nome=", 1) + END,
        FILE.replace(b'filename="f"', b'name="g"') + END,
        FILE.replace(b'filename="f"', b"filename*=utf-8''f") + END,
        FILE.replace(b'filename="f"', b'filename="f') + END,
        FILE.replace(b'filename="f"', b'filename="f" g') + END,
        FILE.replace(b"\r\n\r\n", b"\r\nContent-Disposition: form-data; name=file\r\n\r\n", 1) + END,
        FILE.replace(b"\r\n\r\n", b"\r\n folded\r\n\r\n", 1) + END,
        FILE.replace(b"\r\n\r\n", b"\r\nX: a\nY: b\r\n\r\n", 1) + END,
        FILE.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: base64\r\n\r\n", 1) + END,
        FILE.replace(b"\r\n\r\n", b"\r\nX: " + b"a" * 4096 + b"\r\n\r\n", 1) + END,
        part("key", b"\xff") + FILE + END,
        FILE + part("after", bytes(20_481)) + END,
        FILE + part("a", b"") * 300 + END,
    ],
)
def test_what_is_no_form(body: bytes) -> None:
    assert code(body) == "MalformedPOSTRequest"


@pytest.mark.parametrize(
    "body", [part("a", bytes(20_480)), part("a", bytes(10_240)) * 2, part("a", b"") * 257]
)
def test_too_much_before_the_file(body: bytes) -> None:
    assert code(body + FILE + END) == "MaxPostPreDataLengthExceededError"
    # Refused as soon as it is too much, whatever may follow.
    assert code(body + bytes(100)) == "MaxPostPreDataLengthExceededError"


def test_exactly_enough_before_the_file() -> None:
    assert len(read(part("a", bytes(20_479)) + FILE + END)[0][0][1]) == 20_479


def test_no_file() -> None:
    assert code(part("key", b"k") + END) == "InvalidArgument"


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=----x", b"----x"),
        ('Multipart/Form-Data;charset=utf-8; Boundary="a b\'(),/:=?"', b"a b'(),/:=?"),
        ("multipart/form-data; boundary===15==", b"==15=="),
    ],
)
def test_boundaries(content_type: str, boundary: bytes) -> None:
    assert boundary_of(content_type) == boundary


@pytest.mark.parametrize(
    ("content_type", "refused"),
    [
        (None, "PreconditionFailed"),
        ("application/x-www-form-urlencoded", "PreconditionFailed"),
        ("multipart/mixed; boundary=x", "PreconditionFailed"),
        ("multipart/form-data", "MalformedPOSTRequest"),
        ("multipart/form-data; boundary=", "MalformedPOSTRequest"),
        ('multipart/form-data; boundary="x "', "MalformedPOSTRequest"),
        ("multipart/form-data; boundary=x; boundary=y", "MalformedPOSTRequest"),
        ("multipart/form-data; boundary=" + "x" * 71, "MalformedPOSTRequest"),
        ("multipart/form-data; boundary=ä", "MalformedPOSTRequest"),
        ("multipart/form-data; boundary=x,multipart/form-data; boundary=y", "MalformedPOSTRequest"),
    ],
)
def test_no_boundary(content_type: str | None, refused: str) -> None:
    with pytest.raises(Refusal) as caught:
        boundary_of(content_type)
    assert caught.value.code == refused
