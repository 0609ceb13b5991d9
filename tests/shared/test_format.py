from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

from shared.format import NONE, date, decimal, iso, milliseconds, number, percent, size, time_of_day
from shared.web.html import environment

NOON = 1_767_268_800.0


@pytest.mark.parametrize("show", [number, decimal, percent, size, milliseconds])
def test_what_is_not_known_is_a_dash(show: object) -> None:
    assert callable(show)
    assert show(None) == NONE


@pytest.mark.parametrize(
    ("shown", "wanted"),
    [
        (number(1234567.4), "1,234,567"),
        (decimal(0.12345), "0.123"),
        (percent(0.1234), "12.3 %"),
        (percent(1, 3), "33.3 %"),
        (percent(0, 7), "0.0 %"),
        (percent(1, 0), NONE),
        (milliseconds(1.25), "1.2 ms"),
        (milliseconds(1234.5), "1,234 ms"),
        (size(0), "0 B"),
        (size(999), "999 B"),
        (size(999.6), "1.0 kB"),
        (size(1234), "1.2 kB"),
        (size(99_949), "99.9 kB"),
        (size(99_950), "100 kB"),
        (size(999_499), "999 kB"),
        (size(999_500), "1.0 MB"),
        (size(50.3e6), "50.3 MB"),
        (size(7e15), "7000 TB"),
        (iso(NOON), "2026-01-01T12:00:00Z"),
        (date(NOON), "2026-01-01 12:00 UTC"),
        (time_of_day(NOON), "12:00:00 UTC"),
    ],
)
def test_figures_read_as_people_write_them(shown: str, wanted: str) -> None:
    assert shown == wanted


@given(st.floats(0, 1e15))
def test_a_size_has_at_most_three_digits_before_the_point_and_is_right(count: float) -> None:
    shown = re.fullmatch(r"(\d{1,3}(?:\.\d)?) ([kMGT]?B)", size(count))
    assert shown is not None or count >= 999.5e12
    if shown is not None:
        unit = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}[shown[2]]
        assert float(shown[1]) * unit == pytest.approx(count, rel=0.051, abs=0.5)


def test_now_is_the_time_of_a_stamp_without_one() -> None:
    before = iso(time.time())
    assert before <= iso() <= iso(time.time() + 1)


def test_a_page_escapes_what_it_is_given_and_refuses_what_it_is_not() -> None:
    page = environment().from_string("{{ name }} has {{ bytes|size }}")
    assert page.render(name="<b>", bytes=1200) == "&lt;b&gt; has 1.2 kB"
    with pytest.raises(UndefinedError, match="name"):
        page.render(bytes=1)
