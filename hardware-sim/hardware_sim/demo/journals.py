"""What a box still has of the shift before: its journal, with pictures that people may ask for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from edge.journal.journal import Journal
from edge.monitoring.health import BoxHealth
from shared.errors import JournalError
from shared.inspection import Inspection

MOST_BYTES = 64 << 20
WRITTEN_S = 60.0


class KeptPart(NamedTuple):
    """A part of the past in a box's journal. picture: the file of it; None where none was kept."""

    inspection: Inspection
    picture: Path | None


def write_journal(path: Path, parts: Sequence[KeptPart]) -> None:
    """As the box would have left it: everything sent, and these pictures in its ring.

    path   of the journal's file; it is not there yet
    parts  in order; the box goes on with the number after the last one's
    Raises JournalError.
    """
    journal = Journal.open(path, max_bytes=MOST_BYTES, ring_bytes=MOST_BYTES, health=BoxHealth())
    try:
        journal.start()
        for inspection, picture in parts:
            journal.record(inspection, picture.read_bytes() if picture else None, None)
        # A new file: a row has the number of its inspection.
        journal.acknowledge([part.inspection.sequence for part in parts], lambda: None)
        if not journal.flush(WRITTEN_S):
            raise JournalError(
                f"{path} took no {len(parts)} parts within {WRITTEN_S:.0f} s",
                fix="see whether the disk is full, or busy",
            )
    finally:
        journal.close()
