"""From what was found of a part to its verdict: on disk first, then to the actuator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from edge.actuator.base import Actuation
from edge.actuator.calls import Actuates
from edge.inspection.deadlines import Deadlines
from edge.inspection.open_part import OpenPart
from edge.journal.journal import Journals
from edge.journal.picture_ring import digest_of
from edge.monitoring.health import BoxHealth
from shared.clock import Clock
from shared.contracts import FAIL_SAFE, Control, Decider, Decision, Verdict
from shared.errors import said
from shared.inspection import Inspection
from shared.log import get_logger
from shared.wire import CloudVerdict

log = get_logger("agent")

_AT_THE_EDGE: dict[Decision, Verdict] = {
    Decision.PASS: "pass",
    Decision.REJECT: "reject",
    Decision.REVIEW: "review",
}


class Settlement:
    """Sees to it that each open part gets one verdict by its deadline.

    A verdict is handed to the actuator by the journal's thread once it is on disk, and by the
    deadlines' thread where that comes too late.
    """

    def __init__(
        self, journal: Journals, actuations: Actuates, clock: Clock, health: BoxHealth
    ) -> None:
        self._journal = journal
        self._actuations = actuations
        self._clock = clock
        self._health = health
        self.deadlines: Deadlines[OpenPart] = Deadlines(clock, self.expire, health.worker_died)

    def open(self, part: OpenPart) -> None:
        """From now on it gets a verdict, whatever happens to it."""
        self.deadlines.add(part.sequence, part.deadline, part)

    def record(
        self, part: OpenPart, decision: Decision, picture: bytes | None, **found: Any
    ) -> bool:
        """Write what the gate says; whether the journal took it, and the cloud may be asked.

        found   fields of its inspection
        """
        verdict, control = _AT_THE_EDGE.get(decision), part.begun.control
        if verdict is not None:
            verdict, control = _as_control(part, verdict)
        decider: Decider | None = "edge" if verdict else None
        found |= {"decision": decision, "control": control, "digest": digest_of(picture)}
        inspection = self._inspection(part, verdict, decider, **found)
        self._health.pace.add(inspection.edge_ms)
        return self._journaled(part, inspection, picture, verdict)

    def record_unseen(self, part: OpenPart) -> None:
        """No score, and nobody to ask: fail-safe without waiting for the deadline."""
        inspection = self._inspection(part, FAIL_SAFE, "deadline")
        self._journaled(part, inspection, None, FAIL_SAFE)

    def answer(self, verdict: CloudVerdict) -> None:
        """The cloud's verdict on an escalation: journaled, then actuated if still in time."""
        sequence, answer = verdict.sequence, verdict.ruling
        part = self.deadlines.open_part(sequence)
        if part is None:
            self._health.count("verdicts_late")
            self._journal.answer(sequence, answer, verdict.score, None)
        elif not part.escalated_bytes:
            self._health.count("verdicts_unasked")
        else:
            did, control = _as_control(part, answer)
            part.answered = self._clock.monotonic()
            self._journal.answer(
                sequence, did, verdict.score, lambda: self._conclude(sequence, did), control
            )

    def expire(self, part: OpenPart) -> None:
        """The deadline came first, and has settled the part: divert it. Never raises."""
        self._divert(part, "deadlines_missed")

    def give_up(self, part: OpenPart) -> None:
        """No answer would come in time: divert it now, instead of at its deadline."""
        if self.deadlines.settle(part.sequence) is not None:
            self._divert(part, "parts_given_up")

    def _divert(self, part: OpenPart, counted_as: str) -> None:
        try:
            self._health.count(counted_as)
            diverted = self._diverted(part)
            self._actuate(part, FAIL_SAFE)
            self._journal.fail_safe(diverted)
        except Exception as error:  # noqa: BLE001 - the next parts have deadlines, too
            self.failed(part, error)

    def failed(self, part: OpenPart, error: Exception) -> None:
        """Something raised that should not have: it cost this part its judgement, no other."""
        self._health.count("parts_failed")
        self._health.problem("inspection", said(error))
        self._health.episodes.met("part", log.error, "part_failed", part=part.part, exc_info=error)

    def overdue(self) -> int | None:
        """The sequence of the part that has been open for longest after its deadline."""
        return self.deadlines.overdue(self._clock.monotonic())

    def _journaled(
        self,
        part: OpenPart,
        inspection: Inspection,
        picture: bytes | None,
        verdict: Verdict | None,
    ) -> bool:
        """Write an inspection, and see to its verdict where it has one. False: it is in no record,
        and nobody waits for a disk: it is diverted at once.
        """
        committed = (lambda: self._conclude(part.sequence, verdict)) if verdict else None
        part.recorded = self._journal.record(inspection, picture, committed)
        if part.recorded:
            self._health.well("records")
            return True
        self._health.count("parts_without_record")
        self._health.problem("records", "the journal takes no more: parts are diverted unrecorded")
        if self.deadlines.settle(part.sequence) is not None:
            self._diverted(part)
            self._actuate(part, FAIL_SAFE)
        return False

    def _diverted(self, part: OpenPart) -> Inspection:
        """What its inspection says once it is diverted; noted first, for it may be all that is."""
        age_ms = part.age_ms(self._clock.monotonic())
        inspection = self._inspection(part, FAIL_SAFE, "deadline", total_ms=age_ms)
        self._journal.divert(inspection)
        return inspection

    def _conclude(self, sequence: int, verdict: Verdict) -> None:
        """A verdict is on disk: actuate it, unless the deadline was faster."""
        part = self.deadlines.settle(sequence)
        if part is None:
            return

        def settled() -> None:
            age_ms = part.age_ms(self._clock.monotonic())
            self._journal.settle(sequence, age_ms, part.escalated_bytes, part.way)

        self._actuate(part, verdict, settled)

    def _actuate(
        self, part: OpenPart, verdict: Verdict, done: Callable[[], None] = lambda: None
    ) -> None:
        self._actuations.actuate(Actuation(part.part, verdict, part.deadline), done)

    def _inspection(
        self,
        part: OpenPart,
        verdict: Verdict | None,
        decided_by: Decider | None,
        **found: Any,
    ) -> Inspection:
        """What has become of a part; `found`: fields of its inspection."""
        return msgspec.structs.replace(
            part.begun,
            verdict=verdict,
            decided_by=decided_by,
            edge_ms=part.age_ms(self._clock.monotonic()),
            escalated_bytes=part.escalated_bytes,
            sent_ms=part.way.sent_ms,
            **found,
        )


def _as_control(part: OpenPart, verdict: Verdict) -> tuple[Verdict, Control]:
    """What the line does with a part, and what it would have done where the part was drawn."""
    return ("review", verdict) if part.begun.control else (verdict, "")
