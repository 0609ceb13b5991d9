"""A line that runs: parts come by the camera and pass the ejector, each at its own instant."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hardware_sim.camera.faults import CameraFaults, Shot
from hardware_sim.line.conveyor import Conveyor
from hardware_sim.line.drawing.parts import DrawnPart, PartSource
from hardware_sim.line.ejector import Command, Ejector, EjectorPassage, PartOutcome
from shared.clock import Clock


@dataclass(frozen=True, slots=True)
class Sight:
    """A part under the camera; seconds on the monotonic clock.

    deadline   the last instant at which the ejector can still obey, as the belt runs now
    """

    part: int
    triggered: float
    deadline: float
    source: str


@dataclass(frozen=True, slots=True)
class Settled:
    """A part that has left the line: the truth about it, and what became of it."""

    defect: str
    severity: float
    outcome: PartOutcome


# Hands a part's shots, 0 to 2, to whoever watches.
Deliver = Callable[[Sight, Sequence[Shot]], None]


class SimulatedLine:
    """Moves when `step` is called, by its clock alone; other methods from any thread.

    `changed` is set when waiting for the next event must begin anew.
    """

    def __init__(
        self,
        *,
        conveyor: Conveyor,
        source: PartSource,
        faults: CameraFaults,
        ejector: Ejector,
        clock: Clock,
        deliver: Deliver,
        first_part: int = 1,
        parts: int | None = None,
    ) -> None:
        """parts: end after so many; None goes on for ever, or to the source's last part."""
        self.conveyor = conveyor
        self.faults = faults
        self.ejector = ejector
        self.changed = threading.Event()
        self._source = source
        self._clock = clock
        self._deliver = deliver
        ends = [] if parts is None else [first_part - 1 + parts]
        ends += [] if source.count is None else [source.count]
        self._last = min(ends, default=None)
        self._to_photograph = self._to_eject = first_part
        self._ahead: DrawnPart | None = None
        self._passing: dict[int, tuple[DrawnPart, float, int | None]] = {}
        self._burst = (0, 0.0)
        self._lock = threading.RLock()

    @property
    def photographed(self) -> int:
        """Number of the last part to pass the camera; one less than the first before that."""
        return self._to_photograph - 1

    @property
    def ejected(self) -> int:
        """Number of the last part to pass the ejector."""
        return self._to_eject - 1

    @property
    def over(self) -> bool:
        """Whether the last part has passed the ejector."""
        return self._last is not None and self._to_eject > self._last

    @property
    def burst_left(self) -> int:
        return self._burst[0]

    def step(self) -> tuple[float | None, list[Settled]]:
        """Do all that is due.

        Returns seconds until something is due next, None once the last part is through; and the
        parts that have passed the ejector.
        """
        settled: list[Settled] = []
        while True:
            with self._lock:
                due = self._due()
                if due is None:
                    return None, settled
                at, photograph = due
                if at > self._clock.monotonic():
                    # Drawing takes milliseconds: better now than when the part is there.
                    self._draw()
                    return max(0.0, at - self._clock.monotonic()), settled
                if photograph:
                    self._photograph()
                else:
                    settled.append(self._eject())

    def tell(self, command: Command) -> None:
        """The ejector is told something."""
        self.ejector.tell(command)

    def change_speed(self, speed: float) -> None:
        """Raises SettingsError for a belt that would stand."""
        with self._lock:
            self.conveyor.change_speed(speed, self._clock.monotonic())
        self.changed.set()

    def burst(self, parts: int, rate: float) -> None:
        """Of the next `parts` parts to be drawn, the share `rate` is defective."""
        with self._lock:
            self._burst = (parts, rate)

    def _due(self) -> tuple[float, bool] | None:
        """When something is next, and whether it is a photograph; None: nothing will be."""
        coming: list[tuple[float, bool]] = []
        if self._last is None or self._to_photograph <= self._last:
            coming.append((self.conveyor.photographed(self._to_photograph), True))
        if self._to_eject < self._to_photograph:
            coming.append((self.conveyor.ejects(self._to_eject), False))
        return min(coming, default=None)

    def _draw(self) -> DrawnPart | None:
        if self._ahead is None and (self._last is None or self._to_photograph <= self._last):
            left, rate = self._burst
            self._ahead = self._source.part(self._to_photograph, rate=rate if left else None)
            self._burst = (max(0, left - 1), rate)
        return self._ahead

    def _photograph(self) -> None:
        part, number = self._draw(), self._to_photograph
        if part is None:
            return
        triggered = self.conveyor.triggers(number)
        shots = self.faults.through(part.pixels, number, self.conveyor.photographed(number))
        self._passing[number] = (part, triggered, shots[0].shown if shots else None)
        self._ahead = None
        self._to_photograph += 1
        sight = Sight(number, triggered, self.conveyor.deadline(number), part.source)
        self._deliver(sight, shots)

    def _eject(self) -> Settled:
        number = self._to_eject
        part, triggered, shown = self._passing.pop(number)
        self._to_eject += 1
        passage = EjectorPassage(
            part=number,
            defective=part.defective,
            shown=shown,
            triggered=triggered,
            deadline=self.conveyor.deadline(number),
            at=self.conveyor.ejects(number),
            window=self.conveyor.window_s,
        )
        return Settled(part.defect, part.severity, self.ejector.meet(passage))
