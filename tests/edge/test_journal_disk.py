"""Limits follow the disk as it is now, and a disk that can't be written does not stop the line."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from edge.journal.backlog import MOST_PARTS, MOST_PICTURE_BYTES, MOST_WRITES
from edge.journal.errors import explain, fault_of
from edge.journal.journal import Journal
from edge.journal.quota import wal_of
from edge.journal.schema import WAL_BYTES
from edge.journal.store import BOUND_EVERY, MOST_WAL_BYTES
from edge.monitoring.health import BoxHealth
from shared.clock import ManualClock
from shared.errors import JournalError
from tests.bundles import GOOD
from tests.edge.full_disk import PARTS
from tests.edge.rigs import Rig, commit, open_journal, rows_in
from tests.edge.test_journal import decided

MIB = 1 << 20
DAY = 86400.0


class Disk:
    """How much is free, as the test says. A `FreeSpace`."""

    def __init__(self, free: int) -> None:
        self.free = free

    def __call__(self, _folder: Path) -> int:
        return self.free


def hurry(journal: Journal) -> None:
    """Thousands of commits, none of which need survive a power cut."""
    journal.file.writable.connection.execute("PRAGMA synchronous = OFF")


def inspect(folder: Path, disk: Disk, counts: list[tuple[int, int]]) -> BoxHealth:
    """So many parts while so much is free, one after the other."""
    health = BoxHealth()
    disk.free = counts[0][1]
    journal = open_journal(folder, max_bytes=8 * MIB, ring_bytes=8 * MIB, health=health, free=disk)
    hurry(journal)
    sequence = 0
    for count, free in counts:
        disk.free = free
        for _ in range(count):
            sequence += 1
            journal.record(decided(journal, sequence), bytes(2000), None)
            journal.settle(sequence, 5.0, 0)
            commit(journal)
    journal.close()
    return health


def test_a_disk_that_was_nearly_full_at_the_start_costs_nothing_once_it_is_free(
    tmp_path: Path,
) -> None:
    health = inspect(tmp_path, Disk(0), [(1, 200_000), (4000, 1 << 40)])
    assert len(rows_in(tmp_path)) == 4001
    assert "unsent_evicted" not in health.counts
    assert health.problems == ()


def test_pictures_go_before_inspections_where_the_disk_gets_full(tmp_path: Path) -> None:
    health = inspect(tmp_path, Disk(0), [(2000, 1 << 40), (2 * BOUND_EVERY, 0)])
    assert len(rows_in(tmp_path)) == 2000 + 2 * BOUND_EVERY
    assert len(rows_in(tmp_path, "frames")) < 2000
    assert "unsent_evicted" not in health.counts


def test_where_inspections_go_for_want_of_room_the_disk_is_blamed(tmp_path: Path) -> None:
    health = inspect(tmp_path, Disk(0), [(6000, 200_000)])
    dropped = health.counts["unsent_evicted"]
    assert health.counts["unsent_evicted_disk"] == dropped > 0
    assert "outbox" in health.problems[1]
    assert "the disk is nearly full" in health.problems[1]
    assert "max_bytes" not in "".join(health.problems)


def test_inspections_that_wait_for_too_long_go_and_are_counted_as_such(tmp_path: Path) -> None:
    clock, health = ManualClock(), BoxHealth()
    journal = open_journal(tmp_path, health=health, max_age_s=10 * DAY, clock=clock)
    hurry(journal)
    for sequence in range(1, 12 * BOUND_EVERY + 1):
        journal.record(decided(journal, sequence), None, None)
        journal.settle(sequence, 5.0, 0)
        commit(journal)
        clock.advance(DAY / BOUND_EVERY)
    first = int(str(rows_in(tmp_path)[0]["sequence"]))
    assert 0 < health.counts["unsent_evicted_age"] == first - 1 <= 2 * BOUND_EVERY
    assert "journal.max_days" in health.problems[0]
    journal.close()


def test_a_disk_that_can_not_be_asked_bounds_nothing(tmp_path: Path) -> None:
    def unknown(_folder: Path) -> int:
        raise OSError("no such device")

    with closing(open_journal(tmp_path, max_bytes=MIB, free=unknown)) as journal:
        assert journal.file.writable.caps.rows == MIB


@pytest.mark.process
def test_on_a_full_disk_verdicts_are_written_where_pictures_were(tmp_path: Path) -> None:
    command = ["unshare", "--mount", sys.executable, "-m", "tests.edge.full_disk", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if os.geteuid() != 0 or "unshare failed" in done.stderr:
        # What the kernel refuses nobody can install.
        pytest.xfail("no disk of its own can be made here")
    assert done.returncode == 0, done.stderr
    before, full, reopened, freed = (
        json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")
    )
    assert (before["rows"], before["problems"]) == (PARTS, [])
    assert full["rows"] == 2 * PARTS
    assert full["counts"]["picture_disk_full"] >= 1
    assert full["frames"] < before["frames"] + PARTS
    assert "can't grow" in str(reopened["problems"]) or reopened["rows"] == 3 * PARTS
    assert "damaged" not in str(reopened["problems"])
    assert freed["rows"] == 4 * PARTS
    assert not [text for text in freed["problems"] if text.startswith("journal")]


def test_a_journal_that_can_not_be_opened_is_tried_again_while_the_line_runs(
    rig: Rig, tmp_path: Path
) -> None:
    del rig
    folder = tmp_path / "box"
    with closing(open_journal(folder)) as journal:
        journal.record(decided(journal, 1), None, None)
        commit(journal)
    path = folder / "journal.db"
    path.rename(folder / "elsewhere.db")
    path.mkdir()  # nobody can open that
    health = BoxHealth()
    journal = open_journal(folder, health=health)
    assert journal.last_part == 1
    (problem,) = health.problems
    assert "can't be reached" in problem
    assert journal.record(decided(journal, 1), None, None)
    assert not journal.commits.step()
    assert journal.waiting() == 0
    path.rmdir()
    commit(journal)
    assert health.problems == ()
    assert len(rows_in(folder)) == 1
    journal.close()


def test_a_first_start_without_a_disk_is_refused_since_no_number_is_known(tmp_path: Path) -> None:
    (tmp_path / "journal.db").mkdir()
    with pytest.raises(JournalError, match="can't be reached"):
        open_journal(tmp_path)


def test_an_unwritable_disk_never_holds_up_the_line(rig: Rig) -> None:
    pages = rig.journal.file.writable.connection.execute("PRAGMA page_count").fetchone()[0]
    rig.journal.file.writable.connection.execute(f"PRAGMA max_page_count = {pages}")
    for sequence in range(1, MOST_PARTS + 1):
        assert rig.journal.record(decided(rig.journal, sequence), None, None)
    begun = time.monotonic()
    for sequence in range(MOST_PARTS + 1, MOST_PARTS + 21):
        assert not rig.journal.record(decided(rig.journal, sequence), None, None)
    # They waited for a second each.
    assert time.monotonic() - begun < 10
    assert rig.health.counts["journal_backlog_full"] == 20


def test_what_becomes_of_parts_is_kept_longer_than_new_ones_and_not_for_ever(
    tmp_path: Path,
) -> None:
    health = BoxHealth()
    journal = open_journal(tmp_path, health=health)
    for sequence in range(MOST_WRITES + 5):
        journal.settle(sequence, 1.0, 0)
    assert journal.commits.waiting == MOST_WRITES
    assert health.counts["journal_backlog_full"] == 5
    journal.close()


def test_pictures_that_wait_take_a_bounded_part_of_the_memory(tmp_path: Path) -> None:
    health = BoxHealth()
    journal = open_journal(tmp_path, health=health)
    picture = bytes(4 * MIB)
    for sequence in range(1, 41):
        assert journal.record(decided(journal, sequence), picture, None)
    assert health.counts["pictures_skipped"] == 40 - MOST_PICTURE_BYTES // len(picture)
    journal.close()


def test_parts_get_their_verdicts_by_the_deadline_while_nothing_can_be_written(rig: Rig) -> None:
    with closing(sqlite3.connect(rig.folder / "journal.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for _ in range(50):
            rig.show(GOOD)
        rig.pass_deadline()
        assert set(rig.recorded.verdicts.values()) == {"reject"}
        assert len(rig.recorded.verdicts) == 50
        other.execute("ROLLBACK")
    rig.commit()
    assert len(rig.rows) == 50


def test_a_reader_that_stays_holds_back_pictures_and_no_verdicts(tmp_path: Path) -> None:
    health = BoxHealth()
    journal = open_journal(tmp_path, ring_bytes=4 * MIB, health=health)
    path = tmp_path / "journal.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM inspections").fetchone()
        for sequence in range(1, 700):
            journal.record(decided(journal, sequence), bytes(200_000), None)
            if sequence % 8 == 0:
                commit(journal)
        commit(journal)
        assert wal_of(path).stat().st_size < MOST_WAL_BYTES + 8 * MIB
        assert health.counts["pictures_skipped"] > 0
        assert any("close that program" in problem for problem in health.problems)
        other.execute("COMMIT")
    for sequence in range(700, 800):
        journal.record(decided(journal, sequence), None, None)
        commit(journal)
    assert wal_of(path).stat().st_size <= WAL_BYTES
    assert health.problems == ()
    assert len(rows_in(tmp_path)) == 799
    journal.close()


@pytest.mark.parametrize(
    ("error", "fault", "said"),
    [
        (OSError(28, "No space left on device"), "full", "free disk space"),
        (OSError(122, "Disk quota exceeded"), "full", "free disk space"),
        (OSError(30, "Read-only file system"), "readonly", "a disk that went read-only is failing"),
        (OSError(5, "Input/output error"), "unreachable", "check that the disk"),
        (OverflowError("too large"), "unstorable", ""),
    ],
)
def test_each_error_says_what_it_is_and_what_to_do(
    error: Exception, fault: str, said: str, tmp_path: Path
) -> None:
    assert fault_of(error) == fault
    assert said in str(explain(error, tmp_path / "journal.db"))
