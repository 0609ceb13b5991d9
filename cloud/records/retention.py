"""Forgets inspections that are old enough, a few at a time; roll-ups of them stay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, func, select, text, tuple_
from sqlmodel import col

from cloud.configuration.retention import RetentionPolicy
from cloud.records.database import Database
from cloud.records.keys import bound, given, key_columns, same_key
from cloud.records.rollup_tables import PRUNED, ROLLUP_MARKS, minute_of
from cloud.records.rollup_tally import FIRST
from cloud.records.rollups import Rollups, rolled
from cloud.records.search import ORDER, Position
from cloud.records.store import insert_into
from cloud.records.tables import INSPECTIONS, LabelRecord, TailRecord
from shared.clock import Clock
from shared.contracts import InspectionKey
from shared.errors import RecordsError
from shared.log import get_logger
from shared.worker import OnDeath, Worker

log = get_logger("retention")

DAY_S = 86_400.0
# Of one transaction, and how long others have the database between two.
MOST_ROWS = 1_000
PAUSE_S = 0.2
EVERY_S = 3600.0
FAILED_S = 60.0
LONG_S = 86_400.0

ROW = INSPECTIONS.c


class Retention:
    """The thread that deletes. Any number of processes may run one on the same database."""

    def __init__(
        self,
        database: Database,
        policy: RetentionPolicy,
        clock: Clock,
        on_death: OnDeath,
        *,
        most_rows: int = MOST_ROWS,
    ) -> None:
        self._database = database
        self._policy = policy
        self._clock = clock
        self._most_rows = most_rows
        self._place: Position | None = None
        self._gone = 0
        self._failed_since: float | None = None
        self._why = ""
        self._worker = Worker("retention", self._step, on_death=on_death)

    def start(self) -> None:
        self._worker.start()

    def stop(self) -> None:
        self._worker.stop()

    @property
    def problems(self) -> list[str]:
        """For people: what is old enough can't be deleted, and the disk fills."""
        since = self._failed_since
        if since is None or self._clock.monotonic() - since < LONG_S:
            return []
        days = (self._clock.monotonic() - since) / DAY_S
        told = (
            f"Old inspections have not been deleted for {days:.0f} days ({self._why}): the "
            "database grows."
        )
        return [told]

    def prune(self, told: Callable[[int], None] = lambda _gone: None) -> int:
        """Delete all that is old enough, and say after each step how many that were; how many in
        all. Raises RecordsError."""
        self._place, self._gone = None, 0
        while self.look():
            told(self._gone)
        return self._gone

    def look(self) -> bool:
        """One bounded piece; whether there is more. Raises RecordsError."""
        now = self._clock.utc()
        with self._database.begin() as connection:
            if not _alone(connection):
                return False
            latest = self._policy.latest(now)
            if not _all_counted(connection, latest):
                # Their roll-ups come first: nobody could count them afterwards.
                return False
            rows = connection.execute(self._next(latest)).mappings().all()
            going = [row for row in rows if self._goes(row, now)]
            _say_pruned(connection, going, self._policy, now)
            _delete(connection, [_key(row) for row in going])
            more = len(rows) == self._most_rows
            if not more:
                more = _delete_unreported(connection, self._policy, now, self._most_rows)
        self._gone += len(going)
        if not more:
            self._place = None
        elif rows:
            last = rows[-1]
            self._place = (last["received_at"], last["device"], last["boot"], last["sequence"])
        return more

    def _step(self) -> float:
        try:
            more = self.look()
        except RecordsError as error:
            if self._failed_since is None:
                self._failed_since = self._clock.monotonic()
                log.warning("not_pruned", reason=error.message, fix=error.fix)
            self._why = error.message
            return FAILED_S
        self._failed_since = None
        if more:
            return PAUSE_S
        if self._gone:
            log.info("inspections_pruned", count=self._gone)
            self._gone = 0
        return EVERY_S

    def _next(self, latest: float) -> Any:
        """Those that may be old enough, with what is kept longer: the walk passes it once."""
        labelled = col(LabelRecord.device).is_not(None).label("labelled")
        query = (
            select(*ORDER, ROW.site, ROW.control, labelled)
            .select_from(INSPECTIONS)
            .outerjoin(LabelRecord, same_key(LabelRecord))
            .where(ROW.received_at < latest)
        )
        if self._place is not None:
            passed = (ROW.received_at >= self._place[0], tuple_(*ORDER) > tuple_(*self._place))
            query = query.where(*passed)
        return query.order_by(*ORDER).limit(self._most_rows)

    def _goes(self, row: RowMapping, now: float) -> bool:
        labelled = bool(row["labelled"]) or row["control"] != ""
        return self._policy.goes(row["site"], row["received_at"], now, labelled=labelled)


