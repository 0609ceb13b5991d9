"""Parts that were drawn at random for a person, counted by what the line and the person said."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlmodel import col

from cloud.records.database import Database
from cloud.records.keys import same_key
from cloud.records.tables import DRAWN, INSPECTIONS, LabelRecord
from shared.contracts import InspectionKey


@dataclass(frozen=True, slots=True)
class ControlTally:
    """Drawn parts of one bundle.

    drawn   how many there are
    labels  of those that are labelled, in the order in which they were: what the system would have
            done (`pass`, `reject`, `review`), and `pass` for good, `reject` for defective
    """

    drawn: int
    labels: tuple[tuple[str, str], ...]

    @property
    def labelled(self) -> int:
        return len(self.labels)

    def defective(self, control: str | None = None) -> int:
        """Labelled defective; of those, that the system would have treated so, or all."""
        return self._labelled("reject", control)

    def good(self, control: str | None = None) -> int:
        """Labelled good, alike."""
        return self._labelled("pass", control)

    def outcomes(self, label: str, control: str) -> list[bool]:
        """Of parts with this label, in order: whether the system would have treated them so."""
        return [did == control for did, said in self.labels if said == label]

    def _labelled(self, label: str, control: str | None) -> int:
        return sum(said == label and control in {None, did} for did, said in self.labels)


def tally_controls(database: Database, bundles: Iterable[str]) -> dict[str, ControlTally]:
    """By bundle id, for each of `bundles`. Raises RecordsError."""
    row, label = INSPECTIONS.c, LabelRecord
    labels: dict[str, list[tuple[str, str]]] = {bundle: [] for bundle in bundles}
    if not labels:
        return {}
    # By the index of drawn parts, not that of all parts of a bundle, which SQLite would take.
    of_these = (DRAWN, func.coalesce(row.bundle, "").in_(labels))
    counted = select(row.bundle, func.count()).where(*of_these).group_by(row.bundle)
    in_order = (
        select(row.bundle, row.control, col(label.verdict))
        .select_from(INSPECTIONS)
        # From drawn parts to their labels: the other way SQLite would look up every label's part.
        .outerjoin(label, same_key(label))
        .where(*of_these, func.coalesce(col(label.verdict), "") != "")
        .order_by(col(label.reviewed_at), *(row[name] for name in InspectionKey._fields))
    )
    with database.begin() as connection:
        drawn = {bundle: int(count) for bundle, count in connection.execute(counted)}
        for bundle, control, said in connection.execute(in_order):
            labels[bundle].append((control, said))
    return {bundle: ControlTally(drawn.get(bundle, 0), tuple(labels[bundle])) for bundle in labels}
