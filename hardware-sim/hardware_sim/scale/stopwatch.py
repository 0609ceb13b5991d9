"""Times escalations from the inside of a device: from the head's finding to the actuator."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge.inspection.inspector import Looks
from shared.clock import Clock
from shared.contracts import Decision, Finding, Frame, Verdict


@dataclass(slots=True)
class EscalationTally:
    """What a worker's devices have seen of the measured span.

    span            seconds on the monotonic clock, from and to
    parts           that were due in the span
    round_trips_ms  escalation → actuated verdict; a missed one counts until its deadline's verdict
    late_ms         how much later than due a part had its turn: the simulator's own doing
    """

    span: tuple[float, float] = (float("inf"), float("inf"))
    parts: int = 0
    round_trips_ms: list[float] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)

    def covers(self, at: float) -> bool:
        return self.span[0] <= at < self.span[1]


class Stopwatch:
    """An inspector and an actuator in one: it hands on findings and notes how long each took.

    actuated   verdicts that were carried out
    """

    def __init__(self, findings: Looks, clock: Clock, tally: EscalationTally) -> None:
        self._findings = findings
        self._clock = clock
        self._tally = tally
        self._asked: dict[int, tuple[float, float]] = {}
        self.actuated = 0

    def look(self, frame: Frame) -> Finding:
        finding = self._findings.look(frame)
        if finding.decision is Decision.ESCALATE:
            self._asked[frame.part] = self._clock.monotonic(), frame.triggered
        return finding

    def start(self) -> None:
        """Nothing to connect."""

    def actuate(self, part: int, verdict: Verdict, *, at: float) -> None:  # noqa: ARG002
        self.actuated += 1
        asked = self._asked.pop(part, None)
        if asked is None:
            return
        started, triggered = asked
        if self._tally.covers(triggered):
            self._tally.round_trips_ms.append((self._clock.monotonic() - started) * 1000)

    def stop(self) -> None:
        """Nothing to let go of."""
