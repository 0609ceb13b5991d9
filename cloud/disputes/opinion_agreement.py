"""How far inspectors agree whose single opinions a data set holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations

import msgspec

from cloud.disputes.lineage import PartOpinions
from cloud.statistics.kappa import cohens_kappa


class OpinionAgreement(msgspec.Struct, frozen=True):
    """Cohen's κ of two inspectors' verdicts on one line, with an interval of 95 % confidence.

    pairs   parts of which both spoke; agreed: on which they said the same
    kappa   None where both only ever said the same one word, and so are its ends
    """

    line: str
    inspectors: str
    pairs: int
    agreed: int
    kappa: float | None
    low: float | None
    high: float | None


def opinion_agreement(parts: Sequence[PartOpinions]) -> list[OpinionAgreement]:
    """By line and pair of inspectors, in the order of their names."""
    said: dict[tuple[str, str, str], list[tuple[str, str]]] = defaultdict(list)
    for part in parts:
        for first, second in combinations(sorted(part.verdicts), 2):
            pair = (part.verdicts[first], part.verdicts[second])
            said[part.place, first, second].append(pair)
    return [
        OpinionAgreement(place, f"{first}, {second}", *cohens_kappa(pairs))
        for (place, first, second), pairs in sorted(said.items())
    ]
