"""Reading counts over time: from roll-ups, and from the table where there are none yet."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, select

from cloud.records.database import Database
from cloud.records.kinds import OF_A_KIND, KindOf, of_rollups, of_table
from cloud.records.rollup_tables import (
    DAY_S,
    DIMENSIONS,
    MEASURES,
    MINUTE_S,
    ROLLUP_STATE,
    ROLLUPS,
    STEPS,
)
from cloud.records.rollup_tally import (
    FIRST,
    LAST,
    CountQuestion,
    CountShape,
    Rolled,
    divided,
    pieces,
    queries,
    round_down,
    round_up,
)
from cloud.records.totals import Totals, merged

Dimension = Literal["site", "line", "device", "lot", "recipe", "bundle"]
Group = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RollupScope:
    """Which inspections are counted; None means any."""

    site: str | None = None
    line: str | None = None
    device: str | None = None
    lot: str | None = None
    recipe: str | None = None
    bundle: str | None = None

    @property
    def wanted(self) -> dict[str, str]:
        """What is not any, by dimension."""
        named = {name: getattr(self, name) for name in DIMENSIONS}
        return {name: value for name, value in named.items() if value is not None}


EVERYWHERE = RollupScope()


class Rollups:
    """Counts over time. Safe to share between threads; every method raises RecordsError.

    What came in the last minute or so is counted from the table, all else from roll-ups; so what a
    label or a late answer changes of an earlier minute counts a second or so later. While the past
    is being rolled up for the first time, what is not yet is counted from the table too.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def totals(
        self,
        scope: RollupScope = EVERYWHERE,
        since: float = FIRST,
        until: float = LAST,
        *,
        measures: Sequence[str] = MEASURES,
    ) -> Totals:
        """What came in [since, until), UTC seconds. `measures` as in `series_by`."""
        return self.by((), scope, since, until, measures=measures).get((), Totals())

    def by(
        self,
        dimensions: Sequence[Dimension],
        scope: RollupScope = EVERYWHERE,
        since: float = FIRST,
        until: float = LAST,
        *,
        measures: Sequence[str] = MEASURES,
    ) -> dict[Group, Totals]:
        """The same by each of these dimensions, such as ("site", "line"); groups without a part
        are left out. `measures` as in `series_by`."""
        shape = CountShape(0, tuple(dimensions), tuple(measures), tuple(scope.wanted))
        found = self._count(scope, since, until, shape)
        return {group: Totals.of(values) for (_, group), values in sorted(found.items())}

    def series(
        self,
        scope: RollupScope,
        since: float,
        until: float,
        step_s: int = MINUTE_S,
        *,
        measures: Sequence[str] = MEASURES,
    ) -> dict[int, Totals]:
        """Step by step, by the start of each, UTC seconds; every step is there, in order.

        step_s   whole minutes. Steps start at its multiples, the first with the one in which
                 `since` lies; the last is the one that `until` still reaches into
        measures   as in `series_by`
        """
        found = self.series_by((), scope, since, until, step_s, measures=measures)
        first, last = round_down(since, step_s), round_up(until, step_s)
        own = found.get((), {})
        return {at: own.get(at, Totals()) for at in range(first, last, step_s)}

    def series_by(
        self,
        dimensions: Sequence[Dimension],
        scope: RollupScope,
        since: float,
        until: float,
        step_s: int = MINUTE_S,
        *,
        measures: Sequence[str] = MEASURES,
    ) -> dict[Group, dict[int, Totals]]:
        """The same by each of these dimensions; steps without a part are left out.

        measures   what is added up, by the names of MEASURES; the rest of each is nought. Many
                   steps of all measures take long
        """
        if step_s <= 0 or step_s % MINUTE_S:
            raise ValueError(f"a step of {step_s} s: whole minutes are wanted")
        first, last = round_down(since, step_s), round_up(until, step_s)
        shape = CountShape(step_s, tuple(dimensions), tuple(measures), tuple(scope.wanted))
        found = self._count(scope, first, last, shape)
        series: dict[Group, dict[int, Totals]] = defaultdict(dict)
        for (at, group), values in sorted(found.items()):
            series[group][at] = Totals.of(values)
        return dict(series)

    def spans(
        self,
        dimensions: Sequence[Dimension],
        scope: RollupScope,
        spans: Sequence[tuple[float, float]],
        step_s: int,
        *,
        measures: Sequence[str] = MEASURES,
    ) -> dict[Group, list[Totals]]:
        """What came in each of these times, by each of these dimensions.

        spans    from, to, UTC seconds, in order and without overlap
        step_s   as in `series`: a step counts for the span in which it begins
        """
        if not spans:
            return {}
        begins = [since for since, _ in spans]
        shape = CountShape(step_s, tuple(dimensions), tuple(measures), tuple(scope.wanted))
        first, last = round_down(begins[0], step_s), round_up(spans[-1][1], step_s)
        several: dict[Group, dict[int, list[Mapping[str, Any]]]] = defaultdict(dict)
        for (at, group), values in self._count(scope, first, last, shape).items():
            place = bisect_right(begins, at) - 1
            if place >= 0 and at < spans[place][1]:
                several[group].setdefault(place, []).append(values)
        return {
            group: [Totals.of(merged(own.get(place, ()))) for place in range(len(spans))]
            for group, own in sorted(several.items())
        }

    def kinds(
        self, scope: RollupScope = EVERYWHERE, since: float = FIRST, until: float = LAST
    ) -> dict[str, int]:
        """Defective parts that came in [since, until) by kind, the commonest first.

        A part is defective where an inspector says so, or where none has spoken and its verdict is
        `reject`. An inspector's kind counts before the tail's; `cloud.records.kinds.UNKNOWN` where
        nobody said one. Raises ValueError for a scope of a device or a bundle.
        """
        return self.kinds_by((), scope, since, until).get((), {})

    def kinds_by(
        self,
        dimensions: Sequence[Dimension],
        scope: RollupScope = EVERYWHERE,
        since: float = FIRST,
        until: float = LAST,
    ) -> dict[Group, dict[str, int]]:
        """The same by each of these dimensions; groups without a defective part are left out."""
        wanted = scope.wanted
        if unkept := {*wanted, *dimensions} - set(OF_A_KIND):
            raise ValueError(f"kinds are not counted by {', '.join(sorted(unkept))}")
        found = Counter[KindOf]()
        with self._database.begin() as connection:
            held, rest = divided(rolled(connection), since, until)
            if held is not None:
                every = pieces(*held, STEPS)
                found += of_rollups(connection, wanted, every, dimensions)
            for start, end in rest:
                found += of_table(connection, wanted, start, end, dimensions)
        kinds: dict[Group, dict[str, int]] = defaultdict(dict)
        for (group, kind), count in sorted(found.items(), key=lambda one: (-one[1], one[0])):
            kinds[group][kind] = count
        return dict(kinds)

    def named(self, dimension: Dimension, since: float) -> list[str]:
        """What parts said of themselves on the days from `since` on, in order, but for those that
        came within the last minute or so; nothing where they said nothing."""
        table, found = ROLLUPS.c, set[str]()
        with self._database.begin() as connection:
            held, _ = divided(rolled(connection), round_down(since, DAY_S), LAST)
            for step, low, high in pieces(*held, STEPS) if held else ():
                within = (table.step == step, table.at >= low, table.at < high)
                query = select(table[dimension]).where(*within, table[dimension] != "").distinct()
                found |= {str(name) for name in connection.execute(query).scalars()}
        return sorted(found)

    def rolled(self) -> Rolled | None:
        """What is rolled up; None: nothing yet."""
        with self._database.begin() as connection:
            return rolled(connection)

    def _count(
        self, scope: RollupScope, since: float, until: float, shape: CountShape
    ) -> dict[tuple[int, Group], Mapping[str, Any]]:
        # No number is no time either.
        if not since < until:
            return {}
        wanted = CountQuestion(shape, scope.wanted, max(since, FIRST), min(until, LAST))
        parts: dict[tuple[int, Group], list[dict[str, Any]]] = defaultdict(list)
        with self._database.begin() as connection:
            for query, given in queries(rolled(connection), wanted):
                result = connection.execute(query, given)
                names = list(result.keys())
                for row in result:
                    found = dict(zip(names, row, strict=True))
                    start = int(found.pop("start", 0))
                    group = tuple(str(found.pop(name, "")) for name in shape.dimensions)
                    parts[start, group].append(found)
        return {
            at: several[0] if len(several) == 1 else merged(several)
            for at, several in parts.items()
        }


def rolled(connection: Connection) -> Rolled | None:
    """What is rolled up; None: nothing yet."""
    row = connection.execute(select(ROLLUP_STATE.c.since, ROLLUP_STATE.c.until)).first()
    return Rolled(*row) if row is not None and row[0] < row[1] else None
