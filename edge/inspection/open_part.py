"""A part on its way from the trigger to the actuator, in memory only."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class OpenPart:
    """What is known of a part before its verdict.

    sequence             of its inspection in this boot
    part                 its number on the line
    triggered, deadline  seconds on the monotonic clock
    inspected_at         UTC seconds
    bundle               the id of the one that judges it
    escalated_bytes      payload sent to the cloud, 0 until one was
    """

    sequence: int
    part: int
    triggered: float
    deadline: float
    inspected_at: float
    source: str
    bundle: str
    escalated_bytes: int = field(default=0)

    def age_ms(self, now: float) -> float:
        """Milliseconds since the trigger; `now` in seconds on the monotonic clock."""
        return (now - self.triggered) * 1000
