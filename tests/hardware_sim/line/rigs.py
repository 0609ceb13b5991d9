"""A simulated line whose clock is the test's to move."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hardware_sim.camera.faults import CameraFaults, Shot
from hardware_sim.line.conveyor import Conveyor, LineSettings
from hardware_sim.line.drawing.parts import GOOD, DrawnPart
from hardware_sim.line.ejector import Command, Ejector, EjectorSettings
from hardware_sim.line.line import Settled, Sight, SimulatedLine
from shared.clock import ManualClock

GEOMETRY = LineSettings(
    speed=1.0, pitch=0.5, part_length=0.2, trigger_at=0.1, camera_at=0.2, ejector_at=1.2,
    reaction_ms=20,
)  # fmt: skip


class PlainParts:
    """Grey squares; every `wrong`-th is defective. A burst's rate above one half makes all so."""

    def __init__(self, count: int | None = None, wrong: int = 3) -> None:
        self.count = count
        self._wrong = wrong
        self.rates: list[float | None] = []

    def part(self, number: int, *, rate: float | None = None) -> DrawnPart:
        self.rates.append(rate)
        defective = number % self._wrong == 0 if rate is None else rate > 0.5
        pixels = np.full((16, 16), number % 200, np.uint8)
        mask = np.full((16, 16), defective, np.bool_)
        return DrawnPart(
            number, pixels, mask, "pit" if defective else GOOD, 0.5 * defective, 0, "plain"
        )


class LineRig:
    """A line by a ManualClock; keeps what was delivered and what left."""

    def __init__(
        self,
        *,
        parts: int | None = None,
        first_part: int = 1,
        source: PlainParts | None = None,
        geometry: LineSettings = GEOMETRY,
        ejector: EjectorSettings | None = None,
    ) -> None:
        self.clock = ManualClock()
        self.delivered: list[tuple[Sight, list[Shot], float]] = []
        self.left: list[Settled] = []
        self.source = source or PlainParts()
        started = self.clock.monotonic()
        self.conveyor = Conveyor(geometry, seed=0, started=started, first_part=first_part)
        self.faults = CameraFaults(0)
        self.line = SimulatedLine(
            conveyor=self.conveyor,
            source=self.source,
            faults=self.faults,
            ejector=Ejector(ejector or EjectorSettings()),
            clock=self.clock,
            deliver=self._deliver,
            first_part=first_part,
            parts=parts,
        )

    def step(self) -> float | None:
        """Do what is due, then move the clock to what is next."""
        wait_s, left = self.line.step()
        self.left += left
        if wait_s is not None:
            self.clock.advance(wait_s + 1e-6)
        return wait_s

    def run(self, steps: int = 1000) -> None:
        """Until the line is over."""
        for _ in range(steps):
            if self.step() is None:
                return
        raise AssertionError(f"not over after {steps} steps")

    def tell(self, part: int, verdict: str) -> None:
        now = self.clock.monotonic()
        self.line.tell(Command(part, "pass" if verdict == "pass" else "reject", now, now))

    @property
    def cells(self) -> dict[int, str]:
        return {settled.outcome.passage.part: settled.outcome.cell for settled in self.left}

    def _deliver(self, sight: Sight, shots: Sequence[Shot]) -> None:
        self.delivered.append((sight, list(shots), self.clock.monotonic()))
