"""The agent in the camera box: the life of a part, from the trigger to the actuator."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable
from typing import Any

import msgspec

from edge.actuator.base import Actuator, told
from edge.camera.base import Camera, CameraEvent, MissedFrame
from edge.inspection.control import ControlSample
from edge.inspection.deadlines import Deadlines
from edge.inspection.fields import FieldSources
from edge.inspection.model import LiveModel, NobodyWatches, Observes
from edge.inspection.open_part import OpenPart
from edge.journal.journal import Journals
from edge.journal.picture_ring import RingPolicy
from edge.link.uplink import Uplink
from edge.monitoring.health import BoxHealth
from shared.clock import Clock
from shared.contracts import FAIL_SAFE, Control, Decider, Decision, Finding, Verdict
from shared.errors import ActuatorError, SplitsightError
from shared.inspection import Inspection, storable_text, with_novelty
from shared.log import get_logger
from shared.wire import CloudVerdict

log = get_logger("agent")

# Parts between camera and actuator. More would only be more that a power cut catches open.
MAX_OPEN = 256
MAX_SOURCE = 200
NO_SCORE = 1.0
_AT_THE_EDGE: dict[Decision, Verdict] = {
    Decision.PASS: "pass",
    Decision.REJECT: "reject",
    Decision.REVIEW: "review",
}


class Agent:
    """Takes parts from the camera and sees to it that each gets one verdict by its deadline.

    The loop does not wait for the disk: a verdict is actuated by the journal's thread once it
    is on disk, and by the deadlines' thread where that comes too late.
    """

    def __init__(
        self,
        *,
        camera: Camera,
        model: LiveModel,
        journal: Journals,
        uplink: Uplink,
        actuator: Actuator,
        ring: RingPolicy,
        clock: Clock,
        health: BoxHealth,
        deadline_s: float,
        observer: Observes | None = None,
        fields: FieldSources | None = None,
        control: ControlSample | None = None,
    ) -> None:
        """observer: of what the model does, for who decides whether it may stay
        fields: of inspections, that the head does not make; None: there are none
        control: draws parts that a person looks at, whatever is made of them; None: none is
        """
        self._camera = camera
        self._model = model
        self._observer = observer or NobodyWatches()
        self._fields = fields or FieldSources(health)
        self._control = control or ControlSample(0)
        self._journal = journal
        self._uplink = uplink
        self._actuator = actuator
        self._ring = ring
        self._clock = clock
        self._health = health
        self._deadline_s = deadline_s
        self._sequences = itertools.count(1)
        self._inspecting = threading.Lock()
        self._swapped: Callable[[LiveModel], None] = lambda _model: None
        self._actuating = threading.Lock()
        self._missed: set[str] = set()
        self.deadlines: Deadlines[OpenPart] = Deadlines(clock, self.expire, health.worker_died)
        self.inspected = 0

    def run(self) -> None:
        """Inspect until the camera ends or `stop` is called, then see every part off."""
        for event in self._camera.frames(self._journal.last_part + 1, self._deadline_s):
            self.inspect(event)
            self.deadlines.wait_until_settled(self._deadline_s, at_most=MAX_OPEN)
        if not self.deadlines.wait_until_settled(self._deadline_s + 1.0):
            log.error("parts_left_open", count=len(self.deadlines))

    def stop(self) -> None:
        """Take no more parts. May be called from a signal handler."""
        self._camera.stop()

    @property
    def model(self) -> LiveModel:
        """The one that judges now."""
        return self._model

    def on_swap(self, handler: Callable[[LiveModel], None]) -> None:
        """Call `handler` when another model goes live, before it judges its first part."""
        self._swapped = handler

    def swap(self, model: LiveModel) -> float:
        """Judge with another model from the next part on; open parts end under their own.

        Returns the seconds for which no part could be begun. May be called from any thread.
        """
        with self._inspecting:
            begun = self._clock.monotonic()
            self._model = model
            self._swapped(model)
            return self._clock.monotonic() - begun

    def inspect(self, event: CameraEvent) -> None:
        """One part: look, record, and escalate where the head is not sure and a cloud is there."""
        with self._inspecting:
            self._inspect(event)

    def _inspect(self, event: CameraEvent) -> None:
        part = self._opened(event)
        finding = self._look(event)
        if finding is None or isinstance(event, MissedFrame):
            self._record_unseen(part)
            return
        part.begun = self._fields.seen_on(event, part.begun)
        if finding.novelty > 1:
            part.begun = with_novelty(part.begun, finding.novelty)
        drawn = bool(part.begun.control)
        picture = self._ring.picture(event, Decision.REVIEW if drawn else finding.decision)
        frame_bytes = len(picture or event.encoded or b"")
        self._record(part, finding, picture, frame_bytes)
        if finding.decision is Decision.ESCALATE:
            score = _recorded(finding.score)
            self._uplink.escalate(part, self._model, finding.symbols, score, frame_bytes)

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
            self._journal.answer(
                sequence, did, verdict.score, lambda: self._conclude(sequence, did), control
            )

    def expire(self, part: OpenPart) -> None:
        """The deadline came first, and has settled the part: divert it."""
        self._health.count("deadlines_missed")
        self._actuate(part, FAIL_SAFE)
        age_ms = part.age_ms(self._clock.monotonic())
        self._journal.fail_safe(self._inspection(part, FAIL_SAFE, "deadline", total_ms=age_ms))

    def _opened(self, event: CameraEvent) -> OpenPart:
        self.inspected += 1
        begun = Inspection(
            boot=self._journal.boot,
            sequence=next(self._sequences),
            part=event.part,
            decision=Decision.ESCALATE,
            verdict=None,
            decided_by=None,
            score=NO_SCORE,
            inspected_at=self._clock.utc(),
            edge_ms=0.0,
            total_ms=None,
            source=storable_text(event.source[-MAX_SOURCE:], MAX_SOURCE),
            bundle=self._model.bundle,
            # Before anybody has looked. Until there is a verdict, and where none comes in time,
            # the part neither passes nor is rejected unseen.
            control="review" if self._control.draws() else "",
            **self._fields.said_of(event),
        )
        part = OpenPart(begun, event.triggered, event.deadline)
        self.deadlines.add(part.sequence, part.deadline, part)
        return part

    def _look(self, event: CameraEvent) -> Finding | None:
        if isinstance(event, MissedFrame):
            self._health.count("pictures_missed")
            if event.source not in self._missed:
                self._missed.add(event.source)
                log.warning("picture_missed", part=event.part, error=str(event.error))
            return None
        self._missed.discard(event.source)
        begun = self._clock.monotonic()
        try:
            finding = self._model.inspector.look(event)
        except SplitsightError as error:
            self._health.count("head_failures")
            self._health.problem("head", str(error))
            self._observer.failed()
            return None
        self._health.well("head")
        self._observer.saw(event, finding, self._clock.monotonic() - begun)
        return finding

    def _record(
        self, part: OpenPart, finding: Finding, picture: bytes | None, frame_bytes: int
    ) -> None:
        verdict, control = _AT_THE_EDGE.get(finding.decision), part.begun.control
        if verdict is not None:
            verdict, control = _as_control(part, verdict)
        inspection = self._inspection(
            part,
            verdict,
            "edge" if verdict else None,
            decision=finding.decision,
            score=_recorded(finding.score),
            frame_bytes=frame_bytes,
            control=control,
        )
        self._health.pace.add(inspection.edge_ms)
        committed = (lambda: self._conclude(part.sequence, verdict)) if verdict else None
        self._journal.record(inspection, picture, committed)

    def _record_unseen(self, part: OpenPart) -> None:
        """No score, and nobody to ask: fail-safe without waiting for the deadline."""
        inspection = self._inspection(part, FAIL_SAFE, "deadline")
        self._journal.record(inspection, None, lambda: self._conclude(part.sequence, FAIL_SAFE))

    def _conclude(self, sequence: int, verdict: Verdict) -> None:
        """A verdict is on disk: actuate it, unless the deadline was faster."""
        part = self.deadlines.settle(sequence)
        if part is None:
            return
        self._actuate(part, verdict)
        age_ms = part.age_ms(self._clock.monotonic())
        self._journal.settle(sequence, age_ms, part.escalated_bytes)

    def _actuate(self, part: OpenPart, verdict: Verdict) -> None:
        try:
            # Verdicts come from the journal's thread and from the deadlines'.
            with self._actuating:
                self._actuator.actuate(part.part, told(self._actuator, verdict), at=part.deadline)
        except ActuatorError as error:
            self._actuator_failed(part, error)
        except Exception as error:
            # A plug-in's own exception must not end the thread that called it.
            log.exception("actuator_crashed", part=part.part)
            self._actuator_failed(part, error)
        else:
            self._health.well("actuator")

    def _actuator_failed(self, part: OpenPart, error: Exception) -> None:
        self._health.count("actuator_failures")
        self._health.problem("actuator", str(error))
        log.warning("not_actuated", part=part.part, error=str(error))

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
            **found,
        )


def _as_control(part: OpenPart, verdict: Verdict) -> tuple[Verdict, Control]:
    """What the line does with a part, and what it would have done where the part was drawn."""
    return ("review", verdict) if part.begun.control else (verdict, "")


def _recorded(score: float) -> float:
    """A score that records can hold: what is not a number counts as surely defective."""
    return score if math.isfinite(score) else NO_SCORE
