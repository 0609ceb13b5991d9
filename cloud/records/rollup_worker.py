"""The thread that rolls closed minutes up, and what is there from before, newest first."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import UTC, datetime

from sqlalchemy import Connection, delete, exists, or_, select, update

from cloud.records.database import Database
from cloud.records.rollup_builder import recount
from cloud.records.rollup_tables import MINUTE_S, ROLLUP_MARKS, ROLLUP_STATE, minute_of
from cloud.records.rollup_tally import FIRST, ROW, Rolled
from cloud.records.rollups import rolled
from cloud.records.store import AHEAD_S
from cloud.records.workers import NOW
from shared.clock import Clock
from shared.errors import RecordsError
from shared.log import get_logger
from shared.worker import OnDeath, Worker

log = get_logger("rollups")

EVERY_S = 1.0
BUSY_S = 0.05
# What came in a minute is stored by then; what is stored later marks its minute.
CLOSE_S = 5.0
# Another process takes over from one that has said nothing for so long.
LEASE_S = 30.0
# Of one transaction: on SQLite nobody else can write meanwhile.
MOST_ROWS = 4_000
MOST_MINUTES = 30


class RollupWorker:
    """Any number of processes may run one on the same database: one of them works at a time.

    A step does a bounded piece in one transaction, so that it may end anywhere: a minute is counted
    anew as a whole, and its mark goes with it.
    """

    def __init__(
        self, database: Database, clock: Clock, on_death: OnDeath, *, most_rows: int = MOST_ROWS
    ) -> None:
        """most_rows: how many inspections one transaction counts, about"""
        self._database = database
        self._clock = clock
        self._most_rows = most_rows
        self._holder = secrets.token_hex(8)
        self._left: Rolled | None = None
        self._worker = Worker("rollups", self._step, on_death=on_death)

    def start(self) -> None:
        self._worker.start()

    def stop(self) -> None:
        self._worker.stop()

    @property
    def problems(self) -> list[str]:
        """For people: how far the past is rolled up; empty once it is."""
        left = self._left
        if left is None:
            return []
        day = datetime.fromtimestamp(left.since, UTC)
        told = (
            f"The past is being counted, back to {day:%Y-%m-%d %H:%M} UTC so far: until that is "
            "done, numbers over longer times take seconds."
        )
        return [told]

    def roll(self) -> None:
        """All that is due, at once. Raises RecordsError."""
        while self.look():
            pass

    def look(self) -> bool:
        """One piece of what is due; whether there may be more. Raises RecordsError."""
        now = self._clock.utc()
        target = minute_of(now - CLOSE_S)
        if not self._due(target):
            return False
        with self._database.begin() as connection:
            if not self._lease(connection):
                return False
            known = rolled(connection) or Rolled(target, target)
            if known.until > now + AHEAD_S:
                # This clock was ahead then.
                known = Rolled(min(known.since, target), target)
            known = self._forward(connection, known, target)
            known = self._back(connection, known)
            all_marks = self._marked(connection, known)
            values = {"since": known.since, "until": known.until}
            connection.execute(update(ROLLUP_STATE).values(values))
        self._left = known if known.since > FIRST else None
        return known.until < target or known.since > FIRST or not all_marks

    def _step(self) -> float:
        try:
            return BUSY_S if self.look() else EVERY_S
        except RecordsError as error:
            log.debug("not_rolled_up", reason=error.message)
            return EVERY_S

    def _due(self, target: int) -> bool:
        """Looks without writing: most of the time there is nothing to do."""
        with self._database.begin() as connection:
            known = rolled(connection)
            if known is None or known.since > FIRST or known.until < target:
                return True
            marked = exists().where(ROLLUP_MARKS.c.minute < known.until)
            return bool(connection.execute(select(marked)).scalar_one())

    def _lease(self, connection: Connection) -> bool:
        """Whether it is for this process; until the transaction ends no other one gets it."""
        now = NOW[connection.dialect.name]
        free = or_(ROLLUP_STATE.c.holder == self._holder, ROLLUP_STATE.c.held_until < now)
        own = {"holder": self._holder, "held_until": now + LEASE_S}
        return bool(connection.execute(update(ROLLUP_STATE).where(free).values(own)).rowcount)

    def _forward(self, connection: Connection, known: Rolled, target: int) -> Rolled:
        """What has been closed since."""
        if known.until >= target:
            return known
        came = ROW.received_at
        query = select(came).where(came >= known.until, came < target).order_by(came)
        last = connection.execute(query.offset(self._most_rows).limit(1)).scalar()
        until = target if last is None else max(minute_of(last), known.until + MINUTE_S)
        _count(connection, [(known.until, until)], until)
        return Rolled(known.since, until)

    def _back(self, connection: Connection, known: Rolled) -> Rolled:
        """What was there before the first step."""
        if known.since <= FIRST:
            return known
        came = ROW.received_at
        query = select(came).where(came < known.since).order_by(came.desc())
        first = connection.execute(query.offset(self._most_rows).limit(1)).scalar()
        since = FIRST if first is None else min(minute_of(first) + MINUTE_S, known.since - MINUTE_S)
        _count(connection, [(since, known.since)], known.until)
        if since <= FIRST:
            log.info("past_rolled_up")
        return Rolled(since, known.until)

    def _marked(self, connection: Connection, known: Rolled) -> bool:
        """Count anew what has changed since; whether that were all."""
        minute = ROLLUP_MARKS.c.minute
        query = select(minute).where(minute >= known.since, minute < known.until).distinct()
        minutes = connection.execute(query.order_by(minute).limit(MOST_MINUTES + 1)).scalars().all()
        ranges = [(one, one + MINUTE_S) for one in minutes[:MOST_MINUTES]]
        _count(connection, ranges, known.until)
        return len(minutes) <= MOST_MINUTES


def _count(connection: Connection, ranges: Iterable[tuple[int, int]], closed: int) -> None:
    for since, until in ranges:
        minute = ROLLUP_MARKS.c.minute
        # First the marks: what is stored meanwhile leaves one that is still there afterwards.
        connection.execute(delete(ROLLUP_MARKS).where(minute >= since, minute < until))
        recount(connection, since, until, closed)
