"""Alerts in the database, whoever looks after them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest

from cloud.alerts import lifecycle
from cloud.alerts.board import AlertBoard, AlertFilter
from cloud.alerts.conditions import NAMES, AlertCondition
from cloud.alerts.keeper import LEASE_S, AlertKeeper, Watch
from cloud.alerts.notice_outbox import NoticeOutbox
from cloud.alerts.rules import Rule
from cloud.alerts.store import AlertStore
from cloud.records.database import Database
from shared.clock import ManualClock
from shared.errors import RecordsError
from shared.worker import DeadWorkers

BAD = AlertCondition("reject_rate", "Half are rejected.", "Look.", "plant", "line-1")
LINK = AlertCondition("box_offline", "It is gone.", "Look.", "plant", "line-1", "box-1")


class Plant:
    """What is wrong, as a test says it, and who looks after it."""

    def __init__(self, database: Database, channels: Sequence[str] = ("lamp",)) -> None:
        self.clock = ManualClock()
        self.database = database
        self.wrong: list[AlertCondition] = []
        self.failing = False
        self.store = AlertStore(database, channels)
        self.board = AlertBoard(database, self.clock)
        self.keeper = self.worker("w1")

    def worker(self, name: str) -> AlertKeeper:
        watch = Watch(frozenset(NAMES), self._look)
        store = AlertStore(self.database, ("lamp",))
        return AlertKeeper(store, [watch], self.clock, DeadWorkers(), worker=name, every_s=2.0)

    def pass_time(self, seconds: float, every_s: float = 2.0) -> list[str]:
        """What happened meanwhile, in order."""
        happened: list[str] = []
        for _ in range(round(seconds / every_s)):
            self.clock.advance(every_s)
            happened += [change.event.what for change in self.keeper.tick()]
        return happened

    def _look(self) -> list[AlertCondition]:
        if self.failing:
            raise RecordsError("the database is away")
        return self.wrong


def test_an_alert_is_raised_shown_acknowledged_and_over(every_database: Database) -> None:
    plant = Plant(every_database)
    plant.wrong = [BAD]
    assert plant.pass_time(10) == ["raised"]
    (alert,) = plant.board.open()
    assert (alert.state, alert.title, alert.line) == (
        "unacknowledged",
        "Reject rate",
        "line-1",
    )
    assert plant.board.counts().unacknowledged == 1
    plant.store.change(
        alert.id,
        lambda one: lifecycle.acknowledged(one, "ada", plant.clock.utc()),
        lambda *_: None,
        plant.clock.utc(),
    )
    plant.wrong = []
    assert plant.pass_time(200) == ["ended"]
    assert plant.board.open() == []
    (past,) = plant.board.history(AlertFilter(line="line-1"), 10)
    assert (past.state, past.by) == ("normal", "ada")
    events = [(one.what, one.who) for one in plant.board.events(alert.id)]
    assert events == [("raised", ""), ("acknowledged", "ada"), ("ended", "")]


def test_a_restart_loses_no_alert_and_no_delay(every_database: Database) -> None:
    plant = Plant(every_database)
    plant.wrong = [LINK]
    assert plant.pass_time(6) == []
    plant.keeper = plant.worker("w1")
    assert plant.pass_time(8) == ["raised"]
    plant.keeper = plant.worker("w1")
    assert plant.pass_time(20) == []
    assert len(plant.board.open()) == 1


def test_what_can_not_be_looked_at_has_not_ended(every_database: Database) -> None:
    plant = Plant(every_database)
    plant.wrong = [BAD]
    plant.pass_time(4)
    plant.failing = True
    assert plant.pass_time(600, 20) == []
    plant.failing = False
    assert [one.state for one in plant.board.open()] == ["unacknowledged"]


def test_of_several_workers_one_looks_and_another_goes_on_when_it_is_gone(
    database: Database,
) -> None:
    plant = Plant(database)
    other = plant.worker("w2")
    plant.wrong = [BAD]
    assert plant.pass_time(4) == ["raised"]
    assert other.tick() == []
    assert plant.keeper.leads
    assert not other.leads
    plant.keeper.stop()
    assert other.tick() == []
    assert other.leads


def test_workers_that_raise_at_once_raise_one_alert(every_database: Database) -> None:
    plant = Plant(every_database)
    stores = [AlertStore(every_database, ("lamp",)) for _ in range(4)]
    at_once, found = threading.Barrier(len(stores)), []

    def look(store: AlertStore) -> None:
        at_once.wait()
        found.extend(store.advance([BAD], NAMES, plant.clock.utc()))

    threads = [threading.Thread(target=look, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [change.event.what for change in found] == ["raised"]
    assert len(plant.board.open()) == 1
    assert len(NoticeOutbox(every_database).due("lamp", plant.clock.utc(), 99)) == 1


def test_a_person_and_the_clock_at_the_same_time_lose_nothing(every_database: Database) -> None:
    plant = Plant(every_database)
    plant.wrong = [BAD]
    plant.pass_time(4)
    (alert,) = plant.board.open()
    now = plant.clock.utc()

    def change(one: lifecycle.Alert) -> lifecycle.Step:
        if plant.wrong:
            # Meanwhile it goes, which is written first.
            plant.wrong = []
            plant.store.advance([], NAMES, now + 1)
            plant.store.advance([], NAMES, now + 100)
        return lifecycle.acknowledged(one, "ada", now + 101)

    if every_database.engine.dialect.name == "sqlite":
        plant.wrong = []
    plant.store.change(alert.id, change, lambda *_: None, now + 101)
    after = plant.board.alert(alert.id)
    assert after is not None
    assert after.by == "ada"


def test_a_rule_of_a_line_changes_what_is_told_there(every_database: Database) -> None:
    plant = Plant(every_database)
    plant.store.set_rule(Rule("reject_rate", "plant", "line-1", enabled=False), lambda *_: None)
    plant.wrong = [BAD, replace(BAD, line="line-2")]
    plant.pass_time(10)
    assert [one.line for one in plant.board.open()] == ["line-2"]
    before: list[Rule] = []
    rule = Rule("reject_rate", "plant", "line-1", delay_s=6, again_s=60)
    plant.store.set_rule(rule, lambda _connection, was: before.append(was))
    assert not before[0].enabled
    assert plant.pass_time(4) == []
    assert plant.pass_time(4) == ["raised"]
    assert plant.pass_time(62) == ["again"]


def test_turning_a_rule_off_ends_what_it_told(database: Database) -> None:
    plant = Plant(database)
    plant.wrong = [BAD]
    plant.pass_time(4)
    plant.store.set_rule(replace(Rule.usual("reject_rate"), enabled=False), lambda *_: None)
    assert plant.pass_time(120) == ["returned"]


def test_one_notice_is_written_for_each_channel_with_what_happened(database: Database) -> None:
    plant = Plant(database, ("lamp", "mail"))
    plant.keeper = AlertKeeper(
        plant.store,
        [Watch(frozenset(NAMES), lambda: plant.wrong)],
        plant.clock,
        DeadWorkers(),
        worker="w1",
        every_s=2.0,
    )
    plant.wrong = [LINK]
    plant.pass_time(14)
    outbox = NoticeOutbox(database)
    (mail,) = outbox.due("mail", plant.clock.utc(), 9)
    (lamp,) = outbox.due("lamp", plant.clock.utc(), 9)
    assert mail.facts == lamp.facts
    assert mail.headline == "Alert: Box offline, plant / line-1 / box-1"
    assert mail.facts["says"] == LINK.says


def test_what_was_over_long_ago_is_forgotten(database: Database) -> None:
    plant = Plant(database)
    plant.wrong = [BAD]
    plant.pass_time(4)
    (alert,) = plant.board.open()
    plant.wrong = []
    plant.pass_time(120)
    now = plant.clock.utc()
    plant.store.change(
        alert.id, lambda one: lifecycle.acknowledged(one, "ada", now), lambda *_: None, now
    )
    plant.store.forget(now + 300 * 86400)
    assert plant.board.alert(alert.id) is not None
    plant.store.forget(now + 401 * 86400)
    assert plant.board.alert(alert.id) is None
    assert plant.board.events(alert.id) == []


def test_a_lease_is_the_databases_own_and_ends_by_itself(every_database: Database) -> None:
    store = AlertStore(every_database)
    assert store.hold("w1", LEASE_S)
    assert store.hold("w1", LEASE_S)
    assert not store.hold("w2", LEASE_S)
    assert store.hold("w1", -1.0)
    assert store.hold("w2", LEASE_S)


@pytest.mark.parametrize("text", ["a" * 5000, "nul\0", "\ud800"])
def test_what_a_box_says_is_kept_as_far_as_a_database_can(database: Database, text: str) -> None:
    plant = Plant(database)
    plant.wrong = [replace(BAD, says=text, about=text[:200])]
    assert plant.pass_time(4) == ["raised"]
    assert plant.pass_time(10) == []
