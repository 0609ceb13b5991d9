"""No label replaces another: what was said, what stands, and what is taken back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cloud.accounts.audit import AuditLog
from cloud.labels.history import LabelHistory, Said
from cloud.records.database import Database
from cloud.records.queries import Records
from cloud.records.store import RecordStore
from shared.clock import ManualClock
from shared.contracts import InspectionKey, PlainVerdict
from shared.errors import AccessRefused, SettingsError
from shared.web.access import Caller
from tests.cloud.makers import NOON, inspection, tail


class Desk:
    """Inspectors at one database, in which three parts wait and one has gone."""

    def __init__(self, database: Database) -> None:
        self.clock = ManualClock(utc=NOON + 100)
        self.audit = AuditLog(database, self.clock)
        self.history = LabelHistory(database, self.clock, self.audit)
        self.records = Records(database)
        waits = {"decision": "escalate", "verdict": "review", "decided_by": "cloud"}
        rows = [*(inspection(n, **waits) for n in (1, 2, 3)), inspection(4)]
        RecordStore(database).save(rows, [tail(n, verdict="review") for n in (1, 2, 3)])

    def say(
        self, sequence: int, inspector: str, verdict: PlainVerdict = "reject", **more: Any
    ) -> Any:
        self.clock.advance(1)
        key = InspectionKey("box-1", "b1", sequence)
        kind = "crack" if verdict == "reject" else None
        said = Said(key, "plant", "line-1", verdict, kind, inspector, **more)
        return self.history.say([said], Caller(inspector, "inspector"))[0]

    def take_back(self, number: int, by: str, *, anybodys: bool = False) -> Any:
        self.clock.advance(1)
        caller = Caller(by, "inspector")
        return self.history.take_back([number], caller, by, anybodys=anybodys)[0]

    def stands(self, sequence: int = 1) -> tuple[Any, ...]:
        view = self.records.inspection(InspectionKey("box-1", "b1", sequence))
        assert view is not None
        label = (view.label.verdict, view.label.inspector) if view.label else None
        return view.verdict, view.decided_by, label

    def entries(self, sequence: int = 1) -> list[tuple[str, str, bool]]:
        found = self.history.of(InspectionKey("box-1", "b1", sequence))
        return [(one.inspector, one.verdict, one.stands) for one in found]


@pytest.fixture
def desk(every_database: Database) -> Desk:
    return Desk(every_database)


def test_a_later_label_stands_and_the_earlier_one_is_kept(desk: Desk) -> None:
    desk.say(1, "ada", "pass")
    desk.say(1, "meyer", "reject", why="a crack at the edge")
    assert desk.stands() == ("reject", "inspector", ("reject", "meyer"))
    assert desk.entries() == [("meyer", "reject", True), ("ada", "pass", False)]
    newest = desk.audit.newest(1)[0]
    assert (newest.who, newest.before) == (
        "meyer",
        {"verdict": "pass", "kind": None, "inspector": "ada"},
    )
    assert newest.after == {
        "verdict": "reject",
        "kind": "crack",
        "inspector": "meyer",
        "why": "a crack at the edge",
        "stands": True,
    }


def test_who_has_not_seen_the_first_label_is_told_and_both_are_kept(desk: Desk) -> None:
    desk.say(1, "ada", "pass", seen=0)
    second = desk.say(1, "meyer", "reject", seen=0)
    assert [(one.inspector, one.verdict) for one in second.met] == [("ada", "pass")]
    assert second.split
    assert desk.stands() == ("pass", "inspector", ("pass", "ada"))
    third = desk.say(1, "li", "reject", seen=0)
    assert not third.split
    assert desk.stands() == ("reject", "inspector", ("reject", "meyer"))
    assert len(desk.entries()) == 3


def test_what_is_taken_back_gives_way_to_what_was_said_before(desk: Desk) -> None:
    desk.say(1, "ada", "pass")
    second = desk.say(1, "ada", "reject")
    desk.take_back(second.number, "ada")
    assert desk.stands() == ("pass", "inspector", ("pass", "ada"))
    assert desk.entries() == [("ada", "reject", False), ("ada", "pass", True)]
    newest = desk.audit.newest(1)[0]
    assert (newest.what, newest.before, newest.after) == (
        "label undo",
        {"verdict": "reject", "kind": "crack", "inspector": "ada"},
        {"verdict": "pass", "kind": None, "inspector": "ada"},
    )


@pytest.mark.parametrize(("sequence", "left"), [(1, ("review", "cloud")), (4, ("pass", "edge"))])
def test_a_part_whose_only_label_is_taken_back_is_as_the_line_left_it(
    desk: Desk, sequence: int, left: tuple[str, str]
) -> None:
    said = desk.say(sequence, "ada")
    desk.take_back(said.number, "ada")
    assert desk.stands(sequence) == (*left, None)
    # Once more changes nothing, and is not written down a second time.
    written = desk.audit.newest(1)[0].number
    desk.take_back(said.number, "ada")
    assert desk.audit.newest(1)[0].number == written
    desk.say(sequence, "ada", "pass")
    assert desk.stands(sequence)[2] == ("pass", "ada")


def test_nobody_takes_back_what_another_said_unless_they_may(desk: Desk) -> None:
    said = desk.say(1, "ada")
    with pytest.raises(AccessRefused, match="ada's"):
        desk.take_back(said.number, "meyer")
    assert desk.stands()[2] == ("reject", "ada")
    desk.take_back(said.number, "meyer", anybodys=True)
    assert desk.stands()[2] is None
    with pytest.raises(SettingsError, match="no label 99"):
        desk.take_back(99, "meyer")


def test_labels_that_are_said_at_the_same_moment_are_all_kept_and_one_stands(desk: Desk) -> None:
    inspectors = ["ada", "meyer", "li", "kim", "noor"]
    with ThreadPoolExecutor(len(inspectors)) as pool:
        key = InspectionKey("box-1", "b1", 1)
        said = [
            Said(
                key,
                "plant",
                "line-1",
                "pass" if who in "ada li kim" else "reject",
                None,
                who,
                seen=0,
            )
            for who in inspectors
        ]
        outcomes = list(
            pool.map(lambda one: desk.history.say([one], Caller(one.inspector, "inspector")), said)
        )
    assert sorted(len(one[0].met) for one in outcomes) == [0, 1, 2, 3, 4]
    assert desk.stands()[2][0] == "pass"
    assert [stands for _, _, stands in desk.entries()].count(True) == 1
