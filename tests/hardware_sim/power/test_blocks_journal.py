"""The agent's real journal through every kind of power cut."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from edge.journal.journal import Journal
from shared.errors import JournalError, ProcessError
from tests.edge.rigs import commit, open_journal, rows_in
from tests.edge.test_journal import decided
from tests.support.crash_states import Coverage, Effort
from tests.support.sqlite_recorder import SqliteRecorder

GROUPS = 6
IN_A_GROUP = 3
# A soak run tries more: SPLITSIGHT_CRASH_SAMPLES=2000 takes minutes.
SAMPLES = int(os.environ.get("SPLITSIGHT_CRASH_SAMPLES", "40"))
PICTURE = b"p" * 3000


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory where there is one: what is simulated need not wait for a real disk."""
    shared = Path("/dev/shm")  # noqa: S108
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        yield Path(folder)


@dataclass
class Promises:
    """Which inspections the journal said were safe, in the order in which it did."""

    recorder: SqliteRecorder
    kept: list[int] = field(default_factory=list)

    def confirm(self, sequence: int) -> None:
        self.kept.append(sequence)
        assert self.recorder.confirm() == len(self.kept)


def work(journal: Journal, promises: Promises) -> None:
    """Groups of inspections with pictures; each group is one transaction."""
    for group in range(GROUPS):
        for sequence in range(group * IN_A_GROUP + 1, (group + 1) * IN_A_GROUP + 1):
            done = partial(promises.confirm, sequence)
            assert journal.record(decided(journal, sequence), PICTURE, done)
        commit(journal)
    journal.acknowledge([1, 2, 3], lambda: None)
    commit(journal)


def recorded(folder: Path, *, synchronous: str | None = None) -> tuple[SqliteRecorder, Promises]:
    """A journal's whole life, closing included."""
    folder.mkdir()
    with SqliteRecorder(folder) as recorder:
        promises = Promises(recorder)
        journal = open_journal(folder)
        if synchronous is not None:
            journal.file.writable.connection.execute(f"PRAGMA synchronous = {synchronous}")
        work(journal, promises)
        journal.close()
    return recorder, promises


def faults(folder: Path, promised: list[int]) -> list[str]:
    """What is wrong with the journal in a folder, opened as the agent opens it."""
    try:
        open_journal(folder).close()
    except (JournalError, sqlite3.Error) as error:
        return [f"not opened: {error}"]
    with closing(sqlite3.connect(folder / "journal.db")) as connection:
        (integrity,) = connection.execute("PRAGMA integrity_check").fetchone()
    found = [int(str(row["sequence"])) for row in rows_in(folder)]
    frames = rows_in(folder, "frames")
    pictures = [int(str(row["id"])) for row in frames if row["picture"] == PICTURE]
    wrong = [] if integrity == "ok" else [f"integrity: {integrity}"]
    if lost := sorted(set(promised) - set(found)):
        wrong.append(f"confirmed and lost: {lost}")
    if found != list(range(1, len(found) + 1)) or len(found) % IN_A_GROUP:
        wrong.append(f"half a transaction: {found}")
    if pictures != found:
        wrong.append(f"pictures {pictures} of inspections {found}")
    return wrong


def crash(
    recorder: SqliteRecorder, promises: Promises, folder: Path, effort: Effort
) -> tuple[Coverage, list[str]]:
    """Every fault that a state shows, and how many states were tried."""
    coverage, wrong = Coverage(), []
    for state in recorder.crash_states(effort, coverage):
        state.write(folder)
        wrong += faults(folder, promises.kept[: state.confirmed])
        shutil.rmtree(folder)
    return coverage, wrong


def test_no_power_cut_loses_or_halves_what_the_journal_confirmed(memory: Path) -> None:
    recorder, promises = recorded(memory / "journal")
    assert promises.kept == list(range(1, GROUPS * IN_A_GROUP + 1))
    effort = Effort(exhaustive=SAMPLES, samples=SAMPLES)
    coverage, wrong = crash(recorder, promises, memory / "crashed", effort)
    assert wrong == []
    assert coverage.tried >= 300
    assert coverage.intervals > GROUPS


def test_the_same_cuts_find_a_journal_that_does_not_wait_for_the_disk(memory: Path) -> None:
    recorder, promises = recorded(memory / "journal", synchronous="OFF")
    effort = Effort(exhaustive=20, samples=20)
    _, wrong = crash(recorder, promises, memory / "crashed", effort)
    assert any(fault.startswith("confirmed and lost") for fault in wrong)


def test_the_states_rebuild_what_is_really_on_the_disk(memory: Path) -> None:
    """The last state, with nothing lost, is the folder itself."""
    recorder, _ = recorded(memory / "journal")
    *_, last = recorder.crash_states(Effort(exhaustive=4, samples=2))
    last.write(memory / "rebuilt")
    files = {path.name: path.read_bytes() for path in (memory / "rebuilt").iterdir()}
    assert files == {"journal.db": (memory / "journal" / "journal.db").read_bytes()}


def test_a_journal_that_was_there_before_is_part_of_every_state(memory: Path) -> None:
    recorded(memory / "journal")
    before = [row["id"] for row in rows_in(memory / "journal")]
    with SqliteRecorder(memory / "journal") as recorder:
        journal = open_journal(memory / "journal")
        journal.record(decided(journal, 1), None, None)
        commit(journal)
        journal.close()
    for number, state in enumerate(recorder.crash_states(Effort(exhaustive=5, samples=5))):
        folder = memory / f"crashed-{number}"
        state.write(folder)
        assert [row["id"] for row in rows_in(folder)][: len(before)] == before


def test_a_database_left_open_is_named(memory: Path) -> None:
    recorder = SqliteRecorder(memory)
    recorder.__enter__()
    with closing(sqlite3.connect(memory / "left.db")) as connection:
        connection.execute("CREATE TABLE t (x)")
        with pytest.raises(ProcessError, match=r"left\.db was left open"):
            recorder.__exit__(None, None, None)


def test_other_databases_are_left_alone(memory: Path) -> None:
    (memory / "watched").mkdir()
    with SqliteRecorder(memory / "watched") as recorder:
        with closing(sqlite3.connect(memory / "other.db")) as connection:
            connection.execute("CREATE TABLE t (x)")
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.execute("CREATE TABLE t (x)")
    assert [state.confirmed for state in recorder.crash_states()] == [0]
    with closing(sqlite3.connect(memory / "watched" / "later.db")) as connection:
        connection.execute("CREATE TABLE t (x)")
    assert [state.confirmed for state in recorder.crash_states()] == [0]
