"""Whether a database has had every step, told without reading the steps."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from cloud.records.database import MIGRATIONS as OF_RECORDS
from cloud.records.database import Database
from fleet.storage.database import MIGRATIONS as OF_FLEET
from shared.storage.migration import is_current, last_step


@pytest.mark.parametrize("steps", [OF_RECORDS, OF_FLEET], ids=["records", "fleet"])
def test_the_last_step_is_the_one_that_alembic_finds(steps: Path) -> None:
    assert last_step(steps) == ScriptDirectory(str(steps)).get_current_head()


def test_an_empty_database_is_not(tmp_path: Path) -> None:
    with Database(f"sqlite:///{tmp_path / 'new.db'}").begin() as connection:
        assert not is_current(connection, OF_RECORDS)
