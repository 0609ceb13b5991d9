"""A journal outlives the version that made it, both ways: an update may be taken back."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from edge.journal.schema import connect
from shared.contracts import Decision
from shared.wire import LabelReceipt, PartLabel
from tests.edge.old_journals import DEPLOYED, FIRST, INSERT
from tests.edge.rigs import commit, open_journal, rows_in
from tests.edge.test_journal import decided

TABLES = ("inspections", "frames", "labelled")
REJECTED = (7, "old", 3, 41, "reject", "reject", "edge", 0.9, 1, 2, 3, 0, 9, "s", "b")


@pytest.fixture
def deployed(tmp_path: Path) -> Path:
    """A folder with the journal of the version that is deployed."""
    shutil.copy(DEPLOYED, tmp_path / "journal.db")
    return tmp_path


def test_the_journal_of_the_deployed_version_is_upgraded_in_place_and_loses_nothing(
    deployed: Path,
) -> None:
    before = {table: rows_in(deployed, table) for table in TABLES}
    journal = open_journal(deployed, label_bytes=1 << 20)
    after = {table: rows_in(deployed, table) for table in TABLES}
    *whole, open_escalation = before["inspections"]
    assert (len(whole), open_escalation["verdict"]) == (63, None)
    for old, new in zip(whole, after["inspections"][:-1], strict=True):
        assert old.items() <= new.items()
    decided = {"verdict": "reject", "decided_by": "deadline"}
    left = {**open_escalation, **decided, "total_ms": open_escalation["edge_ms"]}
    assert left.items() <= after["inspections"][-1].items()
    assert (after["frames"], after["labelled"]) == (before["frames"], before["labelled"])
    unsent = [row["sequence"] for row in after["inspections"] if not row["acknowledged"]]
    assert [one.sequence for _, one in journal.unsent(100)] == unsent == [50, 51, 52, 53, 54]
    assert journal.last_part == 64
    journal.close()


def test_the_deployed_version_writes_on_into_a_journal_that_was_upgraded(deployed: Path) -> None:
    open_journal(deployed).close()
    with closing(sqlite3.connect(deployed / "journal.db")) as taken_back:
        assert taken_back.execute("PRAGMA user_version").fetchone() == (1,)
        taken_back.execute(INSERT, (65, *REJECTED[1:]))
        taken_back.commit()
    again = open_journal(deployed)
    assert [one.part for _, one in again.unsent(100)] == [60, 61, 62, 63, 64, 41]
    again.close()


def test_a_part_to_review_is_a_reject_to_the_deployed_version(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    asked, alone = decided(journal, 1, None), decided(journal, 2)
    journal.record(asked, None, None)
    journal.record(replace(alone, decision=Decision.REVIEW, verdict="review"), None, None)
    journal.answer(1, "review", 0.5, None)
    for sequence in (1, 2):
        journal.settle(sequence, 4.0, 0)
    commit(journal)
    rows = rows_in(tmp_path)
    # Those are the words that its reader knows.
    assert [(row["decision"], row["verdict"]) for row in rows] == [("escalate", "reject")] * 2
    assert [(one.decision, one.verdict, one.decided_by) for _, one in journal.unsent(9)] == [
        ("escalate", "review", "cloud"),
        ("review", "review", "edge"),
    ]
    journal.close()


def test_a_journal_from_before_labels_is_upgraded_and_loses_nothing(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "journal.db")) as old:
        old.executescript(FIRST)
        old.execute(INSERT, REJECTED)
        old.execute("INSERT INTO frames VALUES (7, 3, x'616263')")
        old.commit()
    (inspection,), frames = rows_in(tmp_path), rows_in(tmp_path, "frames")
    journal = open_journal(tmp_path, label_bytes=1 << 20)
    assert journal.last_part == 41
    (upgraded,) = rows_in(tmp_path)
    assert inspection.items() <= upgraded.items()
    assert rows_in(tmp_path, "frames") == frames
    with closing(connect(tmp_path / "journal.db")) as new:
        # An older agent opens what has its own format: an update may be taken back.
        assert new.execute("PRAGMA user_version").fetchone() == (1,)
    became: list[LabelReceipt] = []
    journal.label([PartLabel("old", 3, "reject", "crack", 1.0)], "d", became.extend)
    commit(journal)
    assert [row.kept for row in became] == [True]
    journal.close()


def test_an_upgrade_that_is_cut_short_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with closing(sqlite3.connect(path)) as old:
        # What can't be upgraded: the new table's name is taken by a view.
        old.executescript(FIRST + "CREATE VIEW labelled AS SELECT 1;")
    with pytest.raises(sqlite3.OperationalError, match="labelled"):
        connect(path)
    with closing(sqlite3.connect(path)) as left:
        tables = left.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        assert set(tables) == {("inspections",), ("frames",)}
