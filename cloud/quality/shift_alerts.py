"""The alerts of a shift, as they are kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Select, func, or_, select, tuple_

from cloud.alerts.tables import ALERTS
from cloud.quality.shift_report import LinePlace, ShiftAlert
from cloud.records.database import Database

MOST = 50


class KeptShiftAlerts:
    """A `cloud.quality.shift_report.ShiftAlerts` over the cloud's own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def during(
        self, places: Sequence[LinePlace], since: float, until: float
    ) -> Mapping[LinePlace, Sequence[ShiftAlert]]:
        """The first MOST of each line that were raised before it ended and were not over before it
        began."""
        found: dict[LinePlace, list[ShiftAlert]] = defaultdict(list)
        with self._database.begin() as connection:
            for site, line, at, says, state in connection.execute(_query(places, since, until)):
                found[LinePlace(site, line)].append(ShiftAlert(float(at), str(says), str(state)))
        return found


def _query(places: Sequence[LinePlace], since: float, until: float) -> Select[Any]:
    row = ALERTS.c
    over = func.coalesce(row.ended_at, until)
    order = (row.raised_at, row.id)
    each = func.row_number().over(partition_by=(row.site, row.line), order_by=order)
    found = (
        select(row.site, row.line, *order, row.says, row.state, each.label("place"))
        .where(
            tuple_(row.site, row.line).in_([tuple(place) for place in places]),
            row.raised_at < until,
            or_(over >= since, row.open_key.is_not(None)),
        )
        .subquery()
        .c
    )
    return (
        select(found.site, found.line, found.raised_at, found.says, found.state)
        .where(found.place <= MOST)
        .order_by(found.raised_at, found.id)
    )
