"""Tables for people: nothing that they look for is broken or cut, however narrow the terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from fleet.identity.cli import for_people
from shared.console import tabulated

WORDS = st.text("abcdefgh[]/-", min_size=1, max_size=18)
CELLS = st.one_of(st.lists(WORDS, max_size=9).map(" ".join), st.integers(0, 10**6), st.none())
KEYS = ("name", "b_c", "d", "e")
DEVICE = {
    "site": "plant-a",
    "line": "line-1",
    "device": "box-1",
    "state": "offline",
    "boot": "20261129T0012-374ea4bb",
    "at": 1.79e9,
    "seen_at": 1.79e9,
    "bundle": "elpv 1.2.0 (374ea4bb)",
    "runtime": "openvino CPU",
    "camera": "ok",
    "inspected": 123456,
    "waiting": 3,
    "problems": ["actuator: no answer", "the disk is full"],
    "identity": "held",
    "reason": "the forklift took it",
    "serial": "ab" * 16,
    "days_left": 77.31,
    "renewed_at": 1.78e9,
}


def printed(title: str, rows: list[dict[str, object]], width: int) -> list[str]:
    console = Console(width=width)
    with console.capture() as captured:
        console.print(tabulated(title, rows, width))
    return captured.get().splitlines()


@given(
    st.lists(
        st.tuples(*[CELLS] * 4).map(lambda row: dict(zip(KEYS, row, strict=True))), min_size=1
    ),
    st.integers(60, 200),
)
def test_every_word_of_every_cell_is_shown_whole_and_within_the_width(
    rows: list[dict[str, object]], width: int
) -> None:
    lines = printed("things", rows, width)
    assert all(len(line) <= width for line in lines)
    shown = {word for line in lines for word in line.split()}
    assert {word for row in rows for cell in row.values() for word in str(cell).split()} <= shown
    # A block is headed by its first cell, whose name says nothing more.
    assert {"b", "c", "d", "e"} <= shown


@pytest.mark.parametrize("width", [80, 120, 200])
def test_a_fleets_devices_can_be_read(width: int) -> None:
    rows = [for_people({**DEVICE, "device": f"box-{number}"}) for number in range(3)]
    lines = printed("devices", rows, width)
    text = "\n".join(lines)
    assert all(f"plant-a/line-1/box-{number}" in text for number in range(3))
    assert all(len(line) <= width for line in lines)
    # At most a screen for four devices.
    assert len(lines) <= 24


def test_a_device_that_never_spoke_and_one_without_a_fleet_are_told_in_words() -> None:
    named = {"site": "p", "line": "l", "device": "d"}
    blank = dict.fromkeys(DEVICE, "") | named
    silent = blank | {"identity": "active", "reason": "", "days_left": 12.4}
    assert for_people(silent)["state"] == "never seen"
    assert for_people(silent)["identity"] == "active, 12 days left"
    assert for_people(named | {"state": "online"})["identity"] == ""
    assert for_people(DEVICE)["state"] == "offline since 2026-09-21 14:13 UTC"
    assert for_people(DEVICE)["identity"] == "held: the forklift took it"
