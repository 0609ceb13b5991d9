"""What is known of a data set's labels: those in dispute, twins that differ, who agrees."""

from __future__ import annotations

from typing import Literal

import msgspec

from cloud.datasets.dataset import Split
from cloud.disputes.lineage import LineOrigin
from cloud.disputes.opinion_agreement import OpinionAgreement

JudgedBy = Literal["bundle", "other parts"]


class DisputedLabel(msgspec.Struct, frozen=True, kw_only=True):
    """A label that the scores speak against.

    score      how surely it is defective, 0–1, by `judged_by`
    judged_by  `bundle`: its own score of a part that it has not learned from; `other parts`: what
               the features and labels of other parts say
    origin     its inspection, where it came off a line
    """

    image: str
    part: str
    split: Split
    domain: str
    given: str
    suggested: str
    score: float
    judged_by: JudgedBy
    origin: LineOrigin | None = None


class UnequalTwins(msgspec.Struct, frozen=True):
    """Pictures that are nearly the same and carry different labels; all in the same order."""

    images: list[str]
    labels: list[str]
    splits: list[str]


class LabelErrors(msgspec.Struct, frozen=True):
    """One kind of error: of the pictures that carry the label `given`, so many are disputed."""

    given: str
    suggested: str
    disputed: int
    pictures: int


class LabelQuality(msgspec.Struct, frozen=True, kw_only=True):
    """Of a set, or of one split of it.

    pictures   looked at; `by_bundle` and `by_other_parts` of them were judged so
    learned    from so many of them the bundle has learned
    disputed   the surest first; errors: how many, by the label that was given, the most first
    twins      groups of near-identical pictures with different labels
    agreement  of inspectors whose single opinions the data holds
    notes      what was left out, and why
    review     disputed parts by what the cloud's review queue answered; None: it was not asked
    """

    data: str
    bundle: str
    pictures: int
    learned: int
    by_bundle: int
    by_other_parts: int
    disputed: list[DisputedLabel]
    errors: list[LabelErrors]
    twins: list[UnequalTwins]
    agreement: list[OpinionAgreement]
    notes: list[str]
    review: dict[str, int] | None = None

    @property
    def share(self) -> float:
        """Of the pictures that were judged, how many are disputed, 0–1."""
        judged = self.by_bundle + self.by_other_parts
        return len(self.disputed) / judged if judged else 0.0
