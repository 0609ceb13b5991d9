"""Parts that were drawn at random for a person, counted by what the line and the person said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlmodel import col

from cloud.records.database import Database
from cloud.records.queries import same_key
from cloud.records.tables import DRAWN, INSPECTIONS, LabelRecord


@dataclass(frozen=True, slots=True)
class ControlTally:
    """Drawn parts of one bundle.

    counts  by what the system would have done (`pass`, `reject`, `review`) and by the label:
            `pass` for good, `reject` for defective, None while there is none
    labels  both of each labelled part, in the order in which they were labelled
    """

    counts: Counter[tuple[str, str | None]]
    labels: tuple[tuple[str, str], ...] = ()

    def outcomes(self, label: str, control: str) -> list[bool]:
        """Of parts with this label, in order: whether the system would have treated them so."""
        return [did == control for did, said in self.labels if said == label]

    @property
    def drawn(self) -> int:
        return self.counts.total()

    @property
    def labelled(self) -> int:
        return sum(count for (_, label), count in self.counts.items() if label is not None)

    def defective(self, control: str | None = None) -> int:
        """Labelled defective; of those, that the system would have treated so, or all."""
        return self._labelled("reject", control)

    def good(self, control: str | None = None) -> int:
        """Labelled good, alike."""
        return self._labelled("pass", control)

    def _labelled(self, label: str, control: str | None) -> int:
        return sum(
            count
            for (did, said), count in self.counts.items()
            if said == label and control in {None, did}
        )


def tally_controls(database: Database, bundles: Iterable[str]) -> dict[str, ControlTally]:
    """By bundle id, for each of `bundles`. Raises RecordsError."""
    row = INSPECTIONS.c
    found: dict[str, Counter[tuple[str, str | None]]] = {bundle: Counter() for bundle in bundles}
    if not found:
        return {}
    said = col(LabelRecord.verdict)
    query = (
        select(row.bundle, row.control, said, func.count())
        .select_from(INSPECTIONS)
        .outerjoin(LabelRecord, same_key(LabelRecord))
        .where(DRAWN, row.bundle.in_(found))
        .group_by(row.bundle, row.control, said)
    )
    in_order = (
        select(row.bundle, row.control, said)
        .select_from(INSPECTIONS)
        .join(LabelRecord, same_key(LabelRecord))
        .where(DRAWN, row.bundle.in_(found))
        .order_by(col(LabelRecord.reviewed_at))
    )
    labels: dict[str, list[tuple[str, str]]] = {bundle: [] for bundle in found}
    with database.begin() as connection:
        for bundle, control, label, count in connection.execute(query):
            found[bundle][control, label] = count
        for bundle, control, label in connection.execute(in_order):
            labels[bundle].append((control, label))
    return {bundle: ControlTally(counts, tuple(labels[bundle])) for bundle, counts in found.items()}
