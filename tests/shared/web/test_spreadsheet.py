"""Tables for spreadsheets: what would be run is text, whoever wrote it."""

from __future__ import annotations

import csv
import io

import pytest

from shared.web.spreadsheet import csv_lines


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1+1"])
def test_a_text_that_would_be_run_stands_behind_a_mark(text: str) -> None:
    assert next(csv.reader(io.StringIO(csv_lines([[text]]), newline=""))) == [f"'{text}"]


def test_numbers_stay_numbers_and_nothing_is_empty() -> None:
    assert csv_lines([["part", "score"], [-3, None], ["a, b", 0.5]]) == (
        'part,score\r\n-3,\r\n"a, b",0.5\r\n'
    )
