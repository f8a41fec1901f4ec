"""Dates, user info and clock offsets: RFC 9110, 5.6.7, for the dates; RFC 3986, 3.2.1, for the user info."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from s3accel import _core
from s3accel.clock import Clock, parse_http_date
from s3accel.redact import redact_url

# date -u -d 'Sun, 06 Nov 1994 08:49:37' +%s
EPOCH = 784111777.0


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_dates_do_not_depend_on_where_the_program_runs(zone: str) -> None:
    child = (
        "from s3accel.clock import parse_http_date as p\n"
        "print(*(p('Sun, 06 Nov 1994 08:49:37' + z) for z in (' GMT', '', ' -0000', ' +0000', ' UTC')),"
        " p('Sun, 06 Nov 1994 09:49:37 +0100'), p('1994-11-06T08:49:37Z'), p('1994-11-06T08:49:37.5Z'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", child],
        env={**os.environ, "TZ": zone},
        capture_output=True,
        text=True,
        check=True,
    )
    assert [float(word) for word in done.stdout.split()] == [EPOCH] * 8


@pytest.mark.parametrize("text", ["", "yesterday", "99999", "Sun, 99 Nov 1994 08:49:37 GMT"])
def test_what_is_no_date(text: str) -> None:
    assert parse_http_date(text) is None


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:p@ss@host/k", "https://host/k"),
        ("https://user:p@@@host:9000/k", "https://host:9000/k"),
        ("HTTPS://user@evil@host?x=1", "HTTPS://host?x=1"),
        ("//user:pw@host/k", "//host/k"),
        ("https://u:p@[::1]:9000/k", "https://[::1]:9000/k"),
        ("https://host/user:pw@k", "https://host/user:pw@k"),
        ("https://host/k?a=b@c", "https://host/k?a=b@c"),
        ("https://host/k#a@b", "https://host/k#a@b"),
    ],
)
def test_user_info_is_taken_out_whole(url: str, shown: str) -> None:
    assert redact_url(url) == shown


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e300])
def test_an_offset_that_is_no_number(value: float) -> None:
    before = _core.clock_offset()
    with pytest.raises(ValueError, match="clock offset"):
        _core.set_clock_offset(value)
    assert _core.clock_offset() == before
    clock = Clock(lambda: EPOCH)
    assert not clock.learn(value)
    assert clock.offset == 0.0
