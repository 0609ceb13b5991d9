"""Defective parts by kind: roll-ups say what the table says, and an inspector before the tail."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud.records.database import Database
from cloud.records.rollup_tables import MINUTE_S
from cloud.records.rollups import RollupScope
from tests.cloud.makers import NOON, inspection, label, tail
from tests.cloud.records.test_rollups import Rolling, hidden
from tests.support.databases import place_migrated

REJECTED = {"verdict": "reject", "decision": "escalate", "decided_by": "cloud"}


def test_an_inspectors_word_counts_before_the_lines_and_a_kind_before_the_tails(
    every_database: Database,
) -> None:
    plant = Rolling(every_database, NOON + 10 * MINUTE_S)
    plant.store.save(
        [inspection(n, **REJECTED) for n in range(1, 6)] + [inspection(6), inspection(7)],
        [tail(1, kind="crack"), tail(2, kind="crack"), tail(3, kind="hole"), tail(4, kind="hole")],
    )
    plant.worker.roll()
    assert plant.rollups.kinds() == {"crack": 2, "hole": 2, "": 1}
    plant.store.label(label(2, verdict="reject", kind="scratch"))
    plant.store.label(label(3, verdict="pass"))
    plant.store.label(label(6, verdict="reject", kind="scratch"))
    plant.store.label(label(4, verdict="reject"))
    plant.worker.roll()
    assert plant.rollups.kinds() == {"scratch": 2, "": 1, "crack": 1, "hole": 1}
    assert plant.rollups.kinds(RollupScope(line="line-2")) == {}
    with pytest.raises(ValueError, match="device"):
        plant.rollups.kinds(RollupScope(device="box-1"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
@given(
    parts=st.lists(
        st.tuples(
            st.integers(0, 3 * 3600),
            st.sampled_from(["", "crack", "hole"]),
            st.sampled_from([None, "pass", "reject"]),
            st.sampled_from(["line-1", "line-2"]),
        ),
        max_size=12,
    ),
    since=st.integers(0, 3 * 3600),
    lasts=st.integers(0, 3 * 3600),
)
def test_roll_ups_count_kinds_as_the_table_does(
    tmp_path_factory: pytest.TempPathFactory,
    parts: list[tuple[int, str, str | None, str]],
    since: int,
    lasts: int,
) -> None:
    path = place_migrated(Database, Path(tmp_path_factory.mktemp("kinds")) / "r.db")
    database = Database(f"sqlite:///{path}")
    plant = Rolling(database, NOON + 4 * 3600)
    for number, (at, kind, said, line) in enumerate(parts, start=1):
        came = NOON + at
        plant.store.save(
            [inspection(number, **REJECTED, received_at=came, line=line)],
            [tail(number, kind=kind, line=line, received_at=came)] if kind else [],
        )
        if said:
            plant.store.label(label(number, verdict=said))
    plant.worker.roll()
    for scope in (RollupScope(), RollupScope(line="line-1")):
        asked = (scope, NOON + since, NOON + since + lasts)
        with hidden(database):
            plain = plant.rollups.kinds(*asked)
        assert plant.rollups.kinds(*asked) == plain
    database.close()
