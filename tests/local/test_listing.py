"""Paging against the plainest description of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from s3accel.local.listing import page

keys = st.lists(st.text("ab/\U0010ffff", min_size=1, max_size=5), max_size=25, unique=True).map(sorted)


def everything(names: list[str], prefix: str, delimiter: str) -> tuple[list[str], list[str]]:
    contents, prefixes = [], []
    for name in names:
        if name.startswith(prefix):
            cut = name.find(delimiter, len(prefix)) if delimiter else -1
            if cut < 0:
                contents.append(name)
            elif name[: cut + len(delimiter)] not in prefixes:
                prefixes.append(name[: cut + len(delimiter)])
    return contents, prefixes


@given(keys, st.text("ab/", max_size=2), st.sampled_from(["", "/", "b", "a/"]), st.integers(1, 7))
def test_pages_join_to_the_whole_list(names: list[str], prefix: str, delimiter: str, limit: int) -> None:
    contents: list[str] = []
    prefixes: list[str] = []
    after = ""
    while True:
        found = page(names, prefix=prefix, delimiter=delimiter, after=after, limit=limit)
        assert found.count <= limit
        contents += found.keys
        prefixes += found.prefixes
        if found.next_after is None:
            break
        assert found.count == limit
        after = found.next_after
    assert (contents, prefixes) == everything(names, prefix, delimiter)


def test_code_point_order_is_utf8_order() -> None:
    names = ["\ud7ff", "\ue000", "\uffff", "\U00010000", "\U0010ffff", "z"]
    assert sorted(names) == sorted(names, key=lambda name: name.encode("utf-8"))


def test_nothing_is_asked_for() -> None:
    assert page(["a"], limit=0).count == 0
    assert page(["a"], limit=0).next_after is None


def test_start_after() -> None:
    assert page(["a", "b", "c"], after="b").keys == ["c"]
    assert page(["a/1", "a/2", "b"], after="a/", delimiter="/").keys == ["b"]
    assert page(["a/1", "a/2", "b"], after="a/1", delimiter="").keys == ["a/2", "b"]
