"""The people at a plant's lines: an operator, and an inspector downstream who sees every part."""

from __future__ import annotations

import threading
from collections.abc import Collection
from typing import Self

from hardware_sim.processes.cloud import ServedCloud
from hardware_sim.scenario.inspector import Doubtful, HttpDesk, OperatorSettings, SimulatedInspector
from hardware_sim.scenario.plant import Plant
from hardware_sim.scenario.station import DeviceStation, PassedPart
from shared.clock import SystemClock
from tests.bench.learning_outcomes import Seen, seen_by


class Floor:
    """Starts the plant, and has people look at its parts all the time.

    They speak once of each picture in `learn`, and of no other.
    """

    def __init__(self, plant: Plant, learn: Collection[str]) -> None:
        self._plant = plant
        self._learn = learn
        self._passed: dict[str, dict[int, PassedPart]] = {one.name: {} for one in plant.stations}
        self._spoken: dict[tuple[str, str], Doubtful] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.labelled = self.bad = 0

    def __enter__(self) -> Self:
        self._plant.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def station(self, name: str) -> DeviceStation:
        return next(one for one in self._plant.stations if one.name == name)

    def seen(self) -> list[Seen]:
        """All parts that have passed their ejector, line by line."""
        return [
            seen
            for station in self._plant.stations
            for seen in seen_by(station, dict(self._passed[station.name]))
        ]

    def _look(self) -> None:
        settings = OperatorSettings(delay_s=1.0, error_rate=0.0, audits=1.0)
        operator = SimulatedInspector(
            HttpDesk(ServedCloud(self._plant.cloud.url)), self._truth, settings, SystemClock()
        )
        while not self._stopped.wait(1.0):
            for station in self._plant.stations:
                self._passed[station.name] |= {one.part: one for one in station.passed()}
            operator.step()
            self.labelled = operator.reviewed

    def _truth(self, one: Doubtful) -> bool | None:
        passed = self._passed[one.device].get(one.part)
        if passed is None or one.source is None or one.source not in self._learn:
            return None
        first = self._spoken.setdefault((one.device, one.source), one)
        if first.part != one.part:
            return None
        defective = passed.defect != "good"
        self.bad += defective and first is one
        return defective
