"""What a gate would have meant for parts that are known.

A part that the edge decided was never sent, so nobody knows what the cloud would have said of it.
Where a gate would send it, each figure has two ends: the cloud could have said the least of it, or
the most. The intervals reach from the lower end's to the upper end's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from cloud.thresholds.parts import KnownParts
from shared.certification.certificate import interval
from shared.certification.gate import Gate
from shared.certification.prices import Prices
from shared.certification.scores import Scored

Count: TypeAlias = Callable[[Scored], int]


@dataclass(frozen=True, slots=True)
class PossibleShare:
    """So many parts, or up to so many, of `parts`.

    low, high   of the share, exact (Clopper and Pearson 1934), of a sample at random
    """

    least: int
    most: int
    parts: int
    low: float
    high: float

    @property
    def certain(self) -> bool:
        """Whether nothing of it hangs on what the cloud was never asked."""
        return self.least == self.most


@dataclass(frozen=True, slots=True)
class GateOutcome:
    """What a gate would have meant.

    escapes        defective parts that pass
    false_rejects  good parts that are rejected without a person
    reviews        parts that a person looks at
    escalated      pictures that are sent to the cloud; unknown: those that it was never asked about
    pictures       in all
    bytes          that sending them takes; NaN where no size is known
    cost           of a picture, in the price of one part that a person reviews; least and most
    """

    escapes: PossibleShare
    false_rejects: PossibleShare
    reviews: PossibleShare
    escalated: int
    unknown: int
    pictures: int
    bytes: float
    cost: tuple[float, float]


def outcome_of(parts: KnownParts, gate: Gate, prices: Prices, delta: float) -> GateOutcome:
    """`delta`: that an interval misses the share of all parts, of which these are a sample."""
    passed, rejected = parts.kinds(-math.inf), parts.kinds(math.inf)
    # Where the cloud leaves nothing to a person, it would have said the one or the other.
    reviews = gate.escalates and gate.cloud_pass_below is not None
    reviewed = parts.kinds(math.nan, reviewed=True) if reviews else passed
    cloud = gate.escalates
    escalated = [one.escalated(gate) for one in passed]
    sent = sum(int(one.sum()) for one in escalated)
    # The order of the pictures is the set's own within each kind.
    bad = parts.defective[parts.part]
    unknown = sum(
        int((one & ~parts.asked[among]).sum())
        for one, among in zip(escalated, (bad, ~bad), strict=True)
    )

    def share(kind: int, count: Count, ends: tuple[tuple[Scored, Scored], ...]) -> PossibleShare:
        least, most = (count(end[kind]) for end in ends)
        return _share(least, most, passed[kind].parts, delta)

    escapes = share(0, lambda one: one.passed(gate, with_cloud=cloud), (rejected, passed))
    false_rejects = share(1, lambda one: one.rejected(gate, with_cloud=cloud), (passed, rejected))
    least, most = (sum(one.parts_reviewed(gate) for one in end) for end in (passed, reviewed))
    pictures = len(parts.part)
    each = parts.escalation_bytes
    looked = [sum(int(one.reviewed(gate).sum()) for one in end) for end in (passed, reviewed)]
    asking = sent * (prices.escalation + prices.byte * (each if sent else 0.0))
    costs = [(n * prices.review + asking) / max(1, pictures) for n in looked]
    return GateOutcome(
        escapes=escapes,
        false_rejects=false_rejects,
        reviews=_share(least, most, parts.parts, delta),
        escalated=sent,
        unknown=unknown,
        pictures=pictures,
        bytes=sent * each if sent else 0.0,
        cost=(costs[0], costs[1]),
    )


def _share(least: int, most: int, parts: int, delta: float) -> PossibleShare:
    if not parts:
        return PossibleShare(0, 0, 0, 0.0, 1.0)
    low, _ = interval(least, parts, delta)
    _, high = interval(most, parts, delta)
    return PossibleShare(least, most, parts, low, high)
