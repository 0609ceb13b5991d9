"""Walking through inspections in the order in which they came, a bounded stretch at a time."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Self

import msgspec
from sqlalchemy import Connection, select, text, tuple_

from cloud.records.keys import Condition, key_columns
from cloud.records.tables import INSPECTIONS
from cloud.records.views import InspectionView
from shared.clock import Clock
from shared.errors import SettingsError
from shared.inspection import LARGEST_NUMBER

ROW = INSPECTIONS.c
ORDER: list[Any] = [ROW.received_at, *key_columns(INSPECTIONS)]
# No database keeps a NUL, and one fails where it is asked for it.
NO_NUL = r"^[^\x00]*$"
KeyText = Annotated[str, msgspec.Meta(pattern=NO_NUL)]
KeyNumber = Annotated[int, msgspec.Meta(ge=0, le=LARGEST_NUMBER)]
Position = tuple[float, KeyText, KeyText, KeyNumber]

_BY_KEY = text(
    "SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)"
)
# How long a page looks for what is rare before it says how far it has looked.
SEARCH_S = 0.04
COUNT_S = 0.02
MOST_COUNTED = 10_000
FIRST_STRETCH, LONGEST_STRETCH = 4_000, 16_000


@dataclass(frozen=True, slots=True)
class PartCount:
    """How many parts there are; not `exact`: so many were seen, and there may be more."""

    count: int
    exact: bool


@dataclass(frozen=True, slots=True)
class FoundInspections:
    """A page of a list, the last that came first.

    newer, older   cursors of what follows on either side; None: nothing does
    """

    inspections: list[InspectionView]
    newer: str | None
    older: str | None

    @classmethod
    def of(
        cls, found: list[InspectionView], more: str | None, cursor: str | None, *, newer: bool
    ) -> Self:
        """From what was found on the way from the cursor, and the cursor of what follows that."""
        views = found[::-1] if newer else found
        back = cursor_of(found[0]) if found else cursor
        if newer:
            return cls(views, more, back)
        return cls(views, back if cursor is not None else None, more)


class Walk:
    """Conditions for one stretch after the other, the first a shorter one, until
    everything was passed or time is up.

    rest   the cursor of what was not looked at; None: that was all
    """

    def __init__(
        self,
        connection: Connection,
        clock: Clock,
        place: Position | None = None,
        *,
        newer: bool = False,
        seconds: float = SEARCH_S,
        among: Sequence[Condition] = (),
    ) -> None:
        """among   what an index of its own knows all of: then stretches are counted in those, and
        what lies between costs nothing"""
        self._connection = connection
        self._clock = clock
        self._place = place
        self._newer = newer
        self._seconds = seconds
        self._among = among
        self.rest: str | None = None
        if connection.dialect.name == "postgresql":
            # What stands beside a stretch is found by its key: a hash would read all of it.
            connection.execute(_BY_KEY)
        self.order = [column.asc() if newer else column.desc() for column in ORDER]

    def __iter__(self) -> Iterator[list[Condition]]:
        began, length = self._clock.monotonic(), FIRST_STRETCH
        while True:
            last = self._far(length)
            self.rest = None if last is None else encoded((last, "", "", 0))
            yield [*self._beyond(), *([] if last is None else [self._until(last)])]
            if last is None or self._clock.monotonic() - began > self._seconds:
                return
            # Of what no index knows, a stretch costs as much as it is long: it bounds the answer.
            self._place, length = (last, "", "", 0), min(length * 2, LONGEST_STRETCH)

    def _far(self, length: int) -> float | None:
        """So many inspections on; told by an index alone, which knows no more than when they
        came."""
        came = ROW.received_at
        query = select(came).where(*self._among, *self._from()).order_by(self.order[0])
        found = self._connection.execute(query.offset(length).limit(1)).scalar()
        if self._newer and self._place is not None and found == self._place[0]:
            return self._far(length * 4)
        return found

    def _from(self) -> list[Condition]:
        if self._place is None:
            return []
        came = ROW.received_at
        return [came >= self._place[0] if self._newer else came <= self._place[0]]

    def _beyond(self) -> list[Condition]:
        if self._place is None:
            return []
        here, place = tuple_(*ORDER), tuple_(*self._place)
        return [*self._from(), here > place if self._newer else here < place]

    def _until(self, last: float) -> Condition:
        # So that what follows `(last, "", "", 0)` is what was not in this stretch.
        return ROW.received_at < last if self._newer else ROW.received_at >= last


def cursor_of(view: InspectionView) -> str:
    """Where a page ends or begins."""
    return encoded((view.received_at, view.device, view.boot, view.sequence))


def encoded(position: Position) -> str:
    """As it stands in an address."""
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(position)).decode().rstrip("=")


def position_of(cursor: str) -> Position:
    """Raises SettingsError for a cursor that is not ours."""
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        position: Position = msgspec.msgpack.decode(raw, type=Position)
    except (ValueError, msgspec.DecodeError) as error:
        raise SettingsError(
            f"the cursor {cursor[:80]!r} is none of ours", fix="pass `next` of the page before"
        ) from error
    return position
