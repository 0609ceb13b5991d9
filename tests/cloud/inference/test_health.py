"""What health says of the cloud's broker."""

from __future__ import annotations

import pytest

from cloud.health.monitor import HealthMonitor
from cloud.inference.intake import of_escalations
from cloud.records.database import Database
from shared.clock import ManualClock
from shared.topics import everyone_handed
from shared.transport.memory import MemoryBroker
from shared.transport.mqtt import MAX_ABOUT
from tests.cloud.inference.rig import CloudWorker
from tests.cloud.makers import NOON


@pytest.fixture
def worker(database: Database) -> CloudWorker:
    return CloudWorker(MemoryBroker(), database, ManualClock(utc=NOON), [])


def monitor(worker: CloudWorker, database: Database) -> HealthMonitor:
    return HealthMonitor(
        transport=worker.transport,
        broker_address="plant:8883",
        embedded=False,
        database=database,
        writer=worker.writer,
        tails=worker.tails,
        queue=worker.queue,
        counters=worker.counters,
        dead=worker.dead,
        roster=worker.roster,
    )


def test_a_broker_that_is_away_is_told_with_the_reason(
    worker: CloudWorker, database: Database
) -> None:
    worker.transport.problems["broker"] = "the broker's certificate has expired"
    worker.transport.lose()
    found = monitor(worker, database)()
    assert not found.ok
    (told,) = found.problems
    assert "plant:8883 is not connected (the broker's certificate has expired): devices" in told


def test_what_a_broker_refuses_is_told(worker: CloudWorker, database: Database) -> None:
    text = "the broker refuses a message: not authorised"
    worker.transport.problems["topic a"] = text
    found = monitor(worker, database)()
    assert not found.ok
    assert found.problems == [f"The broker, topic a: {text}."]


def test_rules_of_a_broker_from_before_workers_handed_on_end_no_service(
    worker: CloudWorker, database: Database
) -> None:
    text = "the broker refuses the subscription: not authorised"
    refused = everyone_handed("0123456789abcdef", shared_as="f" * 32 + "-0123456789abcdef")
    worker.transport.problems[f"subscription {refused}"[:MAX_ABOUT]] = text
    found = monitor(worker, database)()
    assert (found.ok, len(found.warnings)) == (True, 1)
    worker.transport.problems[f"subscription {of_escalations('f' * 32)}"[:MAX_ABOUT]] = text
    found = monitor(worker, database)()
    assert (found.ok, len(found.problems), len(found.warnings)) == (False, 1, 1)


def test_what_one_device_sends_does_not_make_the_cloud_look_ill(
    worker: CloudWorker, database: Database
) -> None:
    text = "a message on 'x' can't be read, and is left out"
    worker.transport.problems["unreadable"] = text
    found = monitor(worker, database)()
    assert found.ok
    assert found.warnings == [f"The broker, unreadable: {text}."]
