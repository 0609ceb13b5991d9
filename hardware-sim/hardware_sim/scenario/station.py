"""One device of a scenario: its line, its box and the link between box and broker, all real
processes; the plug that feeds the box; and what the ejector saw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import yaml

from hardware_sim.camera.faults import Effect
from hardware_sim.compute.control import SOCKET, ComputeRemote
from hardware_sim.compute.device import ComputeState
from hardware_sim.line.control import LineControl
from hardware_sim.network.conditions import Conditions
from hardware_sim.network.proxy import NetworkProxy
from hardware_sim.power.plug import Plug
from hardware_sim.processes.child import Child, splitsight
from hardware_sim.processes.fleet_folder import FleetHome
from hardware_sim.scenario.device import DeviceSettings
from hardware_sim.scenario.settings import Scenario
from shared.errors import ProcessError

SITE, LINE = "sim", "line"


class PassedPart(msgspec.Struct, frozen=True):
    """A part that has passed the ejector, as the line's process wrote it down."""

    part: int
    at: float
    triggered: float
    defect: str
    severity: float
    verdict: str | None
    diverted: bool
    cell: str


class DeviceStation:
    """A device with all that belongs to it, and its `StationControls`. `folder` keeps its files."""

    def __init__(
        self,
        settings: DeviceSettings,
        scenario: Scenario,
        bundle: Path,
        folder: Path,
        *,
        seed: int,
        broker: tuple[str, int],
        floor_port: int,
        home: FleetHome | None = None,
    ) -> None:
        """broker: the cloud's; floor_port: of the plant's own, which actuators publish to
        home: where the box gets its updates; None: it has none
        """
        self.settings = settings
        self.name = settings.name
        self._folder = folder
        self.proxy = NetworkProxy(broker, conditions=settings.network, seed=seed)
        self.plug = Plug()
        self._line_socket = folder / f"{self.name}.line"
        self._compute_socket = folder / f"{self.name}.compute"
        self.line_control = LineControl(self._line_socket)
        self._compute = ComputeRemote(self._compute_socket)
        self._outcomes = folder / f"{self.name}.outcomes.jsonl"
        self._outcomes.touch()
        self._read_to = 0
        self._bundle = bundle
        self._home = home
        self._topic, self._floor = f"plant/{self.name}", {"port": floor_port}
        self.box = self._box()
        self.line = self._line(scenario, seed)

    def start_line(self) -> None:
        """Also opens the link, whose port the box must be told."""
        self.proxy.start()
        _write(self._box_config, self._box_settings())
        self.line.start()

    def start_box(self) -> None:
        """Also what the return of power does."""
        self.box.start()

    def stop(self) -> None:
        """Ask all of it to end, at once."""
        self.line.stop()
        self.box.stop()

    def close(self) -> None:
        """Wait for the ends, and give up the link."""
        self.line.wait()
        self.box.wait()
        self.proxy.stop()

    def compute_state(self) -> ComputeState | None:
        """None where the device has no profile, or its power is off."""
        if self.settings.profile is None:
            return None
        try:
            return self._compute.state()
        except ProcessError:
            return None

    def apply(self, conditions: Conditions | None) -> None:
        self.proxy.apply(conditions or self.settings.network)

    def cut_connections(self) -> None:
        self.proxy.cut()

    def cut_power(self) -> None:
        self.plug.cut()

    def pause_box(self) -> None:
        self.box.pause()

    def resume_box(self) -> None:
        self.box.resume()

    def set_effect(self, effect: Effect) -> None:
        self.line_control.set(effect)

    def clear_effect(self, kind: str) -> None:
        # A line that has seen its last part off takes no commands any more.
        if self.line.running:
            self.line_control.clear(kind)

    def burst(self, parts: int, rate: float) -> None:
        self.line_control.burst(parts, rate)

    def change_speed(self, speed: float) -> None:
        self.line_control.change_speed(speed)

    def reset_driver(self, for_s: float) -> None:
        self._compute.reset(for_s)

    def change_ambient(self, celsius: float) -> float:
        before = self._compute.state().ambient_c
        self._compute.ambient(celsius)
        return before

    def late(self) -> int | None:
        """Verdicts that came when their part could not be stopped; None where the line is away."""
        if not self.line.running:
            return None
        try:
            return self.line_control.state().table.late
        except ProcessError:
            return None

    def passed(self) -> list[PassedPart]:
        """Parts that have passed the ejector since the last call."""
        with self._outcomes.open("rb") as stream:
            stream.seek(self._read_to)
            whole, newline, _ = stream.read().rpartition(b"\n")
        self._read_to += len(whole) + len(newline)
        return [msgspec.json.decode(row, type=PassedPart) for row in whole.splitlines()]

    @property
    def _box_config(self) -> Path:
        return self._folder / f"{self.name}.edge.yaml"

    @property
    def journal(self) -> Path:
        return self._folder / f"{self.name}.db"

    def _box(self) -> Child:
        command = splitsight("edge", "run", "--config", str(self._box_config))
        environment = {**self.plug.environment, SOCKET: str(self._compute_socket)}
        log = self._folder / f"{self.name}.log"
        return Child(self.name, command, log, environment=environment)

    def _line(self, scenario: Scenario, seed: int) -> Child:
        config = self._folder / f"{self.name}.sim.yaml"
        _write(config, self._line_settings(scenario, seed))
        outputs = ["--socket", str(self._line_socket), "--outcomes", str(self._outcomes)]
        told = [*outputs, "--await-camera", "--format", "json"]
        command = splitsight("sim", "line", "--config", str(config), *told)
        return Child(f"{self.name}'s line", command, self._folder / f"{self.name}.line.log")

    def _line_settings(self, scenario: Scenario, seed: int) -> dict[str, Any]:
        line = self.settings.line
        values: dict[str, Any] = line.model_dump(mode="json", exclude_unset=True)
        commands = {"broker": self._floor, "topic": self._topic}
        parts = self.settings.parts_in(scenario.duration_s)
        return {"seed": seed, **values, "parts": parts, "commands": commands}

    def _box_settings(self) -> dict[str, Any]:
        profile = self.settings.profile
        runtime = {"name": "simulated", "device": profile} if profile else {"name": "auto"}
        return {
            "site": SITE,
            "line": LINE,
            "device": self.name,
            "bundle": str(self._bundle.resolve()),
            "broker": {"host": self.proxy.host, "port": self.proxy.port},
            "camera": {"kind": "line", "socket": str(self._line_socket)},
            "actuator": {
                "kind": "mqtt",
                "topic": self._topic,
                "broker": self._floor,
                # What is told after that could only come when its part has passed the ejector.
                "late_ms": int(self.settings.margin_ms / 2),
            },
            "runtime": {**runtime, "threads": 1},
            "deadline_ms": self.settings.deadline_ms,
            "journal": {"path": str(self.journal), "ring_keep": self.settings.ring_keep},
            "learning": {
                "enabled": self.settings.learns,
                "folder": str(self._folder / f"{self.name}.learning"),
            },
            **self._updates(),
        }

    def _updates(self) -> dict[str, Any]:
        if self._home is None:
            return {}
        return {"updates": self._home.updates(self._folder / f"{self.name}.updates")}


def _write(path: Path, settings: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(settings, sort_keys=False))
