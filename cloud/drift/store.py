"""Sketches in the records' database, and what they come to."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Table,
    bindparam,
    delete,
    insert,
    select,
    update,
)

from cloud.drift.stream import MOST_RECENT, ByQuantity, ReferenceLimits, Shift, Stream
from cloud.drift.tables import DRIFT_STREAMS, SKETCH_HOURS, SKETCHES, STREAM_KEY
from cloud.records.database import Database
from cloud.records.keys import bound, given
from cloud.records.store import insert_of
from shared.inspection import storable_text
from shared.sketch import QUANTITIES, joined
from shared.storage.batches import execute_rows
from shared.topics import Address
from shared.wire import Sketch

HOUR_S = 3600.0
RAW_S = 24 * HOUR_S
HOURS_S = 400 * 24 * HOUR_S
STREAM_S = 90 * 24 * HOUR_S
SHOWN_S = 7 * 24 * HOUR_S
MOST_SHOWN = 2000

Changed = Callable[[Connection, Stream], None]


class StreamKey(NamedTuple):
    """Names a stream."""

    site: str
    line: str
    device: str
    recipe: str
    bundle: str


class StreamView(NamedTuple):
    """A stream and when it last came, UTC seconds."""

    key: StreamKey
    stream: Stream
    last_at: float


class ReceivedSketch(NamedTuple):
    """A sketch, from where and when it came, UTC seconds."""

    address: Address
    sketch: Sketch
    at: float

    @property
    def stream(self) -> StreamKey:
        own, sketch = self.address, self.sketch
        recipe, bundle = storable_text(sketch.recipe, 64), storable_text(sketch.bundle, 128)
        return StreamKey(own.site, own.line, own.device, recipe, bundle)


class DriftStore:
    """Safe to share between threads and between workers. Every method raises RecordsError."""

    def __init__(self, database: Database, limits: ReferenceLimits) -> None:
        self._database = database
        self._limits = limits

    @property
    def limits(self) -> ReferenceLimits:
        return self._limits

    def take(self, came: Sequence[ReceivedSketch]) -> int:
        """Keep sketches and what they come to; how many were new."""
        new = 0
        # One order for every worker, so that two can't block each other.
        ordered = sorted(came, key=lambda one: (one.stream, one.sketch.boot, one.sketch.number))
        with self._database.begin() as connection:
            for one in ordered:
                new += _take(connection, one, self._limits)
        return new

    def streams(
        self, now: float, site: str | None = None, line: str | None = None
    ) -> list[StreamView]:
        """Those that came within a week, the newest bundle and recipe of each device first."""
        table = DRIFT_STREAMS
        query = select(table).where(table.c.last_at > now - SHOWN_S)
        if site is not None:
            query = query.where(table.c.site == site)
        if line is not None:
            query = query.where(table.c.line == line)
        query = query.order_by(
            table.c.site, table.c.line, table.c.device, table.c.last_at.desc()
        ).limit(MOST_SHOWN)
        with self._database.begin() as connection:
            rows = connection.execute(query).mappings().all()
        return [_view(row) for row in rows]

    def drifted(self, now: float) -> list[StreamView]:
        """Of those that came within a week the ones that may have shifts, their references left
        out: what they come to is all that is read."""
        table = DRIFT_STREAMS
        columns = [column for column in table.c if column is not table.c.reference]
        query = select(*columns).where(table.c.last_at > now - SHOWN_S, table.c.full)
        with self._database.begin() as connection:
            rows = connection.execute(query.limit(MOST_SHOWN)).mappings().all()
        return [_view({**row, "reference": {}}) for row in rows]

    def choose(
        self, key: StreamKey, begin: float, end: float | None, who: str, written: Changed
    ) -> Stream | None:
        """Compare with the parts of other hours from now on; None: there is no such stream.

        begin, end   UTC seconds, to the hour; end None: with the next parts that come
        written      called within the transaction, with the stream as it was
        """
        with self._database.begin() as connection:
            row = _locked(connection, key)
            if row is None:
                return None
            before = _stream(row)
            chosen = Stream(parts=before.parts, reference_by=who)
            if end is not None:
                chosen = self._from_hours(connection, key, chosen, (begin, end))
            _write(connection, key, chosen)
            written(connection, before)
        return chosen

    def forget(self, now: float) -> None:
        """What is older than it is kept."""
        hour = math.floor((now - HOURS_S) / HOUR_S)
        with self._database.begin() as connection:
            connection.execute(delete(SKETCHES).where(SKETCHES.c.received_at < now - RAW_S))
            connection.execute(delete(SKETCH_HOURS).where(SKETCH_HOURS.c.hour < hour))
            old = DRIFT_STREAMS.c.last_at < now - STREAM_S
            connection.execute(delete(DRIFT_STREAMS).where(old))

    def _from_hours(
        self, connection: Connection, key: StreamKey, chosen: Stream, span: tuple[float, float]
    ) -> Stream:
        table = SKETCH_HOURS
        first, last = math.floor(span[0] / HOUR_S), math.ceil(span[1] / HOUR_S)
        query = select(table).where(
            *_of(table), table.c.hour >= first, table.c.hour < max(last, first + 1)
        )
        for row in connection.execute(query.order_by(table.c.hour), given(key)).mappings():
            at = min((row["hour"] + 1) * HOUR_S, span[1])
            chosen = chosen.taking(row["parts"], _counts(row["counts"]), (), at, self._endless)
        full = chosen.reference_parts >= self._limits.reference_parts
        return replace(chosen, full=full, reference_from=first * HOUR_S)

    @property
    def _endless(self) -> ReferenceLimits:
        return ReferenceLimits(reference_parts=1 << 62, false_alarm=self._limits.false_alarm)


def _take(connection: Connection, one: ReceivedSketch, limits: ReferenceLimits) -> bool:
    key, sketch = one.stream, one.sketch
    counts = readable(sketch)
    row = {
        **key._asdict(),
        "boot": sketch.boot,
        "number": sketch.number,
        "received_at": one.at,
        "begun": sketch.begun,
        "ended": sketch.ended,
        "parts": sketch.parts,
        "counts": _json(counts),
    }
    # Written first: whoever writes holds the lock of all that follows.
    made, opened = _inserts(connection.dialect.name)
    if connection.execute(made, row).first() is None:
        return False
    fresh = {**_row(Stream()), "last_at": one.at, "sketches": 0}
    execute_rows(connection, opened, [{**key._asdict(), **fresh}])
    found = _locked(connection, key)
    stream = _stream(found) if found is not None else Stream()
    # Where several came at one moment the clock tells nothing of their order.
    recent = _recent(connection, key, stream) or [counts]
    taken = stream.taking(sketch.parts, counts, recent, one.at, limits)
    _write(connection, key, taken, last_at=one.at)
    _add_hour(connection, one, counts)
    return True


def _recent(connection: Connection, key: StreamKey, stream: Stream) -> list[ByQuantity]:
    """Sketches since the reference, the newest first."""
    if not stream.full:
        return []
    after = -math.inf if stream.reference_until is None else stream.reference_until
    found = connection.execute(_RECENT, {**given(key), "after": after})
    return [_counts(counts) for counts in found.scalars()]


def _add_hour(connection: Connection, one: ReceivedSketch, counts: ByQuantity) -> None:
    hour = math.floor(one.at / HOUR_S)
    same = {**given(one.stream), "of_hour": hour}
    found = connection.execute(_HOUR, same).mappings().one_or_none()
    if found is None:
        row = {"hour": hour, "parts": one.sketch.parts, "counts": _json(counts)}
        execute_rows(connection, _NEW_HOUR, [{**one.stream._asdict(), **row}])
        return
    values = {
        "parts": found["parts"] + one.sketch.parts,
        "counts": _json(joined(_counts(found["counts"]), counts)),
    }
    execute_rows(connection, _HOUR_CHANGED, [{**same, **values}])


def readable(sketch: Sketch) -> ByQuantity:
    """The quantities that are known here."""
    return {name: sketch.counts[name] for name in QUANTITIES if name in sketch.counts}


def _locked(connection: Connection, key: StreamKey) -> RowMapping | None:
    # A change of nothing: it holds the row on every database until the transaction ends.
    if not execute_rows(connection, _HELD, [given(key)]):
        return None
    return connection.execute(_STREAM, given(key)).mappings().one()


def _write(connection: Connection, key: StreamKey, stream: Stream, **more: object) -> None:
    execute_rows(connection, _STREAM_CHANGED, [{**given(key), **_row(stream), **more}])


def _of(table: Table) -> list[ColumnElement[bool]]:
    return bound(table.c[name] for name in STREAM_KEY)


# Made once: to make them took three times as long as to run them.
_HELD = (
    update(DRIFT_STREAMS).where(*_of(DRIFT_STREAMS)).values(sketches=DRIFT_STREAMS.c.sketches + 1)
)
_STREAM = select(DRIFT_STREAMS).where(*_of(DRIFT_STREAMS))
_STREAM_CHANGED = update(DRIFT_STREAMS).where(*_of(DRIFT_STREAMS))
_RECENT = (
    select(SKETCHES.c.counts)
    .where(*_of(SKETCHES), SKETCHES.c.received_at > bindparam("after"))
    .order_by(SKETCHES.c.received_at.desc(), SKETCHES.c.number.desc())
    .limit(MOST_RECENT)
)
_OF_HOUR = [*_of(SKETCH_HOURS), SKETCH_HOURS.c.hour == bindparam("of_hour")]
_HOUR = select(SKETCH_HOURS).where(*_OF_HOUR)
_HOUR_CHANGED = update(SKETCH_HOURS).where(*_OF_HOUR)
_NEW_HOUR = insert(SKETCH_HOURS)


@cache
def _inserts(dialect: str) -> tuple[Any, Any]:
    """Of a sketch, which says whether it is new, and of a stream; the dialects' own, which leave
    alone what is there."""
    own: Any = insert_of(dialect)
    made = own(SKETCHES).on_conflict_do_nothing().returning(SKETCHES.c.number)
    return made, own(DRIFT_STREAMS).on_conflict_do_nothing()


def _plain(stream: Stream) -> dict[str, Any]:
    return {field.name: getattr(stream, field.name) for field in fields(Stream)}


def _row(stream: Stream) -> dict[str, Any]:
    return {
        **_plain(stream),
        "reference": _json(stream.reference),
        "shifts": {name: asdict(shift) for name, shift in stream.shifts.items()},
    }


def _stream(row: Mapping[Any, Any]) -> Stream:
    own = {field.name: row[field.name] for field in fields(Stream)}
    own["reference"] = _counts(own["reference"])
    own["full"] = bool(own["full"])
    own["shifts"] = {name: Shift(**shift) for name, shift in own["shifts"].items()}
    return Stream(**own)


def _view(row: Mapping[Any, Any]) -> StreamView:
    key = StreamKey(*(row[name] for name in STREAM_KEY))
    return StreamView(key, _stream(row), row["last_at"])


def _json(counts: ByQuantity) -> dict[str, dict[str, int]]:
    return {name: {str(at): n for at, n in bins.items()} for name, bins in counts.items()}


def _counts(stored: Mapping[str, Mapping[str, int]]) -> ByQuantity:
    return {
        name: {int(at): count for at, count in stored[name].items()}
        for name in QUANTITIES
        if name in stored
    }
