"""A part on its way from the trigger to the actuator, in memory only."""

from __future__ import annotations

from dataclasses import dataclass

from shared.inspection import Inspection, WayTimes


@dataclass(slots=True, eq=False)
class OpenPart:
    """What is known of a part before its verdict.

    begun                its inspection while nothing has judged it
    triggered, deadline  seconds on the monotonic clock
    escalated_bytes      payload sent to the cloud, 0 until one was
    sent, answered       when that went, and when the cloud's answer came; 0 until then
    recorded             whether the journal has taken it
    """

    begun: Inspection
    triggered: float
    deadline: float
    escalated_bytes: int = 0
    sent: float = 0.0
    answered: float = 0.0
    recorded: bool = False

    @property
    def sequence(self) -> int:
        """Of its inspection in this boot."""
        return self.begun.sequence

    @property
    def part(self) -> int:
        """Its number on the line."""
        return self.begun.part

    @property
    def way(self) -> WayTimes:
        """Its escalation's, as its inspection says them."""
        moments = (self.sent, self.answered)
        return WayTimes(*(self.age_ms(at) if at else 0.0 for at in moments))

    def age_ms(self, now: float) -> float:
        """Milliseconds since the trigger; `now` in seconds on the monotonic clock."""
        return (now - self.triggered) * 1000
