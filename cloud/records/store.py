"""Writing records: nothing is stored twice, and a call that failed may be repeated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Insert,
    Table,
    case,
    delete,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import SQLModel, col

from cloud.records.clocks import EARLIEST
from cloud.records.database import Database
from cloud.records.rollup_tables import mark_inspections, mark_times
from cloud.records.settlement import may_wait, restore_reviews, settle, unsettle
from cloud.records.tables import (
    INSPECTIONS,
    DeviceRecord,
    InspectionRow,
    LabelRecord,
    StateRow,
    TailRecord,
    TailRow,
)
from shared.contracts import InspectionKey
from shared.storage.batches import execute_rows

LATER_S = 0.001
# Several workers' clocks may differ a little.
AHEAD_S = 3600.0
_TIMES: tuple[tuple[Any, Any], ...] = (
    (INSPECTIONS, INSPECTIONS.c.received_at),
    (TailRecord, col(TailRecord.received_at)),
    (DeviceRecord, col(DeviceRecord.seen_at)),
)

# Writes are short: where one is not answered by then, its connection is as good as gone.
WRITE_S = 8.0

Decided = Callable[[Connection], Mapping[InspectionKey, LabelRecord | None]]


class RecordStore:
    """The writing side of the records. Safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(
        self,
        inspections: Sequence[InspectionRow] = (),
        tails: Sequence[TailRow] = (),
        devices: Sequence[StateRow] = (),
    ) -> None:
        """Store in one transaction; what is there under the same key stays as it is.

        A device's state replaces its last one. Then labels that came earlier settle what waited
        for them. Raises RecordsError; the same call again does what is not done yet.
        """
        with self._database.begin(within_s=WRITE_S) as connection:
            _insert_new(connection, INSPECTIONS, inspections)
            _insert_new(connection, TailRecord, tails)
            if devices:
                connection.execute(_state_replaced(connection.dialect.name), devices)
            mark_times(connection, (row["received_at"] for row in (*inspections, *tails)))
            # A late answer contradicts, or not, what came in an earlier minute.
            mark_inspections(connection, map(_key_of, tails))
        self._settle(
            [
                *(_key_of(row) for row in inspections if may_wait(row)),
                *(_key_of(tail) for tail in tails if tail["verdict"] == "review"),
            ]
        )

    def _settle(self, keys: Sequence[InspectionKey], *, labelled: bool = False) -> None:
        """In a transaction of its own: of a label and an inspection that come at the same time,
        one sees the other.

        labelled   somebody has just said something of them, or taken it back
        """
        if keys:
            with self._database.begin(within_s=WRITE_S) as connection:
                restored = restore_reviews(connection, keys)
                settled = settle(connection, keys)
                if labelled:
                    unsettle(connection, keys)
                # Nothing was written otherwise: such a commit costs the disk nothing.
                if restored or settled or labelled:
                    mark_inspections(connection, keys)

    def label(self, record: LabelRecord) -> None:
        """A label as it stands; see `stand`."""
        key = _key_of(record.model_dump())
        self.stand([key], lambda _connection: {key: record})

    def stand(self, keys: Sequence[InspectionKey], decided: Decided) -> None:
        """Store what the labels of these parts are from now on, and settle those that waited.

        decided   called within the transaction, gives the label that stands of each part for
                  which another one did, None where it has none any more: then it waits again
        Raises RecordsError; the same call again does what is not done yet.
        """
        with self._database.begin(within_s=WRITE_S) as connection:
            for key, record in decided(connection).items():
                if record is None:
                    connection.execute(delete(LabelRecord).where(*_has_key(key)))
                else:
                    connection.execute(_label_replaced(connection, record.model_dump()))
        self._settle(keys, labelled=True)

    def heal_times(self, now: float) -> int:
        """Date what claims to have come later than now, or before anybody could send it, to now: it
        came while this machine's clock was wrong. How many rows that were. Raises RecordsError."""
        healed = 0
        with self._database.begin() as connection:
            for table, came in _TIMES:
                wrong = or_(came > now + AHEAD_S, came < EARLIEST)
                if table is not DeviceRecord:
                    said = connection.execute(select(came).where(wrong)).scalars().all()
                    mark_times(connection, [*said, *([now] if said else [])])
                healed += connection.execute(
                    update(table).where(wrong).values({came.key: now})
                ).rowcount
        return healed

    def count_ahead(self, now: float) -> int:
        """How many inspections claim to have come later than now. Raises RecordsError."""
        ahead = INSPECTIONS.c.received_at > now + AHEAD_S
        with self._database.begin() as connection:
            count: int = connection.execute(
                select(func.count()).select_from(INSPECTIONS).where(ahead)
            ).scalar_one()
        return count

    def clear_maps(self, keep: int) -> None:
        """Forget the pictures of all but the newest `keep` tail results."""
        kept = col(TailRecord.map_png).is_not(None)
        newest_dropped = (
            select(col(TailRecord.received_at))
            .where(kept)
            .order_by(col(TailRecord.received_at).desc())
            .offset(keep)
            .limit(1)
            .scalar_subquery()
        )
        with self._database.begin() as connection:
            connection.execute(
                update(TailRecord)
                .where(kept, col(TailRecord.received_at) <= newest_dropped)
                .values(map_png=None, seen_png=None)
            )


