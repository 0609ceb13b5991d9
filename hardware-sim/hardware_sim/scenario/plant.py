"""A scenario's plant: broker, cloud, and a station for each device."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Self

from cloud.broker.embedded import EmbeddedBroker
from hardware_sim.compute.runtime import require_runnable
from hardware_sim.processes.broker import BrokerProcess
from hardware_sim.processes.child import Child, stop_all
from hardware_sim.processes.cloud import CloudProcess
from hardware_sim.processes.fleet_folder import FleetHome
from hardware_sim.processes.postgresql import PostgresqlServer
from hardware_sim.scenario.faults.base import ProcessControls
from hardware_sim.scenario.settings import Scenario
from hardware_sim.scenario.station import DeviceStation
from shared.bundles.bundle import Bundle
from shared.bundles.manifest import HEAD
from shared.errors import ProcessError
from shared.loopback import free_port

HOST = "127.0.0.1"
DATABASE = "splitsight"
WATCHED_S = 30.0
POLL_S = 0.1


def require_able(scenario: Scenario, bundle: Path) -> None:
    """That the bundle is one, and that every device's hardware could run its head.

    Raises BundleError or RuntimeUnavailable, before anything has been started.
    """
    opened = Bundle.open(bundle)
    head, picture = opened.read(HEAD), opened.golden.inputs[:1]
    for profile in sorted({one.profile for one in scenario.devices if one.profile is not None}):
        require_runnable(head, profile, picture)


class Plant:
    """Starts everything and puts it away.

    The floor's own broker, between box and ejector, is never at fault: what is simulated is the
    way to the cloud.
    """

    def __init__(
        self, scenario: Scenario, bundle: Path, folder: Path, *, home: FleetHome | None = None
    ) -> None:
        """home: where boxes get their updates; None: they run `bundle` for good"""
        self.scenario = scenario
        self._port = free_port()
        self._floor = EmbeddedBroker("auto", HOST, free_port())
        self._broker = BrokerProcess(folder, HOST, self._port)
        self._database = (
            PostgresqlServer(free_port()) if scenario.cloud.database == "postgresql" else None
        )
        self.workers = [
            CloudProcess(
                folder,
                bundle,
                port=free_port(),
                broker_port=self._port,
                sections=home.service if home else None,
                name=f"cloud-{number + 1}",
                database=self._database.url(DATABASE) if self._database else "",
            )
            for number in range(scenario.cloud.workers)
        ]
        self.stations = [
            DeviceStation(
                device,
                scenario,
                bundle,
                folder,
                seed=scenario.seed + index,
                broker=(HOST, self._port),
                floor_port=self._floor.port,
                home=home,
            )
            for index, device in enumerate(scenario.devices)
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self._database is not None:
            self._database.close()

    def start(self) -> None:
        """Raises ProcessError where one of them can't start."""
        self._floor.start()
        self._broker.start()
        if self._database is not None:
            self._database.start()
            self._database.create(DATABASE)
        for worker in self.workers:
            worker.start()
            worker.wait_until_ready()
        for station in self.stations:
            station.start_line()
        self._wait_for_lines()
        for station in self.stations:
            station.start_box()

    def stop(self) -> None:
        """Boxes and lines first, then the cloud that stores their last parts, then the brokers.

        Records can be read until the plant is left. May be called twice.
        """
        for station in self.stations:
            station.stop()
        for station in self.stations:
            station.close()
        stop_all([worker.child for worker in self.workers])
        stop_all([self._broker])
        self._floor.stop()

    @property
    def cloud(self) -> CloudProcess:
        """The worker that is asked."""
        return self.workers[0]

    @property
    def processes(self) -> dict[str, ProcessControls]:
        """What can be at fault, as in `CloudSide.processes`."""
        database: dict[str, ProcessControls] = {}
        if self._database is not None:
            database["database"] = self._database
        workers = {worker.child.name: worker.child for worker in self.workers}
        return {"broker": self._broker, **database, **workers}

    @property
    def broker_port(self) -> int:
        """The cloud's, where nothing is at fault."""
        return self._port

    @property
    def over(self) -> bool:
        """Whether every line has seen its last part off and every box has put its records away."""
        return all(one.box.exit_code == 0 and one.line.exit_code == 0 for one in self.stations)

    def tend(self) -> None:
        """Raises ProcessError where a process ended by itself with an error."""
        children: list[Child] = [c for one in self.stations for c in (one.box, one.line)]
        workers = [worker.child for worker in self.workers]
        for child in (*children, self._broker, *workers):
            code = child.exit_code
            if code is None or code <= 0:
                continue
            if self.scenario.chaos is None or child not in workers:
                raise child.failure()
            # It came up while its database was down; a supervisor would do the same.
            child.start()

    def aimed(self, device: str) -> list[DeviceStation]:
        """The stations that a fault is aimed at."""
        names = self.scenario.named(device)
        return [station for station in self.stations if station.name in names]

    def _wait_for_lines(self) -> None:
        pause, left = threading.Event(), WATCHED_S
        for station in self.stations:
            while True:
                try:
                    station.line_control.state()
                    break
                except ProcessError:
                    self.tend()
                    left -= POLL_S
                    if left <= 0:
                        raise
                    pause.wait(POLL_S)
