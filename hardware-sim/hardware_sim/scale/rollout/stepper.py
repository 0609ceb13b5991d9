"""A thread that takes the updates of several boxes on, as each box's own thread would."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from hardware_sim.scale.rollout.box import SimulatedBox
from shared.clock import Clock

LOOK_EVERY_S = 0.05


class Stepper:
    """Steps its boxes until it is stopped."""

    def __init__(self, name: str, clock: Clock) -> None:
        self._clock = clock
        self._boxes: Sequence[SimulatedBox] = ()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self, boxes: Sequence[SimulatedBox]) -> None:
        self._boxes = boxes
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(LOOK_EVERY_S):
            for box in self._boxes:
                if self._stopped.is_set():
                    return
                box.step(self._clock.monotonic())
