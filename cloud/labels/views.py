"""What is answered about labels."""

from __future__ import annotations

from typing import Self

from pydantic import Field

from cloud.labels.opinions import LabelOpinion, Outcome
from cloud.records.views import RecordView
from shared.contracts import PlainVerdict


class EntryView(RecordView):
    """One label as an inspector said it."""

    number: int = Field(description="later ones have higher ones")
    verdict: PlainVerdict
    kind: str | None = Field(description="of defect; null where it is good or not known")
    inspector: str
    said_at: float = Field(description="UTC seconds")
    why: str = Field(description="in the inspector's words; empty: they gave none")
    drawn: bool = Field(description="whether they drew where the defect is")
    blind: bool = Field(description="they were not shown what others had said before")
    undone_at: float | None = Field(description="when it was taken back, UTC seconds; else null")
    undone_by: str | None
    stands: bool = Field(description="it is the part's label now")


class OpinionView(RecordView):
    """A label in short."""

    number: int
    verdict: PlainVerdict
    kind: str | None
    inspector: str


class OutcomeView(RecordView):
    """What became of a label that was said or taken back."""

    device: str
    boot: str
    sequence: int
    number: int = Field(description="of the entry, to take it back by")
    stands: OpinionView | None = Field(description="the part's label now; null: it has none")
    met: list[OpinionView] = Field(
        description="what others said that this inspector had not been shown: it is kept beside"
    )
    split: bool = Field(description="the inspectors differ: a third one is asked")

    @classmethod
    def of(cls, outcome: Outcome) -> Self:
        stands = outcome.stands
        return cls(
            **outcome.key._asdict(),
            number=outcome.number,
            stands=None if stands is None else _short(stands),
            met=[_short(one) for one in outcome.met],
            split=outcome.split,
        )


def _short(one: LabelOpinion) -> OpinionView:
    return OpinionView.model_validate(one)
