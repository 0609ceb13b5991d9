"""The table of runs: the best first, and only what tells runs apart."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from cloud.experiments.run_table import RunRow, facts_of, sorted_by, table_of
from shared.console import tabulated
from shared.errors import SettingsError

ROW = RunRow(
    id="0123456789abcdef" * 2,
    name="caps 1.0.0",
    began=1.8e9,
    state="finished",
    options={"rate": "0.004", "architecture.height": "224", "seed": "0"},
    data={"name": "caps", "hash": "ab" * 32, "parts": "50"},
    metrics={"seconds": 12.0},
    edge_auroc=0.9,
    system_auroc=0.95,
    kilobytes=3.25,
    bundle="b" * 16,
    pair="p" * 16,
    splitsight="0.1.0",
    revision="",
)


def test_only_options_that_differ_are_shown() -> None:
    other = replace(ROW, id="f" * 32, options={**ROW.options, "rate": "0.001"}, state="killed")
    first, second = table_of([ROW, other])
    assert (first["differs"], second["differs"]) == ("rate 0.004", "rate 0.001")
    assert (first["name"], second["name"]) == ("caps 1.0.0", "caps 1.0.0 (killed)")
    assert first["kB"] == "3.2"
    assert table_of([ROW])[0]["differs"] == "–"


@pytest.mark.parametrize(
    ("version", "told"),
    [
        ("", f"caps {'ab' * 4}"),
        ("30d4a8aeb56c2acc", "caps 30d4a8ae"),
        ("30d4a8aeb56c2acc-changed", "caps 30d4a8ae-changed"),
    ],
)
def test_the_version_of_the_data_is_told_where_one_was_recorded(version: str, told: str) -> None:
    (row,) = table_of([replace(ROW, data={**ROW.data, "version": version})])
    assert row["data"] == told


@given(st.lists(st.one_of(st.none(), st.floats(0.5, 1.0)), min_size=1, max_size=12))
def test_runs_without_a_figure_come_last_and_the_best_first(figures: list[float | None]) -> None:
    rows = [replace(ROW, id=str(n), system_auroc=value) for n, value in enumerate(figures)]
    known = sorted((value for value in figures if value is not None), reverse=True)
    if not known:
        with pytest.raises(SettingsError, match="no run has 'system_auroc'"):
            sorted_by(rows, "system_auroc")
        return
    found = [row.system_auroc for row in sorted_by(rows, "system_auroc")]
    assert found == known + [None] * (len(figures) - len(known))


def test_a_figure_that_is_no_number_comes_last() -> None:
    rows = [replace(ROW, id=str(n), system_auroc=n) for n in (math.nan, 0.7, 0.9)]
    assert [row.id for row in sorted_by(rows, "system_auroc")] == ["0.9", "0.7", "nan"]


def test_fewer_kilobytes_are_better() -> None:
    rows = [replace(ROW, id=str(kb), kilobytes=kb) for kb in (5.0, 2.0, 9.0)]
    assert [row.kilobytes for row in sorted_by(rows, "kilobytes")] == [2.0, 5.0, 9.0]


@pytest.mark.parametrize("rows", [table_of([ROW]), facts_of(ROW)])
def test_runs_can_be_read_at_80_columns(rows: list[dict[str, object]]) -> None:
    console = Console(width=80)
    with console.capture() as captured:
        console.print(tabulated("runs", rows, 80))
    shown = captured.get()
    assert max(map(len, shown.splitlines())) <= 80
    assert "b" * 16 in shown
