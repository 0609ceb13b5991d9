"""A scenario's plant: broker, cloud, and a station for each device."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Self

from cloud.broker.embedded import EmbeddedBroker
from hardware_sim.compute.runtime import require_runnable
from hardware_sim.processes.child import stop_all
from hardware_sim.processes.cloud import CloudProcess
from hardware_sim.processes.fleet_folder import FleetHome
from hardware_sim.scenario.settings import Scenario
from hardware_sim.scenario.station import DeviceStation
from shared.bundles.bundle import Bundle
from shared.bundles.manifest import HEAD
from shared.errors import ProcessError
from shared.loopback import free_port

HOST = "127.0.0.1"
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
        self._broker: EmbeddedBroker | None = None
        self.cloud = CloudProcess(
            folder,
            bundle,
            port=free_port(),
            broker_port=self._port,
            sections=home.service if home else None,
        )
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

    def start(self) -> None:
        """Raises ProcessError where one of them can't start."""
        self._floor.start()
        self.start_broker()
        self.cloud.start()
        self.cloud.wait_until_ready()
        for station in self.stations:
            station.start_line()
        self._wait_for_lines()
        for station in self.stations:
            station.start_box()

    def stop(self) -> None:
        """Boxes and lines first, then the cloud that stores their last parts, then the brokers."""
        for station in self.stations:
            station.stop()
        for station in self.stations:
            station.close()
        stop_all([self.cloud.child])
        self.stop_broker()
        self._floor.stop()

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
        children = [child for one in self.stations for child in (one.box, one.line)]
        for child in (*children, self.cloud.child):
            code = child.exit_code
            if code is not None and code > 0:
                raise child.failure()

    def aimed(self, device: str) -> list[DeviceStation]:
        """The stations that a fault is aimed at."""
        names = self.scenario.named(device)
        return [station for station in self.stations if station.name in names]

    def start_broker(self) -> None:
        """The cloud's own."""
        self._broker = EmbeddedBroker("auto", HOST, self._port).start()

    def stop_broker(self) -> None:
        """May be called twice."""
        if self._broker is not None:
            self._broker.stop()
            self._broker = None

    def start_cloud(self) -> None:
        self.cloud.start()

    def stop_cloud(self) -> None:
        """At once."""
        self.cloud.child.kill()

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
