"""A box's journal without its disk: what a light device must remember until the cloud has it."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from shared.contracts import Control, Verdict
from shared.inspection import UNASKED, Inspection, WayTimes


class MemoryJournal:
    """Keeps inspections as `edge.journal.journal.Journal` does, and forgets what is acknowledged.

    A callback is called before the call that takes it returns. `waiting` counts undecided
    escalations too, as on disk. For one thread.
    """

    def __init__(self) -> None:
        self.boot = secrets.token_hex(8)
        self.last_part = 0
        self.late_answers = 0
        self._kept: dict[int, Inspection] = {}

    def record(
        self,
        inspection: Inspection,
        picture: bytes | None,  # noqa: ARG002 - there is no ring of pictures
        committed: Callable[[], None] | None,
    ) -> bool:
        sequence = inspection.sequence
        kept = self._kept.setdefault(sequence, inspection)
        if kept is not inspection:
            # A deadline that passed during inference was written first: what it decided stays.
            self._kept[sequence] = replace(
                kept,
                decision=inspection.decision,
                score=inspection.score,
                edge_ms=inspection.edge_ms,
                frame_bytes=inspection.frame_bytes,
                fields=inspection.fields,
                digest=inspection.digest,
                head_ms=inspection.head_ms,
            )
        _call(committed)
        return True

    def answer(
        self,
        sequence: int,
        verdict: Verdict,
        score: float,  # noqa: ARG002 - only the box's own disk keeps it
        committed: Callable[[], None] | None,
        control: Control = "",
    ) -> None:
        kept = self._kept.get(sequence)
        if kept is None or kept.verdict is not None:
            self.late_answers += 1
        else:
            self._kept[sequence] = replace(
                kept, verdict=verdict, decided_by="cloud", control=control
            )
        _call(committed)

    def settle(
        self, sequence: int, total_ms: float, escalated_bytes: int, way: WayTimes = UNASKED
    ) -> None:
        kept = self._kept[sequence]
        if kept.total_ms is None:
            self._kept[sequence] = replace(
                kept, total_ms=total_ms, escalated_bytes=escalated_bytes, **way._asdict()
            )

    def divert(self, inspection: Inspection) -> None:
        """Nothing of it outlives the process anyway."""

    def fail_safe(self, inspection: Inspection) -> None:
        # What the head found before stays.
        kept = self._kept.get(inspection.sequence, inspection)
        self._kept[inspection.sequence] = replace(
            kept,
            verdict=inspection.verdict,
            decided_by=inspection.decided_by,
            total_ms=inspection.total_ms,
            escalated_bytes=inspection.escalated_bytes,
            control=inspection.control,
        )

    def unsent(self, limit: int) -> list[tuple[int, Inspection]]:
        decided = (item for item in self._kept.items() if item[1].total_ms is not None)
        return list(itertools.islice(decided, limit))

    def waiting(self) -> int:
        return len(self._kept)

    def acknowledge(self, row_ids: Sequence[int], committed: Callable[[], None]) -> None:
        for row_id in row_ids:
            self._kept.pop(row_id, None)
        committed()


def _call(committed: Callable[[], None] | None) -> None:
    if committed is not None:
        committed()
