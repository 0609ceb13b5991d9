from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.journal.journal import Journal
from edge.journal.quota import Caps, Quota
from edge.journal.reader import last_part
from edge.journal.store import BOUND_EVERY, ROW_BYTES, JournalStore
from edge.monitoring.health import BoxHealth
from shared.contracts import Decision, Verdict
from shared.errors import JournalError
from shared.inspection import Inspection
from tests.bundles import GOOD, UNSURE_BAD
from tests.edge.rigs import Rig, commit, open_journal, rows_in

MIB = 1 << 20
WRITER = """
import sys
from pathlib import Path
from tests.edge.rigs import open_journal
from tests.edge.test_journal import decided

journal = open_journal(Path(sys.argv[1]))
journal.start()
for sequence in range(1, 100_000):
    inspection = decided(journal, sequence)
    # The backlog takes no more than it has room for, and says so at once.
    while not journal.record(inspection, b"x" * 500, lambda s=sequence: print(s, flush=True)):
        journal.flush(1.0)
"""


def decided(journal: Journal, sequence: int, verdict: Verdict | None = "pass") -> Inspection:
    """Inspection `sequence` of part `sequence`, decided at the edge or waiting for the cloud."""
    return Inspection(
        boot=journal.boot,
        sequence=sequence,
        part=sequence,
        decision=Decision.PASS if verdict else Decision.ESCALATE,
        verdict=verdict,
        decided_by="edge" if verdict else None,
        score=0.1,
        inspected_at=1.8e9,
        edge_ms=2.0,
        total_ms=None,
    )


@pytest.mark.process
def test_no_acknowledged_inspection_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        acknowledged = [int(writer.stdout.readline()) for _ in range(300)]
        os.kill(writer.pid, signal.SIGKILL)
        acknowledged += [int(line) for line in writer.stdout.read().splitlines()]
    journal = open_journal(tmp_path)
    found = {row["sequence"] for row in rows_in(tmp_path)}
    assert set(acknowledged) <= found
    assert journal.last_part >= acknowledged[-1]
    journal.close()


