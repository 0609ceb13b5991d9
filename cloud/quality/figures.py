"""What is said of a line's quality, from counts over some time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from cloud.quality.shares import QualityShare
from cloud.records.rollup_tables import FINAL_ENDS, LINE_ENDS
from cloud.records.totals import Totals

COUNTED = (
    *("inspected", "escalated", "waiting", "labelled", "escapes"),
    *FINAL_ENDS,
    *(name for name in LINE_ENDS if name.startswith("line_deadline_")),
)
"""The measures of roll-ups that figures are made of."""


@dataclass(frozen=True, slots=True)
class QualityFigures:
    """Parts of some time.

    passed, rejected, in_review   as it is now, with what inspectors have settled
    caught     parts that the box was not sure of or did not decide, and that cloud or inspector
               rejected: what the edge alone would not have taken out for sure
    escaped    parts that passed and that an inspector has called defective since
    escalated  that were sent to the cloud
    deadline   that nobody had decided in time
    waiting    that wait for a person; labelled: of which a person has said what they are
    """

    parts: int = 0
    passed: int = 0
    rejected: int = 0
    in_review: int = 0
    caught: int = 0
    escaped: int = 0
    escalated: int = 0
    deadline: int = 0
    waiting: int = 0
    labelled: int = 0

    @classmethod
    def of(cls, totals: Totals) -> Self:
        verdicts, ends = totals.verdicts, totals.final_ends
        return cls(
            parts=totals.inspected,
            passed=verdicts["pass"],
            rejected=verdicts["reject"],
            in_review=verdicts["review"],
            caught=ends["cloud", "reject"] + ends["inspector", "reject"],
            escaped=totals.escapes,
            escalated=totals.escalated,
            deadline=totals.by_deadline,
            waiting=totals.waiting,
            labelled=totals.labelled,
        )

    @classmethod
    def sum(cls, several: Iterable[QualityFigures]) -> Self:
        names = cls.__dataclass_fields__
        added = dict.fromkeys(names, 0)
        for one in several:
            for name in names:
                added[name] += getattr(one, name)
        return cls(**added)

    def _share(self, count: int) -> QualityShare:
        return QualityShare(count, self.parts)

    @property
    def yielded(self) -> QualityShare:
        return self._share(self.passed)

    @property
    def reject_share(self) -> QualityShare:
        return self._share(self.rejected)

    @property
    def caught_share(self) -> QualityShare:
        return self._share(self.caught)

    @property
    def escalated_share(self) -> QualityShare:
        return self._share(self.escalated)
