"""What stands of what several inspectors said of one part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from shared.contracts import InspectionKey, PlainVerdict


@dataclass(frozen=True, slots=True)
class LabelOpinion:
    """What one inspector said of a part, and has not taken back.

    number  later ones have higher ones
    blind   they were not shown what others had said before
    """

    number: int
    inspector: str
    verdict: PlainVerdict
    kind: str | None = None
    blind: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a label that was said or taken back.

    number  of the entry
    stands  the label of the part now; None: it has none
    met     what others had said that the inspector was not shown; it is kept beside theirs
    split   the inspectors differ, and a third one should look
    """

    key: InspectionKey
    number: int
    stands: LabelOpinion | None
    met: tuple[LabelOpinion, ...] = ()
    split: bool = False


def voices(opinions: Sequence[LabelOpinion]) -> list[LabelOpinion]:
    """Those that count, one of each inspector, oldest first.

    opinions   of one part, oldest first. Who knew what had been said before overruled it; who did
               not stands beside it
    """
    informed = [place for place, one in enumerate(opinions) if not one.blind]
    last = {one.inspector: one for one in opinions[informed[-1] if informed else 0 :]}
    return sorted(last.values(), key=lambda one: one.number)


def standing(opinions: Sequence[LabelOpinion]) -> LabelOpinion | None:
    """The label of the part: the verdict of most, of two that differ the first. None: no label."""
    heard = voices(opinions)
    votes = Counter(one.verdict for one in heard)
    # As many votes count for who spoke first: counters keep that order.
    return next((one for one in heard if one.verdict == max(votes, key=votes.__getitem__)), None)


def is_split(opinions: Sequence[LabelOpinion]) -> bool:
    """As many say the one as the other: a third inspector should look."""
    votes = Counter(one.verdict for one in voices(opinions))
    return len(votes) > 1 and len(set(votes.values())) == 1
