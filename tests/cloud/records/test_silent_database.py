"""A database whose words do not arrive, or that can't hold what came, stops nothing for long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from cloud.configuration.settings import CloudSettings
from cloud.records.database import Database
from cloud.records.queries import Filter, Records
from cloud.records.store import RecordStore
from cloud.records.writer import RecordsWriter, StorageBatch
from cloud.service import STOP_S, CloudService
from hardware_sim.network.conditions import Conditions
from hardware_sim.network.proxy import NetworkProxy
from shared.bundles.bundle import Bundle
from shared.clock import ManualClock
from shared.errors import RecordsError
from shared.loopback import free_port
from shared.storage.database import UnstorableRecord
from shared.topics import Address
from shared.transport.mqtt import MqttTransport
from shared.wire import StateMessage, encode
from shared.worker import DeadWorkers
from tests.cloud.conftest import Cluster
from tests.cloud.makers import NOON, inspection, tail
from tests.support.waiting import wait_until

ANSWER_S = 1.5
TOKEN = "0123456789abcdef"  # noqa: S105 - of this test alone
SILENT = Conditions.both(swallow=True)


@pytest.fixture
def far(cluster: Cluster, tmp_path: Path) -> Iterator[tuple[Database, NetworkProxy]]:
    """A migrated PostgreSQL database beyond a network that a test can spoil."""
    url = cluster.create_migrated(f"silent_{tmp_path.name}".lower())
    address, _, name = url.rpartition("@")[2].rpartition("/")
    host, _, port = address.partition(":")
    with NetworkProxy((host, int(port))) as proxy:
        database = Database(
            f"postgresql+psycopg://postgres@127.0.0.1:{proxy.port}/{name}", answer_s=ANSWER_S
        )
        yield database, proxy
        database.close()


def count(database: Database) -> int:
    return len(Records(database).inspections(Filter(), limit=99).inspections)


def timed(work: Callable[[], object]) -> float:
    begun = time.monotonic()
    work()
    return time.monotonic() - begun


def fall_silent(
    database: Database,
    proxy: NetworkProxy,
    told: Callable[[], None] = lambda: None,
    within_s: float | None = None,
) -> None:
    """A transaction that is begun, and whose second statement nobody answers."""
    with database.begin(within_s=within_s) as begun:
        begun.execute(text("SELECT 1"))
        proxy.apply(SILENT)
        told()
        begun.execute(text("SELECT 2"))


@pytest.mark.process
def test_a_silent_database_is_given_up_and_works_again_when_it_is_heard(
    far: tuple[Database, NetworkProxy],
) -> None:
    database, proxy = far
    assert count(database) == 0
    proxy.apply(SILENT)

    def ask() -> None:
        with pytest.raises(RecordsError, match="can't be used") as caught:
            count(database)
        assert "check" in caught.value.fix

    # The ping of a connection from the pool, then a new one: each has its limit.
    assert timed(ask) < 15
    assert timed(database.answers) < 15
    assert not database.answers()
    proxy.apply(Conditions())
    RecordStore(database).save([inspection(1)])
    assert count(database) == 1


@pytest.mark.process
def test_a_transaction_that_becomes_silent_ends_within_its_limit(
    far: tuple[Database, NetworkProxy],
) -> None:
    database, proxy = far

    def work() -> None:
        with pytest.raises(RecordsError, match="did not answer for"):
            fall_silent(database, proxy)

    assert timed(work) < 4 * ANSWER_S + 5


@pytest.mark.process
def test_a_service_that_stops_waits_for_no_silent_database(
    far: tuple[Database, NetworkProxy],
) -> None:
    database, proxy = far
    ended = threading.Event()

    def wait() -> None:
        with pytest.raises(RecordsError):
            fall_silent(database, proxy, waiting.set, within_s=600)
        ended.set()

    waiting = threading.Event()
    threading.Thread(target=wait, daemon=True).start()
    assert waiting.wait(10)
    database.hurry(0.5)
    assert ended.wait(10)
    with pytest.raises(RecordsError), database.begin():
        pass


@pytest.mark.process
def test_a_cloud_with_a_silent_database_says_so_and_stops(
    far: tuple[Database, NetworkProxy], bundle: Bundle, tmp_path: Path
) -> None:
    database, proxy = far
    settings = CloudSettings.model_validate(
        {
            "bundles": [bundle.path],
            "database": database.engine.url.render_as_string(hide_password=False),
            "broker": {"port": free_port()},
            "api": {"port": 0, "token": TOKEN, "first_account": tmp_path / "link"},
            "runtime": {"name": "onnx"},
        }
    )
    service = CloudService(settings).start()
    box = MqttTransport(settings.broker, "box")
    try:
        box.start()
        assert box.wait_until_connected(10)
        proxy.apply(SILENT)
        state = StateMessage("online", "b1", NOON)
        box.publish(Address("plant", "line", "box").topic("state"), encode(state))

        def told() -> str:
            who = {"Authorization": f"Bearer {TOKEN}"}
            found = httpx.get(f"{service.url}/api/v1/health", headers=who, timeout=30)
            return " ".join(found.json()["problems"])

        wait_until(lambda: "Records have not been stored for" in told(), "it is told")
    finally:
        box.stop()
        took = timed(service.stop)
    assert took < STOP_S + 25


@pytest.mark.process
def test_records_that_are_not_stored_are_told_and_stored_when_the_database_is_heard(
    far: tuple[Database, NetworkProxy],
) -> None:
    database, proxy = far
    store, stored = RecordStore(database), threading.Event()
    store.save([inspection(1)])
    writer = RecordsWriter(store, DeadWorkers(), keep_maps=10)
    proxy.apply(SILENT)
    writer.start()
    writer.add_tails([tail(2)])
    wait_until(lambda: writer.unstored_s > 2, "what waits is told")
    assert writer.waiting == 1
    proxy.apply(Conditions())
    wait_until(lambda: writer.unstored_s == 0, "it is stored")
    assert (writer.waiting, writer.healthy) == (0, True)
    writer.add_batch(StorageBatch([inspection(3)], stored.set))
    assert stored.wait(20)
    writer.stop()
    assert count(database) == 2


def test_nothing_that_waits_is_not_unstored(database: Database) -> None:
    clock = ManualClock()
    writer = RecordsWriter(RecordStore(database), DeadWorkers(), keep_maps=10, clock=clock)
    clock.advance(60)
    assert writer.unstored_s == 0
    writer.add_tails([tail(1)])
    clock.advance(7)
    assert writer.unstored_s == 7
    assert writer.write_pending()
    assert writer.unstored_s == 0


@pytest.mark.parametrize("number", [2**63, 2**64])
def test_one_record_that_can_not_be_stored_costs_itself(
    every_database: Database, number: int
) -> None:
    writer = RecordsWriter(RecordStore(every_database), DeadWorkers(), keep_maps=10)
    told: list[int] = []
    writer.add_tails([tail(1), tail(2, part=number), tail(3)])
    writer.add_batch(StorageBatch([inspection(4), inspection(5, part=number)], lambda: None))
    writer.add_batch(StorageBatch([inspection(6)], lambda: told.append(6)))
    assert writer.write_pending()
    assert told == [6]
    assert (writer.refused, writer.waiting, writer.healthy) == (2, 0, True)
    assert count(every_database) == 1
    with every_database.begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM tail_results")).scalar() == 2
    # Nor does it come again.
    assert writer.write_pending()
    assert writer.refused == 2


def test_a_row_that_can_not_be_stored_is_told_apart_from_a_database_that_is_away(
    every_database: Database,
) -> None:
    with pytest.raises(UnstorableRecord, match="can't hold what came"):
        RecordStore(every_database).save(tails=[tail(1, part=2**63)])


@pytest.mark.parametrize(
    "content", [b"not a database" * 1000, b"SQLite format 3\0" + b"\xa5" * 9000]
)
def test_a_damaged_file_is_said_to_be_one(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "records.db"
    path.write_bytes(content)
    database = Database(f"sqlite:///{path}")
    with pytest.raises(RecordsError) as caught:
        database.migrate()
    assert "keep" in caught.value.fix
    database.close()
