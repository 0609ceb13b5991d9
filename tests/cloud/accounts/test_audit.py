"""The audit log: what was written stays as it was, or is found."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from cloud.accounts.audit import AuditLog
from cloud.accounts.chain import ORIGIN, examine, hash_of
from cloud.records.database import Database
from shared.clock import ManualClock
from shared.web.access import Caller
from shared.web.audit import AuditEntry

ADA = Caller("ada", "admin", address="10.0.0.7")


def entry(number: int) -> AuditEntry:
    after = {"verdict": "pass", "note": "Grüße"}
    return AuditEntry("ada", "session", "10.0.0.7", "label", f"box-1/b1/{number}", None, after)


@pytest.fixture
def log(every_database: Database) -> AuditLog:
    made = AuditLog(every_database, ManualClock())
    for number in range(1, 6):
        made.record(entry(number))
    return made


def test_what_was_done_is_read_newest_first(log: AuditLog) -> None:
    log.record(ADA.did("account role", "bob", {"role": "viewer"}, {"role": "engineer"}))
    newest, before = log.newest(2)
    assert (newest.number, newest.who, newest.address) == (6, "ada", "10.0.0.7")
    assert (newest.before, newest.after) == ({"role": "viewer"}, {"role": "engineer"})
    assert before.after == {"verdict": "pass", "note": "Grüße"}
    assert [one.number for one in log.newest(9, before=3)] == [2, 1]


def test_a_whole_log_is_whole_and_its_head_can_be_expected_later(log: AuditLog) -> None:
    noted = log.verify()
    assert (noted.entries, noted.problem) == (5, "")
    log.record(entry(6))
    assert log.verify(noted.head).problem == ""
    assert log.verify(noted.head).head != noted.head


@pytest.mark.parametrize(
    ("damage", "at", "told"),
    [
        ("UPDATE audit SET who = 'eve' WHERE number = 3", 3, "not what was written"),
        ("UPDATE audit SET at = at + 1 WHERE number = 1", 1, "not what was written"),
        ("UPDATE audit SET after = '' WHERE number = 5", 5, "not what was written"),
        ("DELETE FROM audit WHERE number = 2", 2, "missing"),
        ("DELETE FROM audit WHERE number = 1", 1, "missing"),
        ("DELETE FROM audit WHERE number = 5", 5, "should go on"),
        ("DELETE FROM audit", 1, "should go on"),
        ("UPDATE audit_head SET number = 4", 5, "otherwise"),
        ("DELETE FROM audit_head", 1, ""),
    ],
)
def test_what_was_done_to_a_row_is_found_with_its_number(
    log: AuditLog, every_database: Database, damage: str, at: int, told: str
) -> None:
    with every_database.begin() as connection:
        connection.execute(text(damage))
    found = log.verify()
    assert found.problem
    assert told in found.problem
    assert found.at == at


def test_two_rows_that_changed_places_are_found(log: AuditLog, every_database: Database) -> None:
    with every_database.begin() as connection:
        for old, new in ((2, 99), (3, 2), (99, 3)):
            connection.execute(text(f"UPDATE audit SET number = {new} WHERE number = {old}"))  # noqa: S608
    assert log.verify().at == 2


def test_a_log_that_was_cut_with_its_head_is_found_by_what_was_noted_elsewhere(
    log: AuditLog, every_database: Database
) -> None:
    noted = log.verify().head
    with every_database.begin() as connection:
        connection.execute(text("DELETE FROM audit WHERE number > 3"))
        last = connection.execute(text("SELECT hash FROM audit WHERE number = 3")).scalar_one()
        connection.execute(text("UPDATE audit_head SET number = 3, hash = :last"), {"last": last})
    assert log.verify().problem == ""
    assert "cut, or rewritten" in log.verify(noted).problem
    # And what is written after the cut does not heal it.
    log.record(entry(4))
    assert "cut, or rewritten" in log.verify(noted).problem


def test_a_log_that_was_computed_anew_is_found_by_what_was_noted_elsewhere(
    log: AuditLog, every_database: Database
) -> None:
    noted = log.verify().head
    forged = AuditLog(every_database, ManualClock())
    with every_database.begin() as connection:
        connection.execute(text("DELETE FROM audit"))
        connection.execute(text("UPDATE audit_head SET number = 0, hash = :o"), {"o": ORIGIN})
    for number in range(1, 6):
        forged.record(entry(number + 10))
    assert forged.verify().problem == ""
    assert forged.verify(noted).problem


def test_entries_of_several_workers_make_one_chain(every_database: Database) -> None:
    url = every_database.engine.url.render_as_string(hide_password=False)
    workers = [Database(url) for _ in range(3)]
    failures: list[BaseException] = []

    def write(database: Database) -> None:
        log = AuditLog(database, ManualClock())
        try:
            for number in range(20):
                log.record(entry(number))
        except BaseException as error:  # noqa: BLE001 - told below
            failures.append(error)

    threads = [threading.Thread(target=write, args=(one,)) for one in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for one in workers:
        one.close()
    assert failures == []
    found = AuditLog(every_database, ManualClock()).verify()
    assert (found.entries, found.problem) == (60, "")


def test_an_entry_is_kept_with_its_change_or_neither(every_database: Database) -> None:
    log = AuditLog(every_database, ManualClock())

    def fail() -> None:
        with every_database.begin() as connection:
            log.append(connection, entry(1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert log.verify().entries == 0


@pytest.mark.parametrize("strange", ["a\0b", "\ud800", "x" * 1000, "'; DROP TABLE audit; --", "🙂"])
def test_any_text_can_be_written_down(every_database: Database, strange: str) -> None:
    log = AuditLog(every_database, ManualClock())
    log.record(AuditEntry(strange, "machine", strange, strange, strange, {"a": strange}, None))
    assert log.verify().problem == ""
    assert len(log.newest(1)[0].who) <= 100


def rows(count: int) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    last = ORIGIN
    for number in range(1, count + 1):
        row: dict[str, Any] = dict.fromkeys(("who", "means", "address", "what", "subject"), "x")
        row |= {"number": number, "at": 0.5, "before": "", "after": "{}", "previous": last}
        row["hash"] = last = hash_of(row)
        made.append(row)
    return made


@given(st.data())
def test_no_single_change_goes_unnoticed(data: st.DataObject) -> None:
    made = rows(6)
    head = made[-1]["hash"]
    place = data.draw(st.integers(0, 5))
    name = data.draw(st.sampled_from(sorted(made[0])))
    old = made[place][name]
    new = {int: 7, float: 0.25, str: "y"}[type(old)]
    made[place] = {**made[place], name: new}
    assert examine(made, 6, head).at == place + 1
