"""Which labelled parts another inspector should look at too, who is not told what was said."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cloud.labels.opinions import LabelOpinion, is_split, voices
from cloud.records.views import InspectionView
from shared.contracts import InspectionKey, PlainVerdict

SecondReason = Literal["split", "disputed", "second"]
# Of a hundred labelled parts five are looked at twice, whoever labels them and whatever they say.
SECOND_EVERY = 20


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the system made of a part, without an inspector.

    verdict  None: it was sure of neither
    score    0–1, None where there is none
    """

    verdict: PlainVerdict | None = None
    score: float | None = None


def judgement_of(view: InspectionView) -> Judgement:
    """The cloud's word, or the head's where it asked nobody."""
    tail = view.tail
    said = tail.verdict if tail is not None else view.control or view.decision.value
    score = tail.score if tail is not None else view.score
    return Judgement(said if said in ("pass", "reject") else None, score)


def looks_needed(
    key: InspectionKey, opinions: Sequence[LabelOpinion], judgement: Judgement
) -> tuple[SecondReason, float] | None:
    """Why another inspector should look, and how much that is worth beside others of that reason.

    opinions   of the part, not taken back, oldest first
    """
    heard = voices(opinions)
    if is_split(opinions):
        return "split", float(len(heard))
    if len(heard) != 1:
        return None
    verdict = heard[0].verdict
    if judgement.verdict is not None and judgement.verdict != verdict:
        defective = 1.0 if verdict == "reject" else 0.0
        return "disputed", 1.0 if judgement.score is None else abs(judgement.score - defective)
    # By the key alone, so that nobody chooses, nor knows before.
    draw = int.from_bytes(hashlib.sha256("/".join(map(str, key)).encode()).digest()[:8], "big")
    return ("second", draw / 2**64) if draw % SECOND_EVERY == 0 else None
