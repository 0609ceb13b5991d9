"""The journal holds the last finished round, whole, or says that it can't be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fleet.rounds.coordination.journal import NAME, RunJournal, RunProgress, Terms
from fleet.rounds.report.findings import Contribution, Exclusion, RoundRecord
from shared.errors import FederationError

TERMS = Terms("run", "fedadam", 5, 0, "base", "layout", "settings")


def progress() -> RunProgress:
    record = RoundRecord(
        round=3,
        outcome="finished",
        took_part=[Contribution("north", 12, 0.5)],
        aside=[Exclusion("south", "no labels")],
        late=["west"],
        bytes_down=10,
        bytes_up=20,
        seconds=1.5,
    )
    memory = {"m/a": np.array([0.25]), "v/a": np.array([1e-300])}
    return RunProgress(TERMS, np.array([1.0, 2.0**-60]), memory, [record])


def test_what_was_kept_is_read_again_to_the_last_bit(tmp_path: Path) -> None:
    journal = RunJournal(tmp_path / "run")
    assert journal.read() is None
    journal.keep(progress())
    found, kept = journal.read(), progress()
    assert found is not None
    assert found.terms == kept.terms
    assert found.history == kept.history
    assert found.round == 3
    assert np.array_equal(found.values, kept.values)
    assert found.memory.keys() == kept.memory.keys()
    assert all(np.array_equal(found.memory[n], kept.memory[n]) for n in kept.memory)


def test_half_a_file_beside_it_changes_nothing(tmp_path: Path) -> None:
    journal = RunJournal(tmp_path)
    journal.keep(progress())
    (tmp_path / f"{NAME}.partial").write_bytes(b"half of the next")
    found = journal.read()
    assert found is not None
    assert found.round == 3


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_journal_that_is_cut_off_is_refused_by_name(tmp_path: Path, share: float) -> None:
    journal = RunJournal(tmp_path)
    journal.keep(progress())
    whole = (tmp_path / NAME).read_bytes()
    (tmp_path / NAME).write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(FederationError, match=r"journal\.npz can't be read"):
        journal.read()


def test_a_journal_that_cant_be_written_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FederationError, match="can't be written"):
        RunJournal(tmp_path / "file").keep(progress())
