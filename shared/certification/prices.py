"""What handling parts costs, and which of several safe gates costs least."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared.certification.gate import Gate
from shared.certification.scores import Scored
from shared.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Prices:
    """What handling costs, in the price of one part that a person reviews.

    review      of a part that a person looks at
    escalation  of asking the cloud once; byte: of each byte of the features
    Raises SettingsError where one is not above 0.
    """

    review: float = 1.0
    escalation: float = 0.001
    byte: float = 1e-6

    def __post_init__(self) -> None:
        for name in ("review", "escalation", "byte"):
            value = getattr(self, name)
            if not 0 < value < float("inf"):
                raise SettingsError(
                    f"the price of one {name} is {value}",
                    fix="it must be above 0; what costs next to nothing has a small price",
                )


def cheaper(gate: Gate, kinds: Sequence[Scored], prices: Prices, escalation_bytes: float) -> Gate:
    """The gate, or the same one without escalations where the cloud settles too few of them.

    It then decides less, so whatever was promised still holds.
    escalation_bytes   that one escalation takes
    """
    return min(
        (gate, gate.without_cloud()),
        key=lambda one: cost_of(one, kinds, prices, escalation_bytes),
    )


def cost_of(gate: Gate, kinds: Sequence[Scored], prices: Prices, escalation_bytes: float) -> float:
    """What one of these pictures costs on average, in reviewed parts."""
    escalated = sum(int(one.escalated(gate).sum()) for one in kinds)
    reviewed = sum(int(one.reviewed(gate).sum()) for one in kinds)
    asking = escalated * (prices.escalation + prices.byte * escalation_bytes)
    return (reviewed * prices.review + asking) / sum(len(one.part) for one in kinds)
