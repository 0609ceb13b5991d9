"""What a box does with a journal that is damaged, gone, or asked to hold what it can't."""

from __future__ import annotations

import itertools
import math
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.journal.journal import Journal
from edge.journal.salvage import KEPT, aside, open_aside
from edge.monitoring.health import BoxHealth
from shared.errors import JournalError
from shared.wire import PartLabel, Withdrawal
from tests.bundles import GOOD, UNSURE_BAD
from tests.edge.rigs import Rig, commit, open_journal, rows_in
from tests.edge.test_journal import decided

PAGE = 4096
PARTS = 1500


def fill(folder: Path, count: int = PARTS) -> Journal:
    """A journal with as many inspections that wait for the cloud, and an open escalation."""
    journal = open_journal(folder)
    for sequence in range(1, count + 1):
        journal.record(decided(journal, sequence), None, None)
        journal.settle(sequence, 5.0, 0)
    journal.record(decided(journal, count + 1, None), None, None)
    commit(journal)
    return journal


def carry_over(journal: Journal) -> None:
    """Let the threads, which do not run here, do all their work."""
    for _ in range(1000):
        journal.salvage.step()
        commit(journal)
        if not journal.file.carries_over:
            return
    raise AssertionError("it does not come to an end")


def overwrite(path: Path, pages: range) -> None:
    """What a bad block leaves: some pages hold something else."""
    with path.open("r+b") as file:
        for page in pages:
            file.seek(page * PAGE)
            file.write(b"\xa5" * PAGE)


def nothing(_became: object) -> None:
    """Nobody waits for what becomes of a label."""


def parts_in(folder: Path) -> list[int]:
    return [int(str(row["part"])) for row in rows_in(folder)]


@pytest.mark.parametrize("place", [0.3, 0.6, 0.9])
def test_a_journal_damaged_in_the_middle_is_kept_and_what_is_left_is_carried_over(
    tmp_path: Path, place: float
) -> None:
    fill(tmp_path).close()
    path = tmp_path / "journal.db"
    middle = int(path.stat().st_size / PAGE * place)
    overwrite(path, range(middle, middle + 2))
    health = BoxHealth()
    journal = open_journal(tmp_path, health=health)
    carry_over(journal)
    (kept,) = aside(path)
    assert kept.name == "journal.db.damaged-1"
    (problem,) = health.problems
    assert "is kept as journal.db.damaged-1" in problem
    assert "Check the disk" in problem
    found = parts_in(tmp_path)
    assert len(found) > PARTS - 300
    assert len(set(found)) == len(found)
    assert health.counts["inspections_carried_over"] == len(found)
    assert len(journal.unsent(PARTS + 1)) == len(found)
    assert journal.last_part >= PARTS + 1
    journal.close()


def test_numbers_go_on_where_a_damaged_journal_ended(tmp_path: Path) -> None:
    fill(tmp_path, 50).close()
    path = tmp_path / "journal.db"
    with closing(open_journal(tmp_path)) as journal:
        assert journal.last_part == 51
    path.write_bytes(b"not a database" * 1000)
    highest = 51
    for _ in range(3):
        journal = open_journal(tmp_path)
        assert journal.last_part >= highest
        highest = journal.last_part + 1
        journal.record(msgspec.structs.replace(decided(journal, 1), part=highest), None, None)
        commit(journal)
        journal.close()
        path.write_bytes(b"not a database" * 1000)


def test_numbers_go_on_where_the_journal_was_deleted(tmp_path: Path) -> None:
    fill(tmp_path, 50).close()
    for path in tmp_path.glob("journal.db"):
        path.unlink()
    journal = open_journal(tmp_path)
    assert journal.last_part == 51
    # As after a kill: there was no time to write down where it ended.
    journal.record(msgspec.structs.replace(decided(journal, 1), part=60), None, None)
    commit(journal)
    journal.salvage.stop()
    journal.commits.stop()
    journal.file.close()
    journal._lock.release()
    (tmp_path / "journal.db").unlink()
    again = open_journal(tmp_path)
    assert again.last_part > 60
    again.close()


def test_an_open_escalation_of_a_damaged_journal_is_rejected_by_the_deadline(
    tmp_path: Path,
) -> None:
    fill(tmp_path).close()
    overwrite(tmp_path / "journal.db", range(20, 21))
    journal = open_journal(tmp_path)
    carry_over(journal)
    last = rows_in(tmp_path)[-1]
    assert (last["part"], last["verdict"], last["decided_by"]) == (PARTS + 1, "reject", "deadline")
    journal.close()


