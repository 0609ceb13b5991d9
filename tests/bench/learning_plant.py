"""Eight boxes inspect while they learn over MQTT; one is killed in a round, one is cut off."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Self

import torch

from fleet.rounds.coordinator import Coordinator, Plan
from fleet.rounds.grids.mqtt import MqttGrid
from fleet.rounds.record import RoundRecord
from fleet.rounds.settings import LocalSettings, RoundSettings, ScopeSettings
from hardware_sim.network.conditions import Conditions
from hardware_sim.operator import Doubtful, HttpDesk, Operator, OperatorSettings
from hardware_sim.scenario.plant import Plant
from hardware_sim.scenario.settings import Scenario
from hardware_sim.scenario.station import Passed, Station
from shared.base_network import BaseNetwork
from shared.clock import SystemClock
from shared.errors import SplitsightError
from shared.splitnet.network import Architecture, SplitNet
from shared.splitnet.restoring import export_base
from shared.transport.mqtt import BrokerSettings, MqttTransport

DEVICES = 8
LABELLED_S = 240.0
QUIET_S = 20.0
DEADLINE_S = 150.0
HARM_S = 0.3
KILLED, CUT = "box-2", "box-3"
LINE = {
    "data": "elpv",
    "line": {
        "speed": 0.2,
        "pitch": 0.25,
        "part_length": 0.2,
        "ejector_at": 0.5,
    },
}
Span = tuple[float, float]


def scenario() -> Scenario:
    """Slow lines: all of this runs on one machine."""
    devices = [{"name": f"box-{n + 1}", "line": LINE, "learns": True} for n in range(DEVICES)]
    return Scenario.model_validate(
        {
            "name": "learning-plant",
            "about": "Eight boxes learn while they inspect.",
            "duration_s": 3600,
            "devices": devices,
        }
    )


def measure(bundle: Path, folder: Path) -> list[dict[str, object]]:
    """Three rounds: all there, one killed and one cut off, all back."""
    torch.manual_seed(0)
    base = folder / "base.npz"
    export_base(SplitNet(Architecture(height=64, width=64), pretrained=False), base)
    with Plant(scenario(), bundle, folder) as plant, Floor(plant) as floor:
        grid = MqttGrid(
            MqttTransport(BrokerSettings(port=floor.broker_port), "rounds"),  # type: ignore[call-arg]
            base=base,
        ).open()
        try:
            return _shift(plant, floor, _coordinator(grid, base, folder))
        finally:
            grid.close()


class Floor:
    """Starts the plant, and has an operator look at doubtful parts all the time."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self._passed: dict[str, list[Passed]] = {one.name: [] for one in plant.stations}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    @property
    def broker_port(self) -> int:
        return self._plant._port

    def __enter__(self) -> Self:
        self._plant.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def station(self, name: str) -> Station:
        return next(one for one in self._plant.stations if one.name == name)

    def _look(self) -> None:
        settings = OperatorSettings(delay_s=1.0, error_rate=0.0)
        operator = Operator(HttpDesk(self._plant.cloud.url), self._truth, settings, SystemClock())
        while not self._stopped.wait(1.0):
            for station in self._plant.stations:
                self._passed[station.name] += station.passed()
            operator.step()

    def _truth(self, one: Doubtful) -> bool | None:
        for passed in reversed(self._passed.get(one.device, [])):
            if passed.part == one.part:
                return passed.defect != "good"
        return None


def _coordinator(grid: MqttGrid, base: Path, folder: Path) -> Coordinator:
    settings = RoundSettings(
        base=base,
        folder=folder / "run",
        scope=ScopeSettings(from_block=8),
        local=LocalSettings(versions=4, epochs=4),
        deadline_s=DEADLINE_S,
        answer_s=30.0,
    )
    return Coordinator(grid, settings, Plan("fedavg", 4), BaseNetwork.read(base))


def _shift(plant: Plant, floor: Floor, coordinator: Coordinator) -> list[dict[str, object]]:
    _wait(lambda: sum(one.takes_part for one in coordinator.candidates()) == DEVICES, LABELLED_S)
    quiet_from = time.time()
    threading.Event().wait(QUIET_S)
    quiet: Span = (quiet_from, time.time())
    harm = threading.Timer(HARM_S, lambda: _harm(floor))
    first, first_span = _timed(coordinator)
    harm.start()
    second, second_span = _timed(coordinator)
    _mend(floor)
    _wait(lambda: len(list(coordinator.grid.get_node_ids())) == DEVICES, 60.0)
    third, third_span = _timed(coordinator)
    well = [one for one in plant.stations if one.name not in {KILLED, CUT}]
    spans = [first_span, second_span, third_span]
    rows = [_told(record) for record in (first, second, third)]
    rows.append({"what": "missed deadlines without a round", "found": _missed(well, [quiet])})
    rows.append({"what": "missed deadlines in rounds", "found": _missed(well, spans)})
    return rows


def _harm(floor: Floor) -> None:
    """SIGKILL for one agent, and a link that swallows everything for another."""
    floor.station(KILLED).box.kill()
    floor.station(CUT).apply(Conditions(partition=True))


def _mend(floor: Floor) -> None:
    floor.station(CUT).apply(None)
    floor.station(KILLED).start_box()


def _timed(coordinator: Coordinator) -> tuple[RoundRecord, Span]:
    began = time.time()
    record = coordinator.step()
    return record, (began, time.time())


def _told(record: RoundRecord) -> dict[str, object]:
    aside = "; ".join(f"{one.device}: {one.reason}" for one in record.aside) or "nobody"
    return {
        "what": f"round {record.round}, {record.outcome}",
        "found": f"{len(record.took_part)} devices in {record.seconds:.1f} s; without {aside}"
        + (f"; late: {', '.join(record.late)}" if record.late else ""),
    }


def _missed(stations: Sequence[Station], spans: Sequence[Span]) -> str:
    missed = total = 0
    for station in stations:
        with closing(sqlite3.connect(station.journal)) as connection:
            for span in spans:
                found = connection.execute(
                    "SELECT coalesce(sum(decided_by = 'deadline'), 0), count(*) FROM inspections "
                    "WHERE inspected_at BETWEEN ? AND ?",
                    span,
                ).fetchone()
                missed, total = missed + found[0], total + found[1]
    return f"{missed} of {total} parts"


def _wait(holds: Callable[[], bool], seconds: float) -> None:
    give_up, pause = time.monotonic() + seconds, threading.Event()
    while not holds():
        if time.monotonic() > give_up:
            raise SplitsightError(f"what was waited for did not come within {seconds:.0f} s")
        pause.wait(2.0)
