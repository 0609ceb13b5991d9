"""The agent in the camera box: the life of a part, from the trigger to the actuator."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Iterator

from edge.actuator.calls import Actuates
from edge.camera.base import Camera, CameraEvent, MissedFrame
from edge.camera.checks import checked
from edge.inspection.control import ControlSample
from edge.inspection.fields import FieldSources
from edge.inspection.model import LiveModel, NobodyWatches, Observes
from edge.inspection.open_part import OpenPart
from edge.inspection.settlement import Settlement
from edge.journal.journal import Journals
from edge.journal.picture_ring import RingPolicy
from edge.link.uplink import Uplink
from edge.monitoring.health import BoxHealth
from shared.clock import Clock
from shared.contracts import Decision, Finding, Frame
from shared.errors import CameraError, SplitsightError, said
from shared.inspection import Inspection, storable_text, with_novelty
from shared.log import get_logger
from shared.wire import CloudVerdict

log = get_logger("agent")

# Parts between camera and actuator. More would only be more that a power cut catches open.
MAX_OPEN = 256
MAX_SOURCE = 200
NO_SCORE = 1.0


class Agent:
    """Takes parts from the camera and sees to it that each gets one verdict by its deadline.

    The loop waits neither for the disk nor for the actuator. Whatever one part raises, in any
    stage, costs that part alone: it gets the fail-safe verdict.

    last_part   the highest number of a part so far
    inspected   parts that were begun
    inspecting  whether one is being looked at just now
    """

    def __init__(
        self,
        *,
        camera: Camera,
        model: LiveModel,
        journal: Journals,
        uplink: Uplink,
        actuations: Actuates,
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
        self._settlement = Settlement(journal, actuations, clock, health)
        self._ring = ring
        self._clock = clock
        self._health = health
        self._deadline_s = deadline_s
        self._sequences = itertools.count(1)
        self._inspecting = threading.Lock()
        self._swapped: Callable[[LiveModel], None] = lambda _model: None
        self.last_part = journal.last_part
        self.deadlines = self._settlement.deadlines
        self.inspected = 0
        self.inspecting = False

    def run(self) -> None:
        """Inspect until the camera ends or `stop` is called, then see every part off."""
        for event in self._events():
            self.inspect(event)
            self.deadlines.wait_until_settled(self._deadline_s, at_most=MAX_OPEN)
        if not self.deadlines.wait_until_settled(self._deadline_s + 1.0):
            log.error("parts_left_open", count=len(self.deadlines))

    def stop(self) -> None:
        """Take no more parts. May be called from a signal handler."""
        self._camera.stop()

    def overdue(self) -> int | None:
        """The sequence of the part that has been open for longest after its deadline."""
        return self._settlement.overdue()

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
            self.inspecting = True
            try:
                self._inspect(event)
            finally:
                self.inspecting = False

    def _inspect(self, event: CameraEvent) -> None:
        now = self._clock.monotonic()
        pixels = self._model.pixels
        given, event = event, checked(event, self.last_part + 1, now, self._deadline_s, pixels)
        if isinstance(event, MissedFrame) and not isinstance(given, MissedFrame):
            # Not a picture that went wrong on its way: the next one will be like it.
            self._health.problem("camera", said(event.error))
        self.last_part = max(self.last_part, event.part)
        part = self._opened(event)
        try:
            self._judge(part, event)
        except Exception as error:  # noqa: BLE001 - codecs, links and fields have their own
            self._settlement.failed(part, error)
            # What was recorded unjudged is the deadline's.
            if not part.recorded:
                self._settlement.record_unseen(part)
        else:
            self._health.well("inspection")

    def _judge(self, part: OpenPart, event: CameraEvent) -> None:
        looked = self._look(event)
        if looked is None or isinstance(event, MissedFrame):
            self._settlement.record_unseen(part)
            return
        finding, seconds = looked
        part.begun = self._fields.seen_on(event, part.begun)
        if finding.novelty > 1:
            part.begun = with_novelty(part.begun, finding.novelty)
        picture = self._kept(event, part, finding)
        frame_bytes = len(picture or event.encoded or b"")
        score = _recorded(finding.score)
        recorded = self._settlement.record(
            part,
            finding.decision,
            picture,
            score=score,
            frame_bytes=frame_bytes,
            head_ms=seconds * 1000,
        )
        asks = recorded and finding.decision is Decision.ESCALATE
        if asks and not self._uplink.escalate(part, self._model, finding, score, frame_bytes):
            self._settlement.give_up(part)

    def answer(self, verdict: CloudVerdict) -> None:
        """The cloud's verdict on an escalation. From any thread."""
        self._settlement.answer(verdict)

    def _events(self) -> Iterator[CameraEvent]:
        """Raises SplitsightError where the camera gives up."""
        try:
            yield from self._camera.frames(self.last_part + 1, self._deadline_s)
        except SplitsightError:
            raise
        except Exception as error:
            raise CameraError(
                f"the camera gave up ({type(error).__name__}: {error})",
                fix="see its package; the agent starts again, and opens it anew",
            ) from error

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
        self._settlement.open(part)
        return part

    def _look(self, event: CameraEvent) -> tuple[Finding, float] | None:
        """What the head makes of it, and the seconds that it took."""
        episodes = self._health.episodes
        if isinstance(event, MissedFrame):
            self._health.count("pictures_missed")
            told = {"part": event.part, "source": event.source, "error": str(event.error)}
            episodes.met("picture", log.warning, "picture_missed", **told)
            if event.uncounted:
                self._health.count("parts_without_record", event.uncounted)
                log.error("parts_without_record", count=event.uncounted, before=event.part)
            return None
        episodes.mended("picture", log.info, "pictures_come_again")
        self._health.well("camera")
        begun = self._clock.monotonic()
        try:
            finding = self._model.inspector.look(event)
        except Exception as error:  # noqa: BLE001 - each backend has its own
            self._health.count("head_failures")
            self._health.problem("head", said(error))
            self._watch(self._observer.failed)
            return None
        self._health.well("head")
        seconds = self._clock.monotonic() - begun
        self._watch(lambda: self._observer.saw(event, finding, seconds))
        return finding, seconds

    def _watch(self, observe: Callable[[], None]) -> None:
        """Who watches the model may be in trouble: the part is not."""
        try:
            observe()
        except Exception as error:  # noqa: BLE001 - whatever it is
            self._health.count("looks_unobserved")
            self._health.problem("observer", said(error))

    def _kept(self, frame: Frame, part: OpenPart, finding: Finding) -> bytes | None:
        """The picture for the ring; one that can't be encoded costs itself alone."""
        decision = Decision.REVIEW if part.begun.control else finding.decision
        try:
            return self._ring.picture(frame, decision)
        except Exception as error:  # noqa: BLE001 - OpenCV has its own
            self._health.count("pictures_not_kept")
            self._health.problem("ring", said(error))
            return None


def _recorded(score: float) -> float:
    """A score that records can hold: what is not a number counts as surely defective."""
    return score if math.isfinite(score) else NO_SCORE
