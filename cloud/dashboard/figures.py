"""What the live page says of a line in numbers, from its minutes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cloud.health.evidence import control_limits
from cloud.health.line_state import LineHealth
from cloud.records.rollup_tables import ENDS
from cloud.records.totals import Totals
from shared.contracts import DECIDERS, VERDICTS, Decider

MINUTE_S = 60


@dataclass(frozen=True, slots=True)
class Figures:
    """Parts of some minutes.

    rejected        by edge or cloud, without those that the deadline diverted
    limits          between what their share lies by the line's own past; None: too little past
    caught_cloud    parts that the edge was unsure of and the cloud rejected
    caught_person   parts that a person found defective among those that waited for one
    escapes         passed parts that a person has called defective since
    verdict_ms      between what the time to the verdict lies of half, and of 99 of 100 parts
    """

    parts: int = 0
    passed: int = 0
    rejected: int = 0
    review: int = 0
    diverted: int = 0
    escalated: int = 0
    sent_bytes: int = 0
    frame_bytes: int = 0
    by_decider: Mapping[Decider, int] | None = None
    limits: tuple[float, float] | None = None
    caught_cloud: int = 0
    caught_person: int = 0
    escapes: int = 0
    half_ms: tuple[float, float] | None = None
    most_ms: tuple[float, float] | None = None

    @property
    def judged(self) -> int:
        """Parts that the deadline did not divert."""
        return self.parts - self.diverted

    @property
    def unusual(self) -> bool:
        """The reject rate lies above its limits."""
        if self.limits is None or not self.judged:
            return False
        return self.rejected / self.judged > self.limits[1]


@dataclass(frozen=True, slots=True)
class LineFigures:
    """A line, how it is, and its numbers."""

    state: LineHealth
    figures: Figures
    waiting: int


# With fewer the limits are so wide that they say nothing.
LEAST_PAST = 100


def figures(minutes: Mapping[int, Totals], since: float) -> Figures:
    """minutes: by their start, UTC seconds; those from `since` on are counted, and the others are
    the past that they are held against"""
    recent = [one for at, one in minutes.items() if at >= since]
    past = [one for at, one in minutes.items() if at < since]
    ends = {end: sum(one.line_ends[end] for one in recent) for end in ENDS}
    by_decider: dict[Decider, int] = {
        who: sum(ends[who, verdict] for verdict in VERDICTS) for who in DECIDERS
    }
    parts = sum(one.inspected for one in recent)
    latency = [sum(counts) for counts in zip(*(one.latency for one in recent), strict=True)]
    timed = Totals(latency=latency) if latency else Totals()
    return Figures(
        parts=parts,
        passed=sum(ends[who, "pass"] for who in DECIDERS),
        rejected=_rejected(recent),
        review=sum(ends[who, "review"] for who in DECIDERS),
        diverted=by_decider["deadline"],
        escalated=sum(one.escalated for one in recent),
        sent_bytes=sum(one.escalated_bytes for one in recent),
        frame_bytes=sum(one.frame_bytes for one in recent),
        by_decider=by_decider,
        limits=_limits(past, parts - by_decider["deadline"]),
        caught_cloud=ends["cloud", "reject"],
        caught_person=sum(one.final_ends["inspector", "reject"] for one in recent),
        escapes=sum(one.escapes for one in recent),
        half_ms=timed.latency_bounds_ms(0.5),
        most_ms=timed.latency_bounds_ms(0.99),
    )


def together(lines: Iterable[Mapping[int, Totals]], since: float) -> dict[int, dict[Decider, int]]:
    """Parts of all these lines by who decided, minute by minute; minutes without one are left
    out."""
    found: dict[int, Counter[Decider]] = {}
    for minutes in lines:
        for at, one in minutes.items():
            if at >= since:
                found.setdefault(at, Counter()).update(one.by_decider)
    return {at: dict(counts) for at, counts in sorted(found.items())}


def _rejected(several: Iterable[Totals]) -> int:
    return sum(
        one.line_ends["edge", "reject"] + one.line_ends["cloud", "reject"] for one in several
    )


def _limits(past: list[Totals], parts: int) -> tuple[float, float] | None:
    earlier = sum(one.inspected - one.by_deadline for one in past)
    if earlier < LEAST_PAST or not parts:
        return None
    return control_limits(parts, _rejected(past) / earlier)