def test_damage_while_the_line_runs_costs_no_part_its_verdict(rig: Rig) -> None:
    for _ in range(40):
        rig.show(GOOD)
    rig.show(UNSURE_BAD)
    rig.commit()
    connection = rig.journal.file.writable.connection
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    # What is in memory would be read from there.
    connection.execute("PRAGMA shrink_memory")
    pages = (rig.folder / "journal.db").stat().st_size // PAGE
    overwrite(rig.folder / "journal.db", range(1, pages))
    rig.show(GOOD)
    while not rig.journal.commits.is_idle:
        rig.journal.commits.step()
    assert rig.health.counts["journals_put_aside"] == 1
    assert any("journal.db.damaged-1" in problem for problem in rig.health.problems)
    rig.answer(41, "pass")
    rig.show(GOOD)
    carry_over(rig.journal)
    rig.pass_deadline()
    assert len(rig.recorded.verdicts) == 43
    rig.commit()
    boots = {str(row["boot"]) for row in rig.rows}
    assert boots == {rig.journal.boot}
    assert [row["part"] for row in rig.rows][-2:] == [42, 43]
    assert not [text for text in rig.health.problems if text.startswith("journal:")]


def test_an_answer_finds_its_escalation_though_the_journal_was_replaced_between(rig: Rig) -> None:
    rig.show(UNSURE_BAD)
    rig.commit()
    rig.journal.commits.damaged(OSError("a page that is read seldom"))
    rig.answer(1, "pass")
    rig.commit()
    (row,) = rig.rows
    assert (row["verdict"], row["decided_by"]) == ("pass", "cloud")
    assert row["total_ms"] is not None
    carry_over(rig.journal)
    assert rig.rows == [row]


def test_who_reads_a_damaged_journal_has_it_replaced(rig: Rig) -> None:
    for _ in range(1200):
        rig.show(GOOD)
    rig.commit()
    rig.journal.file.writable.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    overwrite(rig.folder / "journal.db", range(4, 30))
    for _ in range(20):
        # As often as the outbox looks: it neither raises nor logs each time.
        rig.outbox.tick()
    rig.journal.commits.step()
    assert rig.health.counts["journals_put_aside"] == 1
    carry_over(rig.journal)
    assert 0 < len(rig.rows) < 1200
    rig.outbox.tick()
    assert rig.broker.published


@pytest.mark.parametrize("change", [Path.unlink, lambda path: path.rename(path.with_suffix(".o"))])
def test_a_journal_moved_or_deleted_while_the_line_runs_is_made_anew_with_what_waits(
    rig: Rig, change: Callable[[Path], object]
) -> None:
    for _ in range(30):
        rig.show(GOOD)
    rig.commit()
    change(rig.folder / "journal.db")
    rig.show(GOOD)
    rig.commit()
    assert [row["part"] for row in rig.rows] == list(range(1, 32))
    assert any("was moved or deleted" in problem for problem in rig.health.problems)


def test_only_the_last_damaged_journals_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    for _ in range(KEPT + 3):
        path.write_bytes(b"not a database" * 1000)
        journal = open_journal(tmp_path)
        carry_over(journal)
        journal.close()
    assert [one.name for one in aside(path)] == [f"journal.db.damaged-{n}" for n in (4, 5, 6)]


def test_what_a_kill_left_unread_is_read_by_the_next_start(tmp_path: Path) -> None:
    fill(tmp_path).close()
    overwrite(tmp_path / "journal.db", range(20, 21))
    open_journal(tmp_path).close()
    (kept,) = aside(tmp_path / "journal.db")
    assert "unread" in kept.name
    journal = open_journal(tmp_path)
    carry_over(journal)
    assert len(parts_in(tmp_path)) > PARTS - 100
    journal.close()


def test_what_was_put_aside_stays_as_it_is(tmp_path: Path) -> None:
    fill(tmp_path).close()
    path = tmp_path / "journal.db"
    overwrite(path, range(20, 21))
    before = path.read_bytes()
    journal = open_journal(tmp_path)
    carry_over(journal)
    journal.close()
    (kept,) = aside(path)
    assert kept.read_bytes() == before
    with open_aside(kept) as connection:
        assert connection.execute("SELECT count(*) FROM frames").fetchone() == (0,)


def test_labelled_pictures_are_carried_over(tmp_path: Path) -> None:
    journal = open_journal(tmp_path, label_bytes=1 << 20)
    for sequence in range(1, 400):
        journal.record(decided(journal, sequence), b"p" * 100, None)
    commit(journal)
    label = PartLabel(journal.boot, 7, "reject", "crack", 1.0)
    journal.label([label], "hall", lambda _became: None)
    commit(journal)
    journal.close()
    overwrite(tmp_path / "journal.db", range(15, 16))
    again = open_journal(tmp_path, label_bytes=1 << 20)
    carry_over(again)
    (row,) = rows_in(tmp_path, "labelled")
    assert (row["part"], row["kind"], row["picture"]) == (7, "crack", b"p" * 100)
    again.close()


