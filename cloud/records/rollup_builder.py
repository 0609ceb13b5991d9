"""Counts some minutes, and the hours and days that they lie in, from the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, case, delete, insert, literal, literal_column, select, union_all
from sqlmodel import col

from cloud.records.kinds import recount_kinds
from cloud.records.rollup_tables import (
    DIMENSIONS,
    ENDPOINTS,
    MEASURES,
    MINUTE_S,
    PRUNED,
    ROLLUPS,
)
from cloud.records.rollup_tally import (
    ROW,
    Query,
    bucket,
    inspections_tally,
    summed,
    sums_due,
    tails_tally,
)
from cloud.records.tables import TailRecord


def recount(connection: Connection, since: int, until: int, closed: int) -> None:
    """Whole minutes, UTC seconds. What has been pruned of a site stays as it was counted.

    closed   up to when all is rolled up; see `sums_due`
    """
    rows = connection.execute(select(PRUNED.c.site, PRUNED.c.before)).all()
    pruned: dict[str, float] = {str(site): float(before) for site, before in rows}
    _replace_minutes(connection, since, until, pruned)
    recount_kinds(connection, since, until, closed, pruned)
    for smaller, step, low, high in sums_due(since, until, closed):
        _replace_sums(connection, low, high, smaller, step)


def _replace_minutes(
    connection: Connection, since: int, until: int, pruned: Mapping[str, float]
) -> None:
    def kept(at: Any, site: Any) -> list[Any]:
        within = [at >= since, at < until]
        return [*within, at >= case(pruned, value=site, else_=since)] if pruned else within

    came, answered, tail = ROW.received_at, col(TailRecord.received_at), TailRecord
    own = [bucket(came, MINUTE_S).label("at"), *(ROW[name] for name in DIMENSIONS)]
    told = [
        bucket(answered, MINUTE_S).label("at"),
        *(col(getattr(tail, name)) for name in ("site", "line", "device")),
    ]
    minutes = (ROLLUPS.c.step == MINUTE_S, *kept(ROLLUPS.c.at, ROLLUPS.c.site))
    connection.execute(delete(ROLLUPS).where(*minutes))
    # All of it in the database: rows that go through here cost ten times as much.
    found = union_all(
        _all_columns(inspections_tally(own, kept(came, ROW.site))),
        _all_columns(tails_tally(told, kept(answered, col(tail.site)))),
    ).subquery()
    _insert_sums(connection, found.c, MINUTE_S, [found.c.at, *(found.c[one] for one in DIMENSIONS)])


def _all_columns(tally: Query) -> Query:
    """With nothing where a tally says nothing, so that several can be put together."""
    counted = tally.subquery().c
    nothing = {**dict.fromkeys(DIMENSIONS, "''"), **dict.fromkeys(ENDPOINTS, "NULL")}
    return select(
        *(
            counted[name].label(name)
            if name in counted
            else literal_column(nothing.get(name, "0")).label(name)
            for name in ("at", *DIMENSIONS, *MEASURES)
        )
    )


def _replace_sums(connection: Connection, since: int, until: int, smaller: int, step: int) -> None:
    table = ROLLUPS.c
    within = (table.at >= since, table.at < until)
    connection.execute(delete(ROLLUPS).where(table.step == step, *within))
    group = [bucket(table.at, step).label("at"), *(table[name] for name in DIMENSIONS)]
    _insert_sums(connection, table, step, group, (table.step == smaller, *within))


def _insert_sums(
    connection: Connection, table: Any, step: int, group: Sequence[Any], where: Sequence[Any] = ()
) -> None:
    sums = [summed(table, name) for name in MEASURES]
    query = select(literal(step).label("step"), *group, *sums).where(*where).group_by(*group)
    connection.execute(insert(ROLLUPS).from_select(["step", "at", *DIMENSIONS, *MEASURES], query))
