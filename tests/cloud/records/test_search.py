"""Lists of inspections: every filter, both ways, and a bounded search for what is rare."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from cloud.records.database import Database
from cloud.records.queries import Filter, Records
from cloud.records.search import FIRST_STRETCH, MOST_COUNTED
from cloud.records.store import RecordStore
from shared.clock import ManualClock
from tests.cloud.makers import NOON, inspection, label, tail


class Impatient(ManualClock):
    """A clock on which every look takes a second: whatever has a limit is over it at once."""

    def monotonic(self) -> float:
        self.advance(1.0)
        return super().monotonic()


@pytest.fixture
def stocked(every_database: Database) -> Records:
    store = RecordStore(every_database)
    rejected = {"decision": "escalate", "verdict": "reject", "decided_by": "cloud"}
    store.save(
        [
            inspection(1, score=0.1, bundle="tiny 1.0.0"),
            inspection(2, score=0.6, bundle="tiny 1.1.0", **rejected),
            inspection(3, score=0.9, bundle="tiny 1.1.0", **rejected),
            inspection(4, score=None, control="pass", verdict="review", decided_by="edge"),
        ],
        [tail(2, kind="crack", kind_probability=0.9), tail(3, kind="stain", kind_probability=0.8)],
    )
    store.label(label(3, verdict="reject", kind="crack"))
    return Records(every_database)


@pytest.mark.parametrize(
    ("wanted", "parts"),
    [
        ({"kind": "crack"}, [3, 2]),
        ({"kind": "stain"}, []),
        ({"score_from": 0.6}, [3, 2]),
        ({"score_from": 0.5, "score_to": 0.7}, [2]),
        ({"bundle": "tiny 1.1.0", "verdict": "reject"}, [3, 2]),
        ({"control": True}, [4]),
        ({"control": False}, [3, 2, 1]),
        ({"decided_by": "cloud"}, [3, 2]),
        ({"to_review": True}, [4]),
        ({"line": "line-2"}, []),
        ({"reviewed": True}, [3]),
    ],
)
def test_a_filter_finds_and_counts_what_it_names(
    stocked: Records, wanted: dict[str, Any], parts: list[int]
) -> None:
    asked = Filter(**wanted)
    assert [one.part for one in stocked.search(asked, limit=10).inspections] == parts
    count = stocked.count(asked)
    assert (count.count, count.exact) == (len(parts), True)


def emptied(database: Database) -> None:
    with database.begin() as connection:
        connection.execute(text("DELETE FROM inspections"))


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["a", "b"])), max_size=9),
    st.integers(1, 4),
)
@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_pages_forth_and_back_show_each_part_once_in_one_order(
    every_database: Database, rows: list[tuple[int, str]], limit: int
) -> None:
    emptied(every_database)
    RecordStore(every_database).save(
        [
            inspection(sequence, received_at=NOON + second, device=device)
            for sequence, (second, device) in enumerate(rows, start=1)
        ]
    )
    records = Records(every_database)
    pages = [records.search(Filter(), limit=limit)]
    while pages[-1].older is not None:
        pages.append(records.search(Filter(), limit=limit, cursor=pages[-1].older))
    seen = [one.sequence for page in pages for one in page.inspections]
    assert sorted(seen) == list(range(1, len(rows) + 1))
    assert pages[0].newer is None
    back = pages[-1]
    while back.newer is not None:
        back = records.search(Filter(), limit=limit, cursor=back.newer, newer=True)
        place = seen.index(back.inspections[0].sequence) if back.inspections else 0
        shown = [one.sequence for one in back.inspections]
        assert shown == seen[place : place + len(shown)]
    assert not rows or [one.sequence for one in back.inspections][:1] == seen[:1]


def test_what_is_rare_is_looked_for_a_stretch_at_a_time(database: Database) -> None:
    many = FIRST_STRETCH + 100
    RecordStore(database).save(
        [inspection(sequence, lot="L1" if sequence == 1 else "") for sequence in range(1, many)]
    )
    rare, hurried = (
        Filter.model_validate({"lot": "L1", "escalated": False}),
        Records(database, Impatient()),
    )
    first = hurried.search(rare, limit=10)
    assert (first.inspections, first.newer) == ([], None)
    assert first.older is not None
    then = hurried.search(rare, limit=10, cursor=first.older)
    assert ([one.sequence for one in then.inspections], then.older) == ([1], None)
    assert not hurried.count(rare).exact
    count = Records(database, ManualClock()).count(rare)
    assert (count.count, count.exact) == (1, True)


def test_what_waits_for_a_person_is_on_the_first_page_however_much_came_since(
    every_database: Database,
) -> None:
    waits = {1: "review", 3: "review"}
    RecordStore(every_database).save(
        [
            inspection(sequence, verdict=waits.get(sequence, "pass"))
            for sequence in range(1, FIRST_STRETCH + 100)
        ]
    )
    hurried, waiting = Records(every_database, Impatient()), Filter(to_review=True)
    first = hurried.search(waiting, limit=10)
    assert ([one.sequence for one in first.inspections], first.older) == ([3, 1], None)
    one = hurried.search(waiting, limit=1)
    assert one.older is not None
    then = hurried.search(waiting, limit=1, cursor=one.older)
    assert ([one.sequence for one in then.inspections], then.older) == ([1], None)
    count = hurried.count(Filter(to_review=True, score_from=0.0))
    assert (count.count, count.exact) == (2, True)


def test_a_count_beyond_the_limit_says_so(database: Database) -> None:
    RecordStore(database).save([inspection(one) for one in range(1, MOST_COUNTED + 3)])
    found = Records(database, ManualClock()).count(Filter(score_from=0.0))
    assert (found.count, found.exact) == (MOST_COUNTED, False)
    everything = Records(database).count(Filter())
    assert (everything.count, everything.exact) == (MOST_COUNTED + 2, True)
