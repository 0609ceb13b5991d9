"""What storing costs beside what it cost before there were roll-ups and the lists' indexes."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import text
from sqlalchemy.dialects import postgresql, sqlite

from cloud.records.database import Database
from cloud.records.settlement import may_wait, restore_reviews, settle
from cloud.records.store import RecordStore
from cloud.records.tables import INSPECTIONS, TailRecord
from hardware_sim.processes.postgresql import PostgresqlServer
from shared.contracts import InspectionKey
from shared.loopback import free_port
from tests.bench.dashboard import cpu_of
from tests.bench.dashboard_past import escalation_row, fill, part_row
from tests.cloud.makers import NOON

PARTS, BATCH, BATCHES, ROUNDS = 60_000, 12, 100, 15
FIRST, SPREAD = 10_000_000, 100_000
ADDED = ("line", "bundle", "part", "sampled", "decided_by")
WHOLE = ("verdict", "lot", "recipe")
WAITS = "verdict = 'review' OR decided_by = 'deadline'"
Row = dict[str, object]
Rows = Sequence[dict[str, Any]]
Save = Callable[[Rows, Rows], None]


def measure(bundle: Path, folder: Path) -> list[Row]:
    """Processor time of a batch, of the cloud and its database, both in turn; no disk in it."""
    del bundle
    first = folder / "first.db"
    database = Database(f"sqlite:///{first}")
    fill(database, PARTS, "tiny 1.1.0")
    database.close()
    for name in ("now", "before"):
        shutil.copy(first, folder / f"{name}.db")
    files = [f"sqlite:///{folder / name}.db" for name in ("now", "before")]
    rows = _compared("SQLite", files, time.process_time)
    server = PostgresqlServer(free_port(), folder / "intake")
    server.start()
    try:
        url = server.create("now")
        database = Database(url)
        fill(database, PARTS, "tiny 1.1.0")
        database.close()
        urls = [url, server.create("before", template="now")]
        more = cpu_of(server.pid)
        return [*rows, *_compared("PostgreSQL", urls, lambda: time.process_time() + more())]
    finally:
        server.close()


def _compared(name: str, urls: Sequence[str], cpu: Callable[[], float]) -> list[Row]:
    now, before = map(Database, urls)
    with before.begin(within_s=60.0) as connection:
        for index in (*ADDED, *WHOLE, "waiting"):
            connection.execute(text(f"DROP INDEX ix_inspections_{index}"))
        for column in WHOLE:
            columns = f"({column}, received_at)"
            connection.execute(
                text(f"CREATE INDEX ix_inspections_{column} ON inspections {columns}")
            )
        connection.execute(
            text(f"CREATE INDEX ix_inspections_waiting ON inspections (received_at) WHERE {WAITS}")
        )
    ways: dict[str, Save] = {"now": RecordStore(now).save, "before": PlainStore(before).save}
    took: dict[str, list[float]] = {way: [] for way in ways}
    for place in range(ROUNDS + 1):
        batches = list(_batches(place))
        for way in sorted(ways, reverse=place % 2 == 0):
            began = cpu()
            for inspections, tails in batches:
                ways[way](inspections, tails)
            took[way].append((cpu() - began) * 1000 / BATCHES)
    for database in (now, before):
        database.close()
    # The first round makes what is made once.
    pairs = [one / other for one, other in zip(took["now"][1:], took["before"][1:], strict=True)]
    return [
        {
            "database": name,
            "now": f"{np.median(took['now'][1:]):.2f} ms",
            "before": f"{np.median(took['before'][1:]):.2f} ms",
            "more": f"{_more(pairs, 0.5)} %",
            "quarters": f"{_more(pairs, 0.25)} to {_more(pairs, 0.75)}",
        }
    ]


def _more(ratios: Sequence[float], share: float) -> str:
    """Of so large a share of the ratios at most, in per cent."""
    return f"{(np.quantile(ratios, share) - 1) * 100:+.0f}"


class PlainStore:
    """Storing as it was then: each statement by SQLAlchemy, and no minute marked."""

    def __init__(self, database: Database) -> None:
        self._database = database
        dialect = postgresql if database.engine.dialect.name == "postgresql" else sqlite
        self._tables = [
            dialect.insert(table).on_conflict_do_nothing() for table in (INSPECTIONS, TailRecord)
        ]

    def save(self, inspections: Rows, tails: Rows) -> None:
        with self._database.begin() as connection:
            for statement, rows in zip(self._tables, (inspections, tails), strict=True):
                if rows:
                    connection.execute(statement, rows)
        keys = [
            InspectionKey(row["device"], row["boot"], row["sequence"])
            for row in (
                *(row for row in inspections if may_wait(row)),
                *(row for row in tails if row["verdict"] == "review"),
            )
        ]
        if keys:
            with self._database.begin() as connection:
                restore_reviews(connection, keys)
                settle(connection, keys)


def _batches(place: int) -> Iterator[tuple[Rows, Rows]]:
    drawn = random.Random(place)  # noqa: S311 - no secret
    for batch in range(BATCHES):
        first = FIRST + place * SPREAD + batch * BATCH
        numbers = range(first, first + BATCH)
        made = [part_row(number, FIRST * 2, "tiny 1.1.0", drawn) for number in numbers]
        for row in made:
            at = NOON + place * BATCHES + batch
            row |= {"received_at": at, "inspected_at": at, "lot": "lot-9", "recipe": "recipe-1"}
        escalated = [row for row in made if row["decision"] == "escalate"]
        yield made, [escalation_row(row, FIRST * 2, drawn) for row in escalated]