def _alone(connection: Connection) -> bool:
    """Whether no other process is at it, until this transaction ends; SQLite lets one write."""
    if connection.dialect.name != "postgresql":
        return True
    return bool(connection.execute(text("SELECT pg_try_advisory_xact_lock(7358)")).scalar_one())


def _all_counted(connection: Connection, latest: float) -> bool:
    known = rolled(connection)
    if known is None or known.since > FIRST or known.until < latest:
        return False
    marked = select(func.count()).where(ROLLUP_MARKS.c.minute < latest)
    return not connection.execute(marked).scalar_one()


def _say_pruned(
    connection: Connection, going: Sequence[RowMapping], policy: RetentionPolicy, now: float
) -> None:
    """Before anything goes: a minute of which something is gone is never counted again."""
    for site in sorted({row["site"] for row in going}):
        newest = max(row["received_at"] for row in going if row["site"] == site)
        before = max(policy.cutoff(site, now), float(minute_of(newest) + 60))
        statement = insert_into(connection)(PRUNED).values(site=site, before=before)
        later = PRUNED.c.before < statement.excluded.before
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["site"], set_={"before": before}, where=later
            )
        )


def _delete(connection: Connection, keys: Sequence[InspectionKey]) -> None:
    """With what the tail said and what an inspector said of them."""
    rows = [given(key) for key in sorted(keys)]
    if not rows:
        return
    for table in (LabelRecord, TailRecord, INSPECTIONS):
        one = bound(key_columns(table))
        connection.execute(delete(table).where(*one), rows)


def _delete_unreported(
    connection: Connection, policy: RetentionPolicy, now: float, most: int
) -> bool:
    """What the tail said of parts that never came; whether there is more."""
    tail = TailRecord
    query = (
        select(*key_columns(tail), col(tail.site), col(tail.received_at))
        .select_from(tail)
        .outerjoin(INSPECTIONS, same_key())
        .where(col(tail.received_at) < policy.latest(now), ROW.device.is_(None))
        .order_by(col(tail.received_at))
        .limit(most)
    )
    rows = connection.execute(query).mappings().all()
    going = [
        row for row in rows if policy.goes(row["site"], row["received_at"], now, labelled=False)
    ]
    _delete(connection, [_key(row) for row in going])
    return len(going) == most


def _key(row: RowMapping) -> InspectionKey:
    return InspectionKey(row["device"], row["boot"], row["sequence"])


@dataclass(frozen=True, slots=True)
class SiteStock:
    """Inspections of a site.

    came           in all, those that were deleted too
    oldest         when the oldest one that is kept came, UTC seconds
    days           for how long they are kept; None: for ever; `labelled_days` alike
    """

    site: str
    came: int
    kept: int
    oldest: float | None
    days: float | None
    labelled_days: float | None

    def as_facts(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)


def stock(database: Database, policy: RetentionPolicy) -> list[SiteStock]:
    """By site, in order. It counts the table, which takes seconds of a million rows.

    Raises RecordsError.
    """
    row = INSPECTIONS.c
    counted = select(row.site, func.count(), func.min(row.received_at)).group_by(row.site)
    with database.begin() as connection:
        kept = {site: (count, oldest) for site, count, oldest in connection.execute(counted)}
    came = {
        group[0]: totals.inspected
        for group, totals in Rollups(database).by(("site",), measures=("inspected",)).items()
    }
    found = []
    for site in sorted({*kept, *came}):
        count, oldest = kept.get(site, (0, None))
        own = policy.of(site)
        found.append(SiteStock(site, came.get(site, 0), count, oldest, own.days, own.labelled))
    return found