def _key_of(row: Mapping[str, Any]) -> InspectionKey:
    return InspectionKey(*(row[name] for name in InspectionKey._fields))


def _has_key(key: InspectionKey) -> list[ColumnElement[bool]]:
    return [getattr(LabelRecord, name) == value for name, value in key._asdict().items()]


def _label_replaced(connection: Connection, row: Mapping[str, Any]) -> Insert:
    insert: Insert = insert_into(connection)(LabelRecord).values(row)
    # A box takes the later of two labels: one of a day when this clock was ahead stays it.
    known, said = col(LabelRecord.reviewed_at), insert.excluded.reviewed_at  # type: ignore[attr-defined]
    at = case((known >= said, known + LATER_S), else_=said)
    replaced: Insert = insert.on_conflict_do_update(  # type: ignore[attr-defined]
        index_elements=["device", "boot", "sequence"], set_={**row, "reviewed_at": at}
    )
    return replaced


def _insert_new(
    connection: Connection, table: Table | type[SQLModel], rows: Sequence[Mapping[str, Any]]
) -> None:
    if not rows:
        return
    # One order for every worker, so that two that store the same rows can't block each other.
    ordered = sorted(rows, key=lambda row: (row["device"], row["boot"], row["sequence"]))
    execute_rows(connection, _new_inserted(connection.dialect.name, table), ordered)


def insert_into(connection: Connection) -> Any:
    """The dialect's own insert, which can say what happens to rows that are there."""
    return insert_of(connection.dialect.name)


def insert_of(dialect: str) -> Any:
    """The same by the dialect's name."""
    return postgresql.insert if dialect == "postgresql" else sqlite.insert


# A statement is made once: with a thousand devices, making it anew cost more than running it.


@cache
def _new_inserted(dialect: str, table: Table | type[SQLModel]) -> Insert:
    statement: Insert = insert_of(dialect)(table).on_conflict_do_nothing()
    return statement


@cache
def _state_replaced(dialect: str) -> Insert:
    statement = insert_of(dialect)(DeviceRecord)
    came = statement.excluded
    values = {name: came[name] for name in DeviceRecord.model_fields}
    values["clock_off_s"] = func.coalesce(came.clock_off_s, col(DeviceRecord.clock_off_s))
    # A worker that starts hears first what the broker kept, which may be older than what is known.
    seen, known = came.seen_at, col(DeviceRecord.seen_at)
    values["seen_at"] = case((seen > known, seen), else_=known)
    # The will of an earlier boot may arrive after the next boot's first state.
    own = or_(col(DeviceRecord.boot) == came.boot, came.state != "offline")
    replaced: Insert = statement.on_conflict_do_update(
        index_elements=["site", "line", "device"], set_=values, where=own
    )
    return replaced
