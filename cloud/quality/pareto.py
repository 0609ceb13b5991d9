"""Defective parts by kind, the commonest first, with what they add up to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cloud.quality.shares import QualityShare

MOST = 12
OTHER = "others"


@dataclass(frozen=True, slots=True)
class ParetoBar:
    """kind: empty where nobody has said one. share: of all defective parts. upto: with those
    before it, 0–1
    """

    kind: str
    share: QualityShare
    upto: float


def pareto(kinds: Mapping[str, int], most: int = MOST) -> Sequence[ParetoBar]:
    """kinds: the commonest first; what is beyond `most` is put together."""
    parts = sum(kinds.values())
    rows = list(kinds.items())
    if len(rows) > most:
        rest = sum(count for _, count in rows[most - 1 :])
        rows = [*rows[: most - 1], (OTHER, rest)]
    bars, seen = list[ParetoBar](), 0
    for kind, count in rows:
        seen += count
        bars.append(ParetoBar(kind, QualityShare(count, parts), seen / parts))
    return bars
