"""What is counted of inspections, written once: for roll-ups and for what they do not hold yet.

Of roll-ups as few rows as can be are asked for. A statement has up to a hundred columns, so that
making one costs more than its answer: each is made once, and asked with other numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    and_,
    bindparam,
    case,
    cast,
    func,
    select,
    union_all,
)
from sqlmodel import col

from cloud.records.keys import Condition, same_key
from cloud.records.rollup_tables import (
    DAY_S,
    DIMENSIONS,
    ENDPOINTS,
    ENDS,
    FINAL_ENDS,
    LATENCIES,
    LATENCY_MS,
    LINE_ENDS,
    MEASURES,
    MINUTE_S,
    ROLLUPS,
    SCORE_BINS,
    SCORES,
    STEPS,
)
from cloud.records.settlement import LINE_DECIDED_BY, LINE_VERDICT, contradicts
from cloud.records.tables import INSPECTIONS, WAITS_FOR_PERSON, LabelRecord, TailRecord

Query: TypeAlias = Select[*tuple[Any, ...]]
ROW = INSPECTIONS.c


def bucket(at: Any, step_s: int) -> ColumnElement[int]:
    """The start of the step in which a time lies, UTC seconds."""
    return cast(func.floor(at / step_s) * step_s, BigInteger)


def inspections_tally(
    group: Sequence[Any], where: Sequence[Condition], measures: Sequence[str] = MEASURES
) -> Query:
    """Inspections counted by `group`; the columns are named as those of ROLLUPS."""
    made = [_MEASURES[name].label(name) for name in measures if name in _MEASURES]
    return (
        select(*group, *made)
        .select_from(INSPECTIONS)
        .outerjoin(TailRecord, same_key())
        .outerjoin(LabelRecord, same_key(LabelRecord))
        .where(*where)
        .group_by(*group)
    )


def tails_tally(group: Sequence[Any], where: Sequence[Condition]) -> Query:
    """What the tail answered, by when it did, whether or not the inspection has come yet."""
    counted = func.count().label("tail_results")
    return select(*group, counted).select_from(TailRecord).where(*where).group_by(*group)


def summed(columns: Any, name: str) -> ColumnElement[Any]:
    """A column of several roll-ups as one."""
    column = columns[name]
    if name in ENDPOINTS:
        return (func.min(column) if name == "first_at" else func.max(column)).label(name)
    return func.sum(column).label(name)


def _measures() -> dict[str, ColumnElement[Any]]:
    escalated = ROW.decision == "escalate"
    answered = col(TailRecord.device).is_not(None)
    labelled = col(LabelRecord.device).is_not(None)
    told = col(LabelRecord.verdict)
    return {
        "inspected": func.count(),
        "settled": _count(ROW.line_verdict.is_not(None)),
        "waiting": _count(and_(WAITS_FOR_PERSON, ~labelled)),
        "escalated": _count(escalated),
        "contradicted": _count(contradicts()),
        "answers": _count(answered),
        "labelled": _count(labelled),
        "escapes": _count(and_(LINE_VERDICT == "pass", told == "reject")),
        "overkills": _count(and_(LINE_VERDICT == "reject", told == "pass")),
        "escalated_bytes": func.sum(ROW.escalated_bytes),
        "frame_bytes": func.sum(ROW.frame_bytes),
        "escalated_frame_bytes": func.sum(case((escalated, ROW.frame_bytes), else_=0)),
        "edge_ms": func.sum(ROW.edge_ms),
        "total_ms": func.sum(ROW.total_ms),
        "cloud_ms": func.sum(func.coalesce(col(TailRecord.cloud_ms), 0.0)),
        "first_at": func.min(ROW.received_at),
        "last_at": func.max(ROW.received_at),
        **_ends(LINE_ENDS, LINE_DECIDED_BY, LINE_VERDICT),
        **_ends(FINAL_ENDS, ROW.decided_by, ROW.verdict),
        **_histogram(LATENCIES, ROW.total_ms, [0.0, *LATENCY_MS]),
        **_histogram(SCORES, ROW.score, _SCORE_BOUNDS),
    }


def _ends(names: Sequence[str], who: Any, how: Any) -> dict[str, ColumnElement[Any]]:
    return {
        name: _count(and_(who == decider, how == verdict))
        for name, (decider, verdict) in zip(names, ENDS, strict=True)
    }


# The least and the greatest score belong to the first and to the last bin.
_SCORE_BOUNDS = [-1.0, *(place / SCORE_BINS for place in range(1, SCORE_BINS))]


def _histogram(
    names: Sequence[str], value: Any, above: Sequence[float]
) -> dict[str, ColumnElement[Any]]:
    """Counts of values above each bound and not above the next."""
    made = {}
    for place, name in enumerate(names):
        held = [value > above[place]] if place else []
        if place + 1 < len(names):
            held.append(value <= above[place + 1])
        made[name] = _count(and_(*held))
    return made


def _count(holds: Any) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((holds, 1), else_=0)), 0)


_MEASURES = _measures()


# Before and after anything that came here.
FIRST, LAST = -DAY_S * 2**24, DAY_S * 2**24
MOST_KEPT = 256
# What a result of the tail does not say.
_OF_THE_PART = frozenset({"lot", "recipe", "bundle"})
Asked = tuple[Query, Mapping[str, Any]]


class Rolled(NamedTuple):
    """All minutes in [since, until), UTC seconds, are rolled up."""

    since: int
    until: int


class CountShape(NamedTuple):
    """What is counted, whatever the time.

    step_s      0: one number for all of it
    named       dimensions of which one value is wanted
    """

    step_s: int
    dimensions: tuple[str, ...]
    measures: tuple[str, ...]
    named: tuple[str, ...]


class CountQuestion(NamedTuple):
    """values   by each dimension of which one is wanted; [since, until) in UTC seconds"""

    shape: CountShape
    values: Mapping[str, str]
    since: float
    until: float


def queries(known: Rolled | None, wanted: CountQuestion) -> Iterator[Asked]:
    """known: what is rolled up; None: nothing yet"""
    held, rest = divided(known, wanted.since, wanted.until)
    if held is not None:
        yield _of_rollups(wanted, *held)
    for since, until in rest:
        yield from _of_table(wanted._replace(since=since, until=until))


def divided(
    known: Rolled | None, since: float, until: float
) -> tuple[Rolled | None, list[tuple[float, float]]]:
    """A range as the whole minutes of it that are rolled up, and what is left on both sides."""
    held, first, last = None, since, since
    if known is not None:
        low = max(known.since, round_up(since, MINUTE_S))
        high = min(known.until, round_down(until, MINUTE_S))
        if low < high:
            held, first, last = Rolled(low, high), low, high
    return held, [(low, high) for low, high in ((since, first), (last, until)) if low < high]


def pieces(since: int, until: int, steps: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """A range as whole steps, the largest that fit: step, from, to."""
    if since >= until or not steps:
        return
    *smaller, step = steps
    low, high = round_up(since, step), round_down(until, step)
    if low >= high:
        low = high = since
    else:
        yield step, low, high
    yield from pieces(since, low, smaller)
    yield from pieces(high, until, smaller)


def sums_due(since: int, until: int, closed: int) -> Iterator[tuple[int, int, int, int]]:
    """What is to be added up anew where the minutes of [since, until) are others: of which step, to
    which step, from, to.

    closed   up to when all is rolled up. What is not over by then has no sum yet: nobody reads it,
             and each of its minutes would add all of them up anew
    """
    for smaller, step in pairwise(STEPS):
        low, high = since // step * step, min(-(-until // step), closed // step) * step
        if low < high:
            yield smaller, step, low, high


def round_up(at: float, step_s: int) -> int:
    return math.ceil(at / step_s) * step_s


def round_down(at: float, step_s: int) -> int:
    return math.floor(at / step_s) * step_s


def _of_rollups(wanted: CountQuestion, since: int, until: int) -> Asked:
    step_s = wanted.shape.step_s
    found = list(pieces(since, until, [step for step in STEPS if not step_s or step_s % step == 0]))
    given: dict[str, Any] = {f"of_{name}": value for name, value in wanted.values.items()}
    for place, (_, low, high) in enumerate(found):
        given |= {f"low_{place}": low, f"high_{place}": high}
    return _rollups_statement(wanted.shape, tuple(step for step, _, _ in found)), given


@lru_cache(MOST_KEPT)
def _rollups_statement(shape: CountShape, steps: tuple[int, ...]) -> Query:
    table = ROLLUPS.c
    own = [table[name] == bindparam(f"of_{name}") for name in shape.named]
    # A sum over nothing but what is wanted: there are a hundred measures.
    columns = [table[name] for name in ("at", *shape.dimensions, *shape.measures)]
    several = [
        select(*columns).where(
            table.step == step,
            table.at >= bindparam(f"low_{place}"),
            table.at < bindparam(f"high_{place}"),
            *own,
        )
        for place, step in enumerate(steps)
    ]
    found = union_all(*several).subquery().c
    named = {name: found[name] for name in shape.dimensions}
    whole = set(steps) == {shape.step_s}
    group = _group(found.at, named, shape, whole=whole)
    sums = [summed(found, name) for name in shape.measures]
    return select(*group, *sums).group_by(*group)


def _of_table(wanted: CountQuestion) -> Iterator[Asked]:
    # An open end is no condition: so the whole table needs no index.
    bounds = {}
    if wanted.since > FIRST:
        bounds["since"] = wanted.since
    if wanted.until < LAST:
        bounds["until"] = wanted.until
    given = {**bounds, **{f"of_{name}": value for name, value in wanted.values.items()}}
    for statement in _table_statements(wanted.shape, tuple(bounds)):
        yield statement, given


@lru_cache(MOST_KEPT)
def _table_statements(shape: CountShape, bounds: tuple[str, ...]) -> list[Query]:
    named: dict[str, Any] = {name: ROW[name] for name in DIMENSIONS}
    group = _group(ROW.received_at, named, shape)
    where = _conditions(ROW.received_at, named, shape, bounds)
    found = [inspections_tally(group, where, shape.measures)]
    if "tail_results" not in shape.measures or _OF_THE_PART & set(shape.named):
        return found
    named = {name: col(getattr(TailRecord, name)) for name in ("site", "line", "device")}
    told = [one for one in shape.dimensions if one not in _OF_THE_PART]
    answered = col(TailRecord.received_at)
    group = _group(answered, named, shape._replace(dimensions=tuple(told)))
    return [*found, tails_tally(group, _conditions(answered, named, shape, bounds))]


def _conditions(
    at: Any, named: Mapping[str, Any], shape: CountShape, bounds: Sequence[str]
) -> list[ColumnElement[bool]]:
    return [
        *([at >= bindparam("since")] if "since" in bounds else []),
        *([at < bindparam("until")] if "until" in bounds else []),
        *(named[name] == bindparam(f"of_{name}") for name in shape.named),
    ]


def _group(
    at: Any, named: Mapping[str, Any], shape: CountShape, *, whole: bool = False
) -> list[ColumnElement[Any]]:
    """whole: what is grouped begins with each step already"""
    own = []
    if shape.step_s:
        start = at if whole else bucket(at, shape.step_s)
        own = [start.label("start")]
    return [*own, *(named[name].label(name) for name in shape.dimensions)]