def test_what_a_crash_left_open_is_rejected_by_the_deadline(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    for sequence, verdict in enumerate([None, "pass"], 1):
        journal.record(decided(journal, sequence, verdict), None, None)  # type: ignore[arg-type]
    commit(journal)
    assert journal.unsent(10) == []
    journal.close()

    reopened = open_journal(tmp_path)
    found = [(row["verdict"], row["decided_by"]) for row in rows_in(tmp_path)]
    assert found == [("reject", "deadline"), ("pass", "edge")]
    assert len(reopened.unsent(10)) == 2
    reopened.close()


def test_every_opening_has_a_boot_of_its_own_and_goes_on_after_the_last_part(
    tmp_path: Path,
) -> None:
    first = open_journal(tmp_path)
    first.record(decided(first, 41), None, None)
    commit(first)
    first.close()
    second = open_journal(tmp_path)
    assert second.boot != first.boot
    assert second.last_part == 41
    assert last_part(tmp_path / "journal.db") == 41
    second.record(decided(second, 1), None, None)
    commit(second)
    assert len(rows_in(tmp_path)) == 2
    second.close()


def test_a_journal_that_is_not_there_has_no_last_part(tmp_path: Path) -> None:
    assert last_part(tmp_path / "none.db") == 0
    assert not (tmp_path / "none.db").exists()


def test_a_locked_file_costs_no_part_its_verdict_and_no_row(rig: Rig) -> None:
    with closing(sqlite3.connect(rig.folder / "journal.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        rig.show(GOOD)
        assert not rig.journal.commits.step()
        rig.pass_deadline()
        assert rig.recorded.verdicts == {1: "reject"}
        (problem,) = rig.health.problems
        assert "is locked by another program" in problem
        other.execute("ROLLBACK")
    rig.commit()
    assert rig.health.problems == ()
    (row,) = rig.rows
    assert (row["verdict"], row["decided_by"]) == ("reject", "deadline")
    assert len(rig.recorded.actuations) == 1


def test_a_full_disk_gives_up_pictures_before_verdicts(rig: Rig) -> None:
    store = rig.journal.file.writable
    for _ in range(8):
        rig.inspect(rig.frame(UNSURE_BAD, encoded=b"x" * 50_000))
    rig.commit()
    pages = store.connection.execute("PRAGMA page_count").fetchone()[0]
    store.connection.execute(f"PRAGMA max_page_count = {pages}")
    rig.inspect(rig.frame(UNSURE_BAD, encoded=b"x" * 400_000))
    assert not rig.journal.commits.step()
    assert "can't grow" in rig.health.problems[0]
    rig.commit()
    assert rig.health.problems == ()
    assert rig.health.counts["picture_disk_full"] == 1
    assert len(rig.rows) == 9


def test_a_disk_that_stays_full_diverts_parts_and_writes_them_later(rig: Rig) -> None:
    connection = rig.journal.file.writable.connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")
    for _ in range(300):
        rig.show(GOOD)
    while rig.journal.commits.step():
        pass
    rig.pass_deadline()
    assert len(rig.recorded.verdicts) == 300
    connection.execute("PRAGMA max_page_count = 100000")
    rig.commit()
    written = {row["part"]: row["verdict"] for row in rig.rows}
    assert written == rig.recorded.verdicts
    assert "reject" in written.values()


@settings(max_examples=20, deadline=None)
@given(sizes=st.lists(st.integers(1, 700), max_size=40))
def test_the_ring_never_holds_more_than_its_bytes_and_keeps_the_newest(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int]
) -> None:
    store = JournalStore(tmp_path_factory.mktemp("ring") / "journal.db", Quota(Caps(1 << 20, 1000)))
    for row_id, size in enumerate(sizes, 1):
        store.keep_picture(row_id, b"x" * size)
        total, newest = store.connection.execute(
            "SELECT coalesce(sum(bytes), 0), max(id) FROM frames"
        ).fetchone()
        assert total <= 1000
        assert newest == row_id
    store.close()


def test_a_picture_larger_than_the_ring_is_not_kept(tmp_path: Path) -> None:
    store = JournalStore(tmp_path / "journal.db", Quota(Caps(1 << 20, 100)))
    store.keep_picture(1, b"x" * 50)
    store.keep_picture(2, b"x" * 101)
    assert [row["id"] for row in rows_in(tmp_path, "frames")] == [1]
    store.close()


@pytest.mark.parametrize("acknowledged", [True, False])
def test_the_oldest_inspections_go_and_unsent_ones_are_counted(
    tmp_path: Path, acknowledged: bool
) -> None:
    bound, count = 300, 3 * BOUND_EVERY
    health = BoxHealth()
    journal = open_journal(tmp_path, max_bytes=bound * ROW_BYTES, health=health)
    for sequence in range(1, count + 1):
        journal.record(decided(journal, sequence), None, None)
        journal.settle(sequence, 5.0, 0)
        if acknowledged:
            journal.acknowledge([sequence], lambda: None)
        commit(journal)
    rows = rows_in(tmp_path)
    assert len(rows) <= bound + BOUND_EVERY
    assert rows[-1]["sequence"] == count
    assert [row["sequence"] for row in rows] == list(range(count + 1 - len(rows), count + 1))
    dropped = 0 if acknowledged else count - len(rows)
    assert health.counts.get("unsent_evicted", 0) == dropped
    journal.close()


def test_the_journal_takes_half_of_what_is_free_and_inspections_before_pictures(
    tmp_path: Path,
) -> None:
    path = tmp_path / "journal.db"
    quota = Quota(Caps(6 * MIB, 3 * MIB, 3 * MIB), lambda _folder: 10 * MIB)
    assert quota.caps(path) == Caps(5 * MIB, 5 * MIB // 2, 5 * MIB // 2)
    assert quota.caps(path, rows=3 * MIB) == Caps(5 * MIB, MIB, MIB)
    assert quota.caps(path, rows=5 * MIB) == Caps(5 * MIB, 0, 0)
    path.write_bytes(bytes(5 * MIB))
    assert quota.caps(path) == Caps(6 * MIB, 3 * MIB, 3 * MIB)


def test_on_a_full_disk_the_journal_keeps_the_inspections_that_it_has_room_for(
    tmp_path: Path,
) -> None:
    path = tmp_path / "journal.db"
    quota = Quota(Caps(6 * MIB, 3 * MIB), lambda _folder: 0)
    path.write_bytes(bytes(4 * MIB))
    assert quota.caps(path, rows=3 * MIB) == Caps(4 * MIB, 0)


def test_a_journal_of_a_newer_agent_is_refused(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "journal.db")) as other:
        other.execute("PRAGMA user_version = 9")
    with pytest.raises(JournalError, match="has format 9, this agent writes 1"):
        open_journal(tmp_path)


def test_the_writing_thread_commits_everything_before_it_ends(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    committed: list[int] = []
    journal.start()
    for sequence in range(1, 501):
        journal.record(decided(journal, sequence), None, partial(committed.append, sequence))
    assert journal.flush(20)
    journal.close()
    assert committed == list(range(1, 501))
    assert len(rows_in(tmp_path)) == 500


def test_two_agents_can_not_share_a_journal(tmp_path: Path) -> None:
    first = open_journal(tmp_path)
    with pytest.raises(JournalError, match="in use by another agent"):
        open_journal(tmp_path)
    first.close()
    open_journal(tmp_path).close()
