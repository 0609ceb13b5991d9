"""The numbers that a box has given out, in a record of its own: a journal may be damaged or gone,
and no number may come twice for that."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from shared.errors import UpdateError
from shared.inspection import LARGEST_NUMBER
from shared.log import get_logger
from shared.storage.twin import FilePair, Twin

log = get_logger("journal")

AHEAD = 10_000


@dataclass(frozen=True, slots=True)
class Numbers:
    """The highest ids of rows and parts, 0 for none."""

    row: int = 0
    part: int = 0

    def __or__(self, other: Numbers) -> Numbers:
        return Numbers(max(self.row, other.row), max(self.part, other.part))


class PartCounter:
    """Two pairs of numbers that survive the journal.

    given    the highest when a journal was last put aside or numbers were skipped
    below    none as high has been given out yet; written ahead, so that it costs no part a write
    """

    def __init__(self, record: Twin, name: str) -> None:
        """name: of the record, for people"""
        self._record = record
        self.name = name
        self.given, self.below = Numbers(), Numbers()
        try:
            copy = record.read()
        except (OSError, UpdateError) as error:
            log.warning("part_counter_unreadable", error=str(error))
            return
        if copy is not None:
            self.given = _numbers(copy.fields, "given")
            self.below = _numbers(copy.fields, "below")

    @classmethod
    def beside(cls, journal: Path) -> PartCounter:
        """The one of a journal's file."""
        name = journal.name + ".numbers"
        return cls(Twin(FilePair(journal.parent, name)), f"{name}.*")

    def cover(self, last: Numbers) -> None:
        """These have been given out. Writes seldom; where that fails the next call tries again."""
        if last == Numbers():
            # A box that was only switched on begins with its first part the next time, too.
            return
        short = last.row + AHEAD // 2 > self.below.row or last.part + AHEAD // 2 > self.below.part
        if short:
            self._write(self.given, Numbers(*(_ahead(one) for one in (last.row, last.part))))

    def end(self, last: Numbers) -> None:
        """None above these are given out before the next `cover`."""
        self._write(self.given, self.given | last)

    def keep(self, last: Numbers) -> None:
        """These were given out, and no journal may say so."""
        self._write(self.given | last, self.below)

    def _write(self, given: Numbers, below: Numbers) -> None:
        self.given = given
        try:
            self._record.write(
                {
                    "given_row": str(given.row),
                    "given_part": str(given.part),
                    "below_row": str(below.row),
                    "below_part": str(below.part),
                }
            )
        except OSError as error:
            log.debug("part_counter_unwritten", error=str(error))
            return
        self.below = below


def _ahead(number: int) -> int:
    return min(number + AHEAD, LARGEST_NUMBER)


def _numbers(fields: object, which: str) -> Numbers:
    held = dict(fields)  # type: ignore[call-overload]
    row, part = (held.get(f"{which}_{name}", "") for name in ("row", "part"))
    return Numbers(int(row), int(part)) if row.isdigit() and part.isdigit() else Numbers()