def test_what_was_drawn_and_what_was_taken_back_is_carried_over_with_the_labels(
    tmp_path: Path,
) -> None:
    journal = open_journal(tmp_path, label_bytes=1 << 20)
    for sequence in range(1, 400):
        journal.record(decided(journal, sequence), b"p" * 100, None)
    commit(journal)
    boot = journal.boot
    labels = [
        PartLabel(boot, 7, "reject", "crack", 1.0, b"drawn"),
        PartLabel(boot, 8, "reject", "crack", 2.0, b"older"),
        PartLabel(boot, 9, "reject", "crack", 3.0),
    ]
    journal.label(labels, "hall", nothing)
    commit(journal)
    journal.label([], "hall", nothing, [Withdrawal(boot, 10, 5.0)])
    commit(journal)
    journal.close()
    overwrite(tmp_path / "journal.db", range(15, 16))
    again = open_journal(tmp_path, label_bytes=1 << 20)
    # The cloud has spoken meanwhile: 9 was taken back, and an old copy of the label of 10 comes.
    again.label([], "hall", nothing, [Withdrawal(boot, 9, 6.0)])
    commit(again)
    carry_over(again)
    again.label([PartLabel(boot, 10, "reject", "crack", 4.0)], "hall", nothing)
    commit(again)
    assert [row["sequence"] for row in rows_in(tmp_path, "labelled")] == [7, 8]
    kept = {row["sequence"]: row["mask"] for row in rows_in(tmp_path, "label_masks")}
    assert kept == {7: b"drawn", 8: b"older", 9: None, 10: None}
    again.close()


def test_a_journal_from_before_there_were_drawings_is_carried_over(tmp_path: Path) -> None:
    journal = open_journal(tmp_path, label_bytes=1 << 20)
    for sequence in range(1, 400):
        journal.record(decided(journal, sequence), b"p" * 100, None)
    commit(journal)
    journal.label([PartLabel(journal.boot, 7, "reject", "crack", 1.0)], "hall", nothing)
    commit(journal)
    journal.close()
    with closing(sqlite3.connect(tmp_path / "journal.db")) as connection:
        connection.execute("DROP TABLE label_masks")
        connection.execute("VACUUM")
    overwrite(tmp_path / "journal.db", range(15, 16))
    again = open_journal(tmp_path, label_bytes=1 << 20)
    carry_over(again)
    assert [row["sequence"] for row in rows_in(tmp_path, "labelled")] == [7]
    again.close()


# Fault 26: what can't be stored, whatever it raises, costs itself.

numbers = st.sampled_from([1, 0, -1, 2**31, 2**63 - 1, 2**63, 2**64, -(2**63) - 1])
scores = st.sampled_from([0.5, math.nan, math.inf, -math.inf, 1e308])
texts = st.sampled_from(["", "x", "a\0b", "\ud800", "é" * 2000])


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(st.tuples(st.sampled_from("arlsf"), numbers, numbers, scores, texts), max_size=12),
    st.integers(0, 3),
)
def test_whatever_is_written_the_others_are_committed(
    tmp_path_factory: pytest.TempPathFactory,
    writes: list[tuple[str, int, int, float, str]],
    at_once: int,
) -> None:
    folder = tmp_path_factory.mktemp("any")
    health = BoxHealth()
    journal = open_journal(folder, health=health, label_bytes=1 << 16)
    done: list[int] = []
    sound = itertools.count(1000)

    def record_sound() -> None:
        sequence = next(sound)
        journal.record(decided(journal, sequence), b"x", partial(done.append, sequence))

    for what, number, other, score, text in writes:
        record_sound()
        strange = decided(journal, number)
        match what:
            case "a":
                journal.answer(number, "pass", score, None)
            case "r":
                change = {"boot": text, "part": other, "score": score, "inspected_at": score}
                journal.record(msgspec.structs.replace(strange, **change), None, None)
            case "l":
                row = PartLabel(text, number, "reject", text, score)
                journal.label([row], text, lambda _became: None)
            case "s":
                journal.settle(number, score, other)
            case _:
                journal.fail_safe(strange)
        for _ in range(at_once):
            record_sound()
    record_sound()
    commit(journal)
    assert done == list(range(1000, next(sound)))
    assert {int(str(row["sequence"])) for row in rows_in(folder)} >= set(done)
    assert health.problems == ()
    journal.close()


def test_a_write_that_can_not_be_stored_is_named_once_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del capsys
    health = BoxHealth()
    journal = open_journal(tmp_path, health=health)
    for sequence in range(1, 5):
        journal.answer(2**63, "pass", 0.5, None)
        journal.record(decided(journal, sequence), None, None)
    commit(journal)
    assert health.counts["writes_refused"] == 4
    assert len(rows_in(tmp_path)) == 4
    journal.close()


def test_an_inspection_that_can_not_be_read_does_not_hold_back_the_others(rig: Rig) -> None:
    for _ in range(3):
        rig.show(GOOD)
    rig.commit()
    connection = rig.journal.file.writable.connection
    connection.execute("UPDATE inspections SET decision = 'sideways' WHERE id = 2")
    assert [row_id for row_id, _ in rig.journal.unsent(9)] == [1, 3]
    rig.commit()
    assert rig.journal.waiting() == 2
    assert rig.health.counts["unsent_unreadable"] == 1


def test_a_format_of_another_version_is_not_damage(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    journal.file.writable.connection.execute("PRAGMA user_version = 9")
    journal.close()
    with pytest.raises(JournalError, match="has format 9"):
        open_journal(tmp_path)
    assert aside(tmp_path / "journal.db") == []
