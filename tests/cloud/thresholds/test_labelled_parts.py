"""Labelled parts of the records, with what was never asked marked as such."""

from __future__ import annotations

import math

from cloud.records.database import Database
from cloud.records.queries import Filter
from cloud.records.store import RecordStore
from cloud.thresholds.labelled_parts import labelled_parts
from tests.cloud.makers import NOON, inspection, label, tail

BUNDLE = "0123456789abcdef"
ANY = Filter()


def fill(database: Database) -> None:
    """Parts 1 and 2 were decided at the edge, 3 and 4 escalated; 4 was drawn as a control."""
    store = RecordStore(database)
    own = {"bundle": BUNDLE}
    sent = {"decision": "escalate", "escalated_bytes": 900, "score": 0.5, **own}
    store.save(
        [
            inspection(1, score=0.05, **own),
            inspection(2, score=0.95, verdict="reject", **own),
            inspection(3, verdict="reject", decided_by="cloud", **sent),
            inspection(4, verdict="review", control="pass", decided_by="cloud", **sent),
            inspection(5, score=0.5, bundle="another"),
            inspection(6, score=0.05, fields={"novelty": 2.5}, **own),
        ],
        [tail(3, score=0.9), tail(4, score=None, verdict="review")],
    )
    for sequence, said in ((1, "reject"), (2, "pass"), (3, "reject"), (4, "pass"), (5, "pass")):
        store.label(label(sequence, verdict=said, reviewed_at=NOON + 100 + sequence))
    store.label(label(6, verdict="pass", reviewed_at=NOON + 50))


def test_labels_say_what_parts_are_and_records_what_was_made_of_them(database: Database) -> None:
    fill(database)
    found = labelled_parts(database, BUNDLE, ANY, "labelled")
    parts, order = found.parts, found.parts.edge.argsort(kind="stable")
    assert (parts.parts, parts.bad, parts.good, found.newest) == (5, 2, 3, False)
    assert parts.edge[order].tolist() == [0.05, 0.05, 0.5, 0.5, 0.95]
    assert sorted(parts.asked.tolist()) == [False, False, False, True, True]
    assert sum(math.isnan(score) for score in parts.cloud) == 4
    assert parts.escalation_bytes == 900
    assert parts.novel.edge.tolist() == (parts.novel.cloud & (parts.edge < 0.1)).tolist()
    assert parts.novel.edge.sum() == 1


def test_control_parts_are_those_that_were_drawn(database: Database) -> None:
    fill(database)
    parts = labelled_parts(database, BUNDLE, ANY, "controls").parts
    assert (parts.parts, parts.good) == (1, 1)


def test_a_line_a_time_and_a_bundle_choose_among_them(database: Database) -> None:
    fill(database)
    for wanted, count in (
        (Filter(line="line-1"), 5),
        (Filter(line="line-2"), 0),
        (Filter(since=NOON + 3), 3),
        (Filter(until=NOON + 3), 2),
    ):
        assert labelled_parts(database, BUNDLE, wanted, "labelled").parts.parts == count
    assert labelled_parts(database, "another", ANY, "labelled").parts.parts == 1


def test_of_many_labels_the_newest_are_taken_and_that_is_said(database: Database) -> None:
    fill(database)
    found = labelled_parts(database, BUNDLE, ANY, "labelled", 2)
    assert found.newest
    assert found.parts.parts == 1


def test_pictures_of_one_part_belong_together(database: Database) -> None:
    store = RecordStore(database)
    store.save([inspection(1, bundle=BUNDLE, part=7), inspection(2, bundle=BUNDLE, part=7)])
    store.label(label(1, verdict="pass"))
    store.label(label(2, verdict="reject"))
    parts = labelled_parts(database, BUNDLE, ANY, "labelled").parts
    assert (parts.parts, parts.bad, len(parts.part)) == (1, 1, 2)
