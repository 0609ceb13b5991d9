"""Counts of inspections over some time, and what follows from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter
from typing import Any, TypeAlias

from cloud.records.rollup_tables import (
    BYTES,
    COUNTS,
    ENDPOINTS,
    ENDS,
    FINAL_ENDS,
    LATENCIES,
    LATENCY_MS,
    LINE_ENDS,
    SCORE_BINS,
    SCORES,
    TIMES,
)
from shared.contracts import DECIDERS, VERDICTS, Decider, Verdict

MOST_SHAPES = 64

Ends: TypeAlias = Mapping[tuple[Decider, Verdict], int]


_NO_ENDS: Ends = dict.fromkeys(ENDS, 0)


def _no_ends() -> Ends:
    return _NO_ENDS


@dataclass(frozen=True, slots=True)
class Totals:
    """What came here in some time.

    line_ends       what the line did, by who decided that and how, whatever a person said since
    final_ends      as it is now, with parts that a person has settled
    settled         parts whose verdict is an inspector's
    waiting         parts that wait for a person: in review, or diverted by a deadline
    answers         inspections for which there is a result of the tail
    contradicted    of those, where the tail would have done otherwise to the part
    labelled        inspections with an inspector's label
    escapes         of those, parts that passed and should not have
    overkills       of those, parts that were rejected and should have passed
    tail_results    results of the tail by when they were made; none of a lot, recipe or bundle
    edge_ms         in all: trigger to the gate's decision; `total_ms` to the verdict; `cloud_ms` of
                    `answers` from arrival to answer
    first_at        when the first and the last came, UTC seconds; None for none
    latency         inspections by `total_ms`, bucket by bucket of LATENCY_MS
    scores          inspections by the head's score, twentieth by twentieth
    """

    inspected: int = 0
    settled: int = 0
    waiting: int = 0
    escalated: int = 0
    contradicted: int = 0
    answers: int = 0
    labelled: int = 0
    escapes: int = 0
    overkills: int = 0
    tail_results: int = 0
    escalated_bytes: int = 0
    frame_bytes: int = 0
    escalated_frame_bytes: int = 0
    edge_ms: float = 0.0
    total_ms: float = 0.0
    cloud_ms: float = 0.0
    first_at: float | None = None
    last_at: float | None = None
    line_ends: Ends = field(default_factory=_no_ends)
    final_ends: Ends = field(default_factory=_no_ends)
    latency: Sequence[int] = (0,) * len(LATENCIES)
    scores: Sequence[int] = (0,) * SCORE_BINS

    @property
    def by_decider(self) -> dict[Decider, int]:
        """What the line did, by who decided it."""
        return {who: sum(self.line_ends[who, verdict] for verdict in VERDICTS) for who in DECIDERS}

    @property
    def by_deadline(self) -> int:
        """What a deadline decided on the line: of `by_decider`, without counting the others."""
        return sum(self.line_ends["deadline", verdict] for verdict in VERDICTS)

    @property
    def verdicts(self) -> dict[Verdict, int]:
        """As it is now."""
        return {one: sum(self.final_ends[who, one] for who in DECIDERS) for one in VERDICTS}

    def latency_bounds_ms(self, share: float) -> tuple[float, float] | None:
        """Between what the latency lies within which this share of parts had its verdict.

        share   0–1, such as 0.95
        Returns None where there were no parts; the upper bound may be infinite.
        """
        wanted, seen = share * sum(self.latency), 0
        for place, count in enumerate(self.latency):
            seen += count
            if count and seen >= wanted:
                lower = LATENCY_MS[place - 1] if place else 0.0
                upper = LATENCY_MS[place] if place < len(LATENCY_MS) else float("inf")
                return float(lower), float(upper)
        return None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Totals:
        """From columns named as those of the table of roll-ups; what lacks is nought."""
        single, several = _reading(tuple(values))
        got: dict[str, Any] = {
            name: kind(value) for name, kind in single if (value := values[name]) is not None
        }
        for name, counts_of in several:
            counts = tuple([count or 0 for count in counts_of(values)])
            got[name] = dict(zip(ENDS, counts, strict=True)) if name in _OF_ENDS else counts
        return cls(**got)


_KINDS: Mapping[str, type] = {
    **dict.fromkeys((*COUNTS, *BYTES), int),
    **dict.fromkeys((*TIMES, *ENDPOINTS), float),
}
_OF_ENDS = {"line_ends": LINE_ENDS, "final_ends": FINAL_ENDS}
_SEVERAL: Mapping[str, Sequence[str]] = {**_OF_ENDS, "latency": LATENCIES, "scores": SCORES}
_Counts: TypeAlias = Callable[[Mapping[str, Any]], Sequence[int | None]]


@lru_cache(MOST_SHAPES)
def _reading(
    names: tuple[str, ...],
) -> tuple[list[tuple[str, type]], list[tuple[str, _Counts]]]:
    """What to read of a row with these columns: thousands have the same ones, and looking for each
    of a hundred measures in each row cost more than asking for them all."""
    known = set(names)
    single = [(name, kind) for name, kind in _KINDS.items() if name in known]
    several = [
        (name, _counts_of(columns, known))
        for name, columns in _SEVERAL.items()
        if not known.isdisjoint(columns)
    ]
    return single, several


def _counts_of(columns: Sequence[str], known: AbstractSet[str]) -> _Counts:
    if known >= set(columns):
        return itemgetter(*columns)
    return lambda values: [values.get(name) for name in columns]


def merged(several: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Columns of the table of roll-ups, put together."""
    found: dict[str, Any] = {}
    for one in several:
        for name, value in one.items():
            known = found.get(name)
            if value is None or known is None:
                found[name] = known if value is None else value
            elif name == "first_at":
                found[name] = min(known, value)
            elif name == "last_at":
                found[name] = max(known, value)
            else:
                found[name] = known + value
    return found
