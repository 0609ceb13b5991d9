"""The records on SQLite and on PostgreSQL."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, insert, text
from sqlmodel import SQLModel

import cloud.accounts.tables
import cloud.alerts.tables
import cloud.drift.tables
import cloud.labels.tables  # noqa: F401 - all tables there are
from cloud.records.database import MIGRATIONS, Database
from cloud.records.queries import Filter, Records
from cloud.records.store import RecordStore
from cloud.records.summary import summarise
from cloud.records.tables import INSPECTIONS, LabelRecord
from shared.contracts import DECIDERS, Control, InspectionKey, Verdict
from shared.errors import RecordsError, SettingsError
from shared.inspection import COLUMNS
from shared.loopback import free_port
from shared.storage.migration import is_current, migration_config
from tests.cloud.makers import NOON, device, inspection, label, tail
from tests.system.deployed import OldInspectionRow

KEY = InspectionKey("box-1", "b1", 1)
# What a line does with a part that waits for a person.
REVIEW = {"decision": "escalate", "verdict": "review", "decided_by": "cloud"}
ALONE = {"decision": "review", "verdict": "review", "decided_by": "edge"}
LATE = {"decision": "escalate", "verdict": "reject", "decided_by": "deadline"}
# Columns that inspections got since the first tables.
ADDED = {column.name for column in COLUMNS} - set(OldInspectionRow.__struct_fields__)


def test_the_migrations_make_exactly_the_tables_of_the_models(every_database: Database) -> None:
    with every_database.begin() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, SQLModel.metadata) == []


def test_what_an_earlier_version_stored_is_still_there_after_migrating(empty_url: str) -> None:
    database = Database(empty_url)
    with database.begin() as connection:
        command.upgrade(migration_config(connection, MIGRATIONS), "0001")
    later = {"kind", "kind_probability", "coarseness", "queue_ms", "tail_ms"}
    row = {name: value for name, value in tail(1).items() if name not in later}
    columns = ", ".join(row)
    with database.begin() as connection:
        connection.execute(
            text(f"INSERT INTO tail_results ({columns}) VALUES (:{', :'.join(row)})"),  # noqa: S608
            row,
        )
    database.migrate()
    found = Records(database).inspection(KEY)
    assert found is not None
    assert found.tail is not None
    assert (found.tail.kind, found.tail.kind_probability, found.tail.coarseness) == (None, None, 1)
    with database.begin() as connection:
        command.downgrade(migration_config(connection, MIGRATIONS), "0001")
        (part,) = connection.execute(text("SELECT part FROM tail_results")).one()
    assert part == 1
    database.close()


def test_inspections_from_before_a_field_have_its_default(empty_url: str) -> None:
    database = Database(empty_url)
    with database.begin() as connection:
        command.upgrade(migration_config(connection, MIGRATIONS), "0004")
    row = inspection(1)
    old = {name: value for name, value in row.items() if name not in ADDED}
    with database.begin() as connection:
        connection.execute(INSPECTIONS.insert().values(old))
    database.migrate()
    found = Records(database).inspections(Filter(), limit=9).inspections
    wanted = {column.name: column.default for column in COLUMNS if column.name in ADDED}
    assert [view.model_dump(include=ADDED) for view in found] == [wanted]
    with database.begin() as connection:
        command.downgrade(migration_config(connection, MIGRATIONS), "0004")
        assert connection.execute(text("SELECT part FROM inspections")).one() == (1,)
    database.close()


def test_migrating_twice_changes_nothing(every_database: Database) -> None:
    RecordStore(every_database).save([inspection(1)])
    every_database.migrate()
    assert Records(every_database).inspection(KEY) is not None


def test_tables_of_a_newer_version_are_refused_with_what_to_do(every_database: Database) -> None:
    with every_database.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(RecordsError, match="made by another version") as caught:
        every_database.migrate()
    assert "newer" in caught.value.fix


def test_what_is_stored_under_a_key_stays_as_it_was(every_database: Database) -> None:
    store, records = RecordStore(every_database), Records(every_database)
    store.save([inspection(1), inspection(2)], [tail(1)])
    store.save([inspection(1, verdict="reject"), inspection(3)], [tail(1, verdict="pass")])
    found = records.inspection(KEY)
    assert found is not None
    assert found.verdict == "pass"
    assert found.tail is not None
    assert found.tail.verdict == "reject"
    assert len(records.inspections(Filter(), limit=10).inspections) == 3


def test_one_key_twice_in_one_commit_is_stored_once(every_database: Database) -> None:
    RecordStore(every_database).save([inspection(1), inspection(1)], [tail(1), tail(1)])
    assert summarise(every_database).inspected == 1


def test_a_review_is_kept_beside_what_was_decided_and_the_last_word_counts(
    every_database: Database,
) -> None:
    store, records = RecordStore(every_database), Records(every_database)
    store.save([inspection(1), inspection(2, decision="escalate", decided_by="cloud")], [tail(2)])
    store.label(label(1, verdict="reject", kind="crack"))
    store.label(label(1, inspector="meyer", reviewed_at=NOON + 99))
    found = records.inspection(KEY)
    assert found is not None
    assert (found.verdict, found.decided_by) == ("pass", "edge")
    assert found.label is not None
    assert (found.label.verdict, found.label.kind) == ("pass", None)
    assert (found.label.inspector, found.label.reviewed_at) == ("meyer", NOON + 99)

    def parts(*, reviewed: bool | None = None, doubtful: bool | None = None) -> list[int]:
        wanted = Filter(reviewed=reviewed, doubtful=doubtful)
        return [view.part for view in records.inspections(wanted, limit=9).inspections]

    assert (parts(reviewed=True), parts(reviewed=False)) == ([1], [2])
    assert (parts(doubtful=True), parts(doubtful=False)) == ([2], [1])
    assert parts(doubtful=True, reviewed=True) == []


def test_an_escalation_can_be_reviewed_before_its_inspection_is_reported(
    every_database: Database,
) -> None:
    store = RecordStore(every_database)
    store.save(tails=[tail(1)])
    store.label(label(1))
    found = Records(every_database).inspection(KEY)
    assert found is not None
    assert found.label is not None


@pytest.mark.parametrize(
    ("late", "contradicts"), [("pass", True), ("reject", False), ("review", False)]
)
def test_a_late_answer_contradicts_where_it_would_have_done_otherwise(
    every_database: Database, late: Verdict, *, contradicts: bool
) -> None:
    store, records = RecordStore(every_database), Records(every_database)
    store.save([inspection(1, **LATE)], [tail(1, verdict=late)])

    def contradicted() -> bool:
        found = records.inspection(KEY)
        assert found is not None
        assert summarise(every_database).contradicted == found.contradicted
        return found.contradicted

    assert contradicted() == contradicts
    # What an inspector says since is about the part, not about what was late.
    store.label(label(1, verdict="pass"))
    assert contradicted() == contradicts


@pytest.mark.parametrize(("control", "contradicts"), [("pass", False), ("review", True)])
def test_an_answer_contradicts_no_part_that_was_drawn_as_a_control(
    every_database: Database, control: Control, *, contradicts: bool
) -> None:
    line = REVIEW if control == "pass" else LATE
    RecordStore(every_database).save(
        [inspection(1, **line, control=control)], [tail(1, verdict="pass")]
    )
    found = Records(every_database).inspection(KEY)
    assert found is not None
    assert (found.control, found.contradicted) == (control, contradicts)
    assert summarise(every_database).contradicted == int(contradicts)


@pytest.mark.parametrize("line", [REVIEW, LATE, ALONE], ids=["cloud", "deadline", "edge"])
@pytest.mark.parametrize("label_first", [False, True])
def test_a_label_settles_a_part_that_waited_whichever_comes_first(
    every_database: Database, line: dict[str, str], *, label_first: bool
) -> None:
    store, records = RecordStore(every_database), Records(every_database)
    reported = inspection(1, **line)
    if label_first:
        store.save(tails=[tail(1, verdict="review")])
        store.label(label(1, verdict="pass"))
        store.save([reported])
    else:
        store.save([reported], [tail(1, verdict="review")])
        store.label(label(1, verdict="pass"))
    for verdict in ("pass", "reject"):
        store.label(label(1, verdict=verdict))
        # The device did not hear the receipt and says it again.
        store.save([reported])
        found = records.inspection(KEY)
        assert found is not None
        assert (found.verdict, found.decided_by) == (verdict, "inspector")
        assert found.line_verdict == line["verdict"]
        assert found.line_decided_by == line["decided_by"]
        assert found.label is not None
        assert found.label.settles is True
        assert summarise(every_database).by_decider == {
            **dict.fromkeys(DECIDERS, 0),
            line["decided_by"]: 1,
        }


def test_what_was_cut_short_before_it_settled_is_settled_by_its_repetition(
    every_database: Database,
) -> None:
    store, records = RecordStore(every_database), Records(every_database)
    store.save([inspection(1, **REVIEW)])
    with every_database.begin() as connection:
        # Another worker stored the label and ended there.
        connection.execute(insert(LabelRecord).values(label(1).model_dump()))
    store.save([inspection(1, **REVIEW)])
    found = records.inspection(KEY)
    assert found is not None
    assert (found.verdict, found.decided_by) == ("pass", "inspector")


@pytest.mark.parametrize("decided_by", ["edge", "cloud"])
@pytest.mark.parametrize("verdict", ["pass", "reject"])
def test_a_label_on_a_part_that_has_gone_corrects_nothing(
    every_database: Database, verdict: Verdict, decided_by: str
) -> None:
    store, records = RecordStore(every_database), Records(every_database)
    store.save([inspection(1, verdict=verdict, decided_by=decided_by)])
    store.label(label(1, verdict="pass" if verdict == "reject" else "reject"))
    found = records.inspection(KEY)
    assert found is not None
    assert (found.verdict, found.decided_by) == (verdict, decided_by)
    assert (found.line_verdict, found.line_decided_by) == (None, None)
    assert found.label is not None
    assert found.label.settles is False


@pytest.mark.parametrize("tail_first", [False, True])
def test_what_an_old_device_rejected_for_review_is_recorded_as_a_review(
    every_database: Database, *, tail_first: bool
) -> None:
    store, records = RecordStore(every_database), Records(every_database)
    told = {"decision": "escalate", "verdict": "reject", "decided_by": "cloud"}
    rows = [inspection(1, **told), inspection(2, **told), inspection(3, **LATE)]
    tails = [tail(1, verdict="review"), tail(2), tail(3, verdict="review")]
    if tail_first:
        store.save(tails=tails)
        store.save(rows)
    else:
        store.save(rows)
        store.save(tails=tails)
    found = {view.part: view.verdict for view in records.inspections(Filter(), limit=9).inspections}
    assert found == {1: "review", 2: "reject", 3: "reject"}
    store.label(label(1))
    (settled,) = records.inspections(Filter(decided_by="inspector"), limit=9).inspections
    assert (settled.part, settled.verdict, settled.line_verdict) == (1, "pass", "review")


def test_what_waits_for_a_person_is_a_queue_that_labels_empty(every_database: Database) -> None:
    store, records = RecordStore(every_database), Records(every_database)
    rows = [inspection(1, **REVIEW), inspection(2, **LATE), inspection(3, **ALONE), inspection(4)]
    store.save([*rows, inspection(5, verdict="reject")], [tail(1, verdict="review")])

    def queue(*, waits: bool) -> list[int]:
        found = records.inspections(Filter(to_review=waits), limit=9).inspections
        return [view.part for view in found]

    counts = summarise(every_database)
    assert (counts.passed, counts.rejected, counts.in_review) == (1, 2, 2)
    assert (counts.to_review, counts.settled) == (3, 0)
    assert (queue(waits=True), queue(waits=False)) == ([3, 2, 1], [5, 4])
    assert [view.part for view in records.last_defects(9)] == [5, 3, 2, 1]
    store.label(label(1))
    store.label(label(2, verdict="reject"))
    store.label(label(4, verdict="reject"))
    counts = summarise(every_database)
    assert (counts.passed, counts.rejected, counts.in_review) == (2, 2, 1)
    assert (counts.to_review, counts.settled) == (1, 2)
    assert counts.by_decider == {"edge": 3, "cloud": 1, "deadline": 1, "inspector": 0}
    assert (queue(waits=True), queue(waits=False)) == ([3], [5, 4, 2, 1])
    # A part that an inspector has passed is no defect any more; of a doubtful one that is settled
    # the box was not sure all the same.
    assert [view.part for view in records.last_defects(9)] == [5, 3, 2]
    doubtful = records.inspections(Filter(doubtful=True), limit=9).inspections
    assert [view.part for view in doubtful] == [3, 2, 1]
    minutes = records.counts(now=NOON + 30, minutes=1).minutes
    assert [(minute.edge, minute.cloud, minute.deadline) for minute in minutes] == [(3, 1, 1)]


def test_what_an_agent_that_was_taken_back_reports_of_a_review_waits_for_a_person(
    every_database: Database,
) -> None:
    store, records = RecordStore(every_database), Records(every_database)
    taken_back = {"decision": "escalate", "verdict": "reject", "decided_by": "edge"}
    own = {"decision": "reject", "verdict": "reject", "decided_by": "edge"}
    store.save([inspection(1, **taken_back), inspection(2, **own)])
    waiting = records.inspections(Filter(to_review=True), limit=9).inspections
    assert [(one.sequence, one.verdict) for one in waiting] == [(1, "review")]


def test_a_version_without_review_finds_what_the_line_did(empty_url: str) -> None:
    database = Database(empty_url)
    database.migrate()
    store = RecordStore(database)
    rows = [inspection(1, **LATE), inspection(2, **REVIEW), inspection(3, **ALONE)]
    store.save(rows, [tail(2, verdict="review")])
    store.label(label(1, verdict="pass"))
    store.label(label(3, verdict="pass"))
    with database.begin() as connection:
        command.downgrade(migration_config(connection, MIGRATIONS), "0007")
        query = text("SELECT decision, verdict, decided_by FROM inspections ORDER BY sequence")
        assert [tuple(row) for row in connection.execute(query)] == [
            ("escalate", "reject", "deadline"),
            ("escalate", "reject", "cloud"),
            ("escalate", "reject", "edge"),
        ]
        assert connection.execute(text("SELECT verdict FROM tail_results")).one() == ("reject",)
    database.close()


def test_an_escalation_is_shown_before_its_inspection_is_reported(
    every_database: Database,
) -> None:
    RecordStore(every_database).save(tails=[tail(1)])
    records = Records(every_database)
    found = records.inspection(KEY)
    assert found is not None
    assert (found.decision, found.verdict) == ("escalate", None)
    assert [view.part for view in records.last_defects(5)] == [1]


def test_the_last_defects_of_a_line_are_its_own_however_many_others_came_since(
    every_database: Database,
) -> None:
    quiet: dict[str, Any] = {"line": "line-2", "device": "box-2"}
    store, records = RecordStore(every_database), Records(every_database)
    store.save(
        [
            inspection(1, verdict="reject", **quiet),
            # The box passed it before the tail had answered.
            inspection(2, verdict="pass", **quiet),
            inspection(3, verdict="pass", **quiet),
            *(inspection(n, verdict=("reject", "review")[n % 2]) for n in range(11, 31)),
        ],
        [tail(2, **quiet), tail(3, verdict="pass", **quiet), tail(4, **quiet), tail(40)],
    )
    of_line = records.last_defects(9, "plant", "line-2")
    assert [view.part for view in of_line] == [4, 2, 1]
    assert [view.part for view in records.last_defects(3)] == [40, 30, 29]
    assert records.last_defects(9, "elsewhere") == []


def test_a_device_has_its_last_state_and_an_old_will_does_not_undo_it(
    every_database: Database,
) -> None:
    store, records = RecordStore(every_database), Records(every_database)
    store.save(devices=[device(boot="b1")])
    store.save(devices=[device(boot="b2", problems="lens dirty\ndisk full")])
    store.save(devices=[device(boot="b1", state="offline")])
    (found,) = records.devices()
    assert (found.state, found.boot, found.problems) == (
        "online",
        "b2",
        ["lens dirty", "disk full"],
    )
    store.save(devices=[device(boot="b2", state="offline")])
    assert records.devices()[0].state == "offline"


@pytest.mark.parametrize(
    ("wanted", "parts"),
    [
        (Filter(), [6, 5, 4, 3, 2, 1]),
        (Filter(verdict="reject"), [4, 3]),
        (Filter(decided_by="deadline"), [4]),
        (Filter(escalated=True), [4, 3]),
        (Filter(escalated=False, part_from=2, part_to=5), [5, 2]),
        (Filter(since=NOON + 2, until=NOON + 4), [3, 2]),
        (Filter(device="box-2"), [6]),
        (Filter.model_validate({"lot": "L1", "verdict": "pass"}), [5, 2]),
        (Filter(site="plant", line="line-9"), []),
    ],
)
def test_filters_choose(every_database: Database, wanted: Filter, parts: list[int]) -> None:
    rejected: dict[str, Any] = {"decision": "escalate", "verdict": "reject"}
    RecordStore(every_database).save(
        [
            inspection(1),
            inspection(2, lot="L1"),
            inspection(3, decided_by="cloud", lot="L1", **rejected),
            inspection(4, decided_by="deadline", **rejected),
            inspection(5, lot="L1"),
            inspection(6, device="box-2"),
        ]
    )
    page = Records(every_database).inspections(wanted, limit=10)
    assert [view.part for view in page.inspections] == parts


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(0, 3)), unique_by=lambda pair: pair[0]),
    st.integers(1, 7),
)
def test_pages_show_every_inspection_once_newest_first(
    database: Database, rows: list[tuple[int, int]], limit: int
) -> None:
    with database.begin() as connection:
        connection.execute(text("DELETE FROM inspections"))
    # Few different times, so that pages break between inspections of one moment.
    RecordStore(database).save([inspection(n, received_at=NOON + at) for n, at in rows])
    seen, cursor = [], None
    while True:
        page = Records(database).inspections(Filter(), limit=limit, cursor=cursor)
        seen += [(view.received_at, view.sequence) for view in page.inspections]
        cursor = page.next
        if cursor is None:
            break
    assert seen == sorted(((NOON + at, n) for n, at in rows), reverse=True)


def test_a_cursor_of_another_is_refused(database: Database) -> None:
    with pytest.raises(SettingsError, match="none of ours"):
        Records(database).inspections(Filter(), limit=1, cursor="x!")


def test_counts_are_by_minute_and_by_end(every_database: Database) -> None:
    RecordStore(every_database).save(
        [
            inspection(1, received_at=NOON - 61),
            inspection(2, received_at=NOON - 1),
            inspection(3, received_at=NOON, decided_by="cloud", verdict="reject"),
            inspection(4, received_at=NOON - 9999),
        ]
    )
    counts = Records(every_database).counts(now=NOON + 30, minutes=3)
    assert [(m.at - NOON, m.edge, m.cloud) for m in counts.minutes] == [
        (-120, 1, 0),
        (-60, 1, 0),
        (0, 0, 1),
    ]
    ends = {(c.decided_by, c.verdict): c.count for c in counts.totals}
    assert ends == {("edge", "pass"): 3, ("cloud", "reject"): 1}


def test_the_summary_adds_up(every_database: Database) -> None:
    sent: dict[str, Any] = {"decision": "escalate", "escalated_bytes": 400, "frame_bytes": 8000}
    RecordStore(every_database).save(
        [inspection(1), inspection(2, verdict="reject", decided_by="cloud", **sent)], [tail(2)]
    )
    found = summarise(every_database)
    assert (found.inspected, found.passed, found.rejected, found.escalated) == (2, 1, 1, 1)
    assert found.by_decider == {"edge": 1, "cloud": 1, "deadline": 0, "inspector": 0}
    assert (found.escalated_bytes, found.frame_bytes) == (400, 13000)
    assert (found.escalated_frame_bytes, found.tail_results) == (8000, 1)
    assert (found.total_ms_median, found.cloud_ms_median) == (3.0, 4.0)
    assert summarise(every_database, since=NOON + 100).inspected == 0


def test_only_the_newest_maps_are_kept(every_database: Database) -> None:
    store, records = RecordStore(every_database), Records(every_database)
    store.save(tails=[tail(n) for n in range(1, 6)])
    store.clear_maps(2)
    kept = [n for n in range(1, 6) if records.pictures(InspectionKey("box-1", "b1", n))]
    assert kept == [4, 5]
    store.clear_maps(2)
    assert records.pictures(InspectionKey("box-1", "b1", 4)) is not None


def test_a_locked_file_is_said_and_nothing_is_half_written(
    database: Database, tmp_path: Path
) -> None:
    store = RecordStore(database)
    holder = sqlite3.connect(tmp_path / "records.db")
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(RecordsError, match="locked") as caught:
        store.save([inspection(1)], [tail(1)])
    assert "devices send again" in caught.value.fix
    holder.close()
    assert summarise(database).inspected == 0
    store.save([inspection(1)], [tail(1)])
    assert summarise(database).inspected == 1


def test_a_full_disk_is_said_and_nothing_is_half_written(tmp_path: Path) -> None:
    full = Database(f"sqlite:///{tmp_path / 'full.db'}")
    full.migrate()
    full.engine.dispose()

    @event.listens_for(full.engine, "connect")
    def limit(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA max_page_count = 1")

    with pytest.raises(RecordsError, match="full") as caught:
        RecordStore(full).save([inspection(n, source="x" * 1000) for n in range(1, 500)])
    assert "free some disk space" in caught.value.fix
    assert summarise(full).inspected == 0
    full.close()


def test_an_unreachable_server_is_said_without_its_password() -> None:
    url = f"postgresql+psycopg://plant:secret@127.0.0.1:{free_port()}/plant"
    away = Database(url)
    with pytest.raises(RecordsError) as caught:
        away.migrate()
    assert "127.0.0.1" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert not away.answers()
    away.close()


def test_an_unknown_kind_of_database_is_said() -> None:
    with pytest.raises(RecordsError, match="can't be used"):
        Database("floppy://a")


def test_a_database_is_current_once_all_steps_are_done(every_database: Database) -> None:
    with every_database.begin() as connection:
        assert is_current(connection, MIGRATIONS)
        command.downgrade(migration_config(connection, MIGRATIONS), "-1")
        assert not is_current(connection, MIGRATIONS)
    every_database.migrate()
    with every_database.begin() as connection:
        assert is_current(connection, MIGRATIONS)
