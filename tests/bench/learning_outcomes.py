"""What became of parts on simulated lines, by the bundle that looked at them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import closing
from typing import NamedTuple

from hardware_sim.scenario.station import DeviceStation, PassedPart
from shared.certification.certificate import interval

DELTA = 0.05
Span = tuple[float, float]


class Seen(NamedTuple):
    """A part that a box has looked at, and where it ended.

    picture    its name in the data set
    bundle     that looked
    escalated  the box was not sure
    """

    picture: str
    bundle: str
    escalated: bool
    defective: bool
    diverted: bool


def seen_by(station: DeviceStation, passed: Mapping[int, PassedPart]) -> list[Seen]:
    """In the order of the line: the journal's word on who looked, the line's on what was true."""
    with closing(sqlite3.connect(station.journal)) as connection:
        rows = connection.execute(
            "SELECT part, source, bundle, decision FROM inspections ORDER BY part"
        ).fetchall()
    return [
        Seen(
            source,
            bundle,
            decision == "escalate",
            passed[part].defect != "good",
            passed[part].diverted,
        )
        for part, source, bundle, decision in rows
        if part in passed
    ]


def first_looks(seen: Iterable[Seen], bundle: str, pictures: Collection[str]) -> list[Seen]:
    """Each picture once, the first time that this bundle saw it: lines bring them again."""
    firsts: dict[str, Seen] = {}
    for one in seen:
        if one.bundle == bundle and one.picture in pictures:
            firsts.setdefault(one.picture, one)
    return list(firsts.values())


def share_of(among: Sequence[Seen], errs: Callable[[Seen], bool]) -> str:
    """How many err, and where the true share lies with 95 % confidence."""
    count = sum(map(errs, among))
    low, high = interval(count, len(among), DELTA)
    return f"{count} of {len(among)} ({low:.1%} to {high:.1%})"


def escaped(one: Seen) -> bool:
    """A defect in the good bin."""
    return one.defective and not one.diverted


def figures(looks: Sequence[Seen]) -> dict[str, str]:
    """Escapes of the defective, overkill of the good, escalations of all."""
    return {
        "escapes": share_of([one for one in looks if one.defective], escaped),
        "overkill": share_of([one for one in looks if not one.defective], lambda one: one.diverted),
        "escalated": share_of(looks, lambda one: one.escalated),
    }


def changed(before: Iterable[Seen], after: Iterable[Seen]) -> str:
    """Of the defective pictures that both saw: which escaped one of the two only."""
    was = {one.picture: escaped(one) for one in before if one.defective}
    both = [(was[one.picture], escaped(one)) for one in after if one.picture in was]
    no_more = sum(then and not now for then, now in both)
    anew = sum(now and not then for then, now in both)
    return f"{no_more} escape no more, {anew} anew, of {len(both)} seen by both"


def missed(stations: Sequence[DeviceStation], spans: Sequence[Span]) -> str:
    """Parts that their deadline decided."""
    late = total = 0
    for station in stations:
        with closing(sqlite3.connect(station.journal)) as connection:
            for span in spans:
                found = connection.execute(
                    "SELECT coalesce(sum(decided_by = 'deadline'), 0), count(*) FROM inspections "
                    "WHERE inspected_at BETWEEN ? AND ?",
                    span,
                ).fetchone()
                late, total = late + found[0], total + found[1]
    return f"{late} of {total} parts"
