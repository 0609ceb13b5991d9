"""Defective parts by kind, counted like everything else that goes by time: in roll-ups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Integer,
    String,
    Table,
    and_,
    case,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
)
from sqlmodel import SQLModel, col

from cloud.records.keys import Condition, same_key
from cloud.records.rollup_tables import MINUTE_S
from cloud.records.rollup_tally import ROW, Query, bucket, sums_due
from cloud.records.tables import INSPECTIONS, LabelRecord, TailRecord

OF_A_KIND = ("site", "line", "lot", "recipe")
KindOf = tuple[tuple[str, ...], str]
UNKNOWN = ""
"""The kind of a defective part of which nobody has said one."""

# `count` defective parts of a kind, `step` seconds from `at` on; see `_defective`.
KIND_ROLLUPS = Table(
    "kind_rollups",
    SQLModel.metadata,
    Column("step", Integer(), primary_key=True),
    Column("at", BigInteger(), primary_key=True),
    *(Column(name, String(64), primary_key=True) for name in OF_A_KIND),
    Column("kind", String(63), primary_key=True),
    Column("count", Integer(), nullable=False),
)

_LABEL = LabelRecord
_LABELLED = col(_LABEL.device).is_not(None)
# An inspector's word counts before the line's; of the kind, before the tail's.
_DEFECTIVE = or_(col(_LABEL.verdict) == "reject", and_(~_LABELLED, ROW.verdict == "reject"))
_KIND = func.coalesce(col(_LABEL.kind), col(TailRecord.kind), UNKNOWN)


def recount_kinds(
    connection: Connection, since: int, until: int, closed: int, pruned: Mapping[str, float]
) -> None:
    """Whole minutes, UTC seconds, and the hours and days that they lie in.

    closed   up to when all is rolled up; see `sums_due`
    pruned   up to when a site's inspections may be gone: what was counted of them stays
    """

    def kept(at: Any, site: Any) -> list[Condition]:
        within = [at >= since, at < until]
        return [*within, at >= case(dict(pruned), value=site, else_=since)] if pruned else within

    table = KIND_ROLLUPS.c
    minutes = (table.step == MINUTE_S, *kept(table.at, table.site))
    connection.execute(delete(KIND_ROLLUPS).where(*minutes))
    group = [bucket(ROW.received_at, MINUTE_S).label("at"), *(ROW[name] for name in OF_A_KIND)]
    own = _defective([literal(MINUTE_S).label("step"), *group], kept(ROW.received_at, ROW.site))
    _insert(connection, own.group_by(*group, _KIND))
    for smaller, step, low, high in sums_due(since, until, closed):
        within = (table.at >= low, table.at < high)
        connection.execute(delete(KIND_ROLLUPS).where(table.step == step, *within))
        sums = [bucket(table.at, step).label("at"), *(table[name] for name in OF_A_KIND)]
        query = (
            select(literal(step).label("step"), *sums, table.kind, func.sum(table.count))
            .where(table.step == smaller, *within)
            .group_by(*sums, table.kind)
        )
        _insert(connection, query)


def _insert(connection: Connection, query: Query) -> None:
    columns = ["step", "at", *OF_A_KIND, "kind", "count"]
    connection.execute(insert(KIND_ROLLUPS).from_select(columns, query))


def _defective(columns: Sequence[Any], where: Sequence[Condition]) -> Query:
    return (
        select(*columns, _KIND.label("kind"), func.count().label("count"))
        .select_from(INSPECTIONS)
        .outerjoin(TailRecord, same_key())
        .outerjoin(LabelRecord, same_key(LabelRecord))
        .where(_DEFECTIVE, *where)
    )


def of_rollups(
    connection: Connection,
    wanted: Mapping[str, str],
    pieces: Iterable[tuple[int, int, int]],
    group: Sequence[str] = (),
) -> Counter[KindOf]:
    """Defective parts by group and kind, from roll-ups.

    wanted   what is not any, of OF_A_KIND
    pieces   as step, from, to
    group    by what else they are told apart, of OF_A_KIND
    """
    table, found = KIND_ROLLUPS.c, Counter[KindOf]()
    own = [table[name] == value for name, value in wanted.items()]
    names = [*(table[name] for name in group), table.kind]
    for step, low, high in pieces:
        within = (table.step == step, table.at >= low, table.at < high)
        query = select(*names, func.sum(table.count)).where(*within, *own).group_by(*names)
        found += _counted(connection, query)
    return found


def of_table(
    connection: Connection,
    wanted: Mapping[str, str],
    since: float,
    until: float,
    group: Sequence[str] = (),
) -> Counter[KindOf]:
    """The same, counted from the table."""
    at = ROW.received_at
    own = [ROW[name] == value for name, value in wanted.items()]
    named = [ROW[name] for name in group]
    query = _defective(named, [at >= since, at < until, *own]).group_by(*named, _KIND)
    return _counted(connection, query)


def _counted(connection: Connection, query: Query) -> Counter[KindOf]:
    found = Counter[KindOf]()
    for *group, kind, count in connection.execute(query):
        found[tuple(map(str, group)), str(kind)] += int(count)
    return found
