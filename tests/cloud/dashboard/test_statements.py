"""A page asks its database as often whatever there is: not once for each part, line or label."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import event

from cloud.app import create_app
from cloud.labels.history import LabelHistory, Said
from cloud.records.database import Database
from cloud.records.rollup_worker import RollupWorker
from cloud.records.store import RecordStore
from cloud.web.context import Backstage
from shared.clock import ManualClock
from shared.contracts import InspectionKey
from shared.web.access import Caller as Identity
from shared.worker import DeadWorkers
from tests.bench.dashboard import LABELLED, NEWEST, PART, paths
from tests.cloud.makers import NOON, device, inspection, tail
from tests.cloud.web.caller import Caller, access_to
from tests.cloud.web.test_api import BASE, healthy
from tests.support.databases import place_migrated

ADA = Identity("ada", "admin", means="command")
# They end when everything was read, a piece after the other.
STREAMS = ("/api/v1/parts.csv", "/api/v1/parts.parquet", "/audit/export.csv")


class Plant:
    """Lines with parts of all kinds, and how often each page asks of them."""

    def __init__(self, folder: Path, lines: int, parts: int) -> None:
        self.clock = ManualClock(utc=NOON)
        self.database = Database(f"sqlite:///{place_migrated(Database, folder / 'records.db')}")
        store = RecordStore(self.database)
        store.save(
            devices=[
                device(line=f"line-{n}", device=f"box-{n}", seen_at=NOON)
                for n in range(1, lines + 1)
            ]
        )
        self.access = access_to(self.database, self.clock)
        for number in range(1, parts + 1):
            self._part(store, InspectionKey(f"box-{number % lines + 1}", "b1", number), parts)
        for key in (PART, LABELLED, NEWEST):
            name, boot, sequence = key.split("/")
            self._part(store, InspectionKey(name, boot, int(sequence)), parts)
        RollupWorker(self.database, self.clock, DeadWorkers()).roll()

    def _part(self, store: RecordStore, key: InspectionKey, parts: int) -> None:
        line = f"line-{key.device.split('-')[1]}"
        own = {"device": key.device, "boot": key.boot, "line": line}
        at = NOON - 3000.0 * (key.sequence % parts) / parts
        verdict = ("pass", "reject", "review")[key.sequence // 2 % 3]
        told = {"decision": "escalate", "verdict": verdict, "decided_by": "cloud"}
        store.save(
            [
                inspection(
                    key.sequence, **own, **told, received_at=at, lot=f"lot-{key.sequence % 7}"
                )
            ],
            [tail(key.sequence, **own, received_at=at, kind="crack")],
        )
        if key.sequence % 4 == 0:
            history = LabelHistory(self.database, self.clock, self.access.audit)
            history.say([Said(key, "plant", line, "reject", "crack", "ada")], ADA)

    def statements(self) -> dict[str, int]:
        """Of every page and route that can be got, with its caches out of date."""
        backstage = Backstage(self.database, healthy, clock=self.clock, access=self.access)
        app = create_app(backstage)
        caller, counts, said = Caller(app, BASE), dict[str, int](), list[str]()
        event.listen(
            self.database.engine,
            "before_cursor_execute",
            lambda _connection, _cursor, statement, *_more: said.append(statement),
        )
        for path in paths(app):
            if not path.startswith(STREAMS):
                self.clock.advance(120.0)
                said.clear()
                assert caller.get(path).status_code in {200, 404}, path
                counts[path] = len(said)
        self.database.close()
        return counts


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    return Plant(tmp_path_factory.mktemp("small"), 2, 24).statements()


def test_no_page_asks_more_often_where_there_are_more_lines_and_parts(
    small: dict[str, int], tmp_path: Path
) -> None:
    large = Plant(tmp_path, 7, 240).statements()
    assert len(large) > 100
    more = {path: (small[path], count) for path, count in large.items() if count > small[path]}
    assert not more, f"statements with 24 parts of 2 lines, and with 240 of 7: {more}"


def test_no_page_asks_more_than_thirty_times(small: dict[str, int]) -> None:
    assert {path: count for path, count in small.items() if count > 30} == {}
