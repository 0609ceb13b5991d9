"""The simplest scenario: a broker, the cloud and three camera boxes on ELPV's test cells."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cloud.broker.embedded import EmbeddedBroker
from cloud.records.database import Database
from edge.journal.reader import last_part
from hardware_sim.demo.cells import Lane, lanes
from hardware_sim.demo.history import HOURS, PARTS, ShiftHistory
from hardware_sim.demo.journals import write_journal
from hardware_sim.demo.people import ENGINEER, INSPECTOR, SECOND_INSPECTOR, DemoPeople, employ
from hardware_sim.demo.release import publish_next
from hardware_sim.demo.summary import DemoSummary, promised, summarise
from hardware_sim.processes.child import Child, splitsight, stop_all
from hardware_sim.processes.cloud import CloudProcess
from hardware_sim.processes.fleet_folder import FleetHome
from shared.bundles.bundle import Bundle
from shared.clock import ManualClock, SystemClock
from shared.loopback import require_free

DEVICES = 3
SITE = "demo"
POLL_S = 0.25


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What `splitsight demo` can be told.

    parts   inspect this many and end; None goes on until Ctrl-C
    rate    parts a second and device
    history whether a shift was before it, people have accounts, and the boxes a fleet that can give
            them another release
    more    of the cloud's settings, by section
    """

    bundle: Path
    parts: int | None = None
    rate: float = 12.0
    port: int = 8765
    broker_port: int = 18830
    runtime: str = "auto"
    history: bool = True
    more: Mapping[str, object] = field(default_factory=dict)


class Demo:
    """Starts everything, keeps it running, and counts at the end.

    `notices` collects what happened to the processes, newest last.
    """

    def __init__(self, options: DemoOptions, folder: Path) -> None:
        self.options = options
        self.folder = folder
        self.notices: list[str] = []
        # Numbers go on where the shift before ended.
        self.lanes = lanes(options.bundle, DEVICES, PARTS + 1 if options.history else 1)
        self.expected = _share_out(options.parts, self.lanes)
        self.broker = EmbeddedBroker("auto", "127.0.0.1", options.broker_port)
        self.home = FleetHome.found(folder, SystemClock()) if options.history else None
        self.release = ""
        self.cloud = CloudProcess(
            folder,
            options.bundle,
            port=options.port,
            broker_port=options.broker_port,
            sections={
                "runtime": {"name": options.runtime, "threads": 1},
                **(self.home.service if self.home else {}),
                **options.more,
            },
        )
        self.boxes = [
            self._child(lane.device, "edge", "run", self._edge_settings(lane))
            for lane in self.lanes
            if self.expected is None or self.expected[lane.device]
        ]
        self.people: DemoPeople | None = None
        self._broker_pid: int | None = None
        self._started = 0.0
        self._began_at = 0.0

    @property
    def url(self) -> str:
        return self.cloud.url

    def start(self) -> None:
        """Start broker, cloud and boxes. Raises ProcessError where one of them can't start."""
        require_free("127.0.0.1", self.options.port, setting="--port")
        require_free("127.0.0.1", self.options.broker_port, setting="--broker-port")
        self._started = time.monotonic()
        if self.options.history:
            self._prepare()
        self._began_at = SystemClock().utc()
        self.broker.start()
        self._broker_pid = self.broker.pid
        self.cloud.start()
        # A box inspects from its first second, and what nobody answers its deadline decides.
        self.cloud.wait_until_ready()
        for box in self.boxes:
            box.start()

    def _prepare(self) -> None:
        """People, a past and a release, before the cloud has its first part."""
        database, now = Database(self.cloud.database), SystemClock().utc()
        bundle, runtime = Bundle.open(self.options.bundle), self.options.runtime
        inspectors = (INSPECTOR, SECOND_INSPECTOR)
        try:
            database.migrate()
            # Who has worked in a shift had an account when it began.
            self.people = employ(database, ManualClock(utc=now - HOURS * 3600))
            history = ShiftHistory(bundle, self.lanes, SITE, now, inspectors, runtime)
            for device, kept in history.write(database).kept.items():
                write_journal(self._journal(device), kept)
        finally:
            database.close()
        self.cloud.token = self.people.token
        if self.home is not None:
            folder = self.folder / "next"
            self.release = publish_next(self.home, bundle, folder, ENGINEER, SystemClock())

    def tend(self) -> None:
        """Start again what was killed. Raises ProcessError where a process failed by itself."""
        pid = self.broker.pid
        if pid is not None and pid != self._broker_pid:
            self._broker_pid = pid
            self.notices.append("the broker was ended and is started again")
        for child in (self.cloud.child, *self.boxes):
            notice = child.restart_if_killed()
            if notice is not None:
                self.notices.append(notice)

    def status(self) -> dict[str, Any] | None:
        """The cloud's own summary and devices, or None while it does not answer."""
        summary, devices = (
            self.cloud.ask(f"/api/v1/summary?since={self._began_at}"),
            self.cloud.ask("/api/v1/devices"),
        )
        if not isinstance(summary, dict):
            return None
        return {"summary": summary, "devices": devices if isinstance(devices, list) else []}

    @property
    def finished(self) -> bool:
        """Whether every box has ended by itself: all parts are decided and stored."""
        return self.expected is not None and all(child.exit_code == 0 for child in self.boxes)

    def stop(self) -> None:
        """End boxes first, then the cloud that stores their last parts, then the broker."""
        stop_all(self.boxes)
        stop_all([self.cloud.child])
        self.broker.stop()

    def summarise(self) -> DemoSummary:
        """What it came to. Call after `stop`."""
        expected = self.expected or self._parts_seen()
        seconds = time.monotonic() - self._started
        promise = promised(Bundle.open(self.options.bundle).manifest.certificate)
        return summarise(self.cloud.database, self.lanes, expected, seconds, promise)

    def _parts_seen(self) -> dict[str, int]:
        """By the highest part number in each box's own journal: what came by until Ctrl-C."""
        return {
            lane.device: max(0, last_part(self._journal(lane.device)) - lane.first + 1)
            for lane in self.lanes
        }

    def _journal(self, device: str) -> Path:
        return self.folder / f"{device}.db"

    def _child(self, name: str, group: str, verb: str, settings: dict[str, Any]) -> Child:
        config = self.folder / f"{name}.yaml"
        config.write_text(yaml.safe_dump(settings, sort_keys=False))
        command = splitsight(group, verb, "--config", str(config))
        return Child(name, command, self.folder / f"{name}.log")

    def _edge_settings(self, lane: Lane) -> dict[str, Any]:
        pictures = self.folder / f"{lane.device}.txt"
        lane.write(pictures)
        camera: dict[str, Any] = {
            "kind": "folder",
            "path": str(pictures),
            "rate": self.options.rate,
            "loop": True,
            "start_part": lane.first,
        }
        if self.expected is not None:
            camera["limit"] = max(1, self.expected[lane.device])
        return {
            "site": SITE,
            "line": lane.line,
            "device": lane.device,
            "bundle": str(self.options.bundle.resolve()),
            "broker": {"port": self.options.broker_port},
            "camera": camera,
            "actuator": {"kind": "log"},
            "runtime": {"name": self.options.runtime, "threads": 1},
            "journal": {"path": str(self._journal(lane.device))},
            # Solar cells that anybody may see, on a machine that they do not leave.
            "pictures": {"policy": "full"},
            **self._updates(lane),
        }

    def _updates(self, lane: Lane) -> dict[str, Any]:
        if self.home is None:
            return {}
        return {"updates": self.home.updates(self.folder / f"{lane.device}.updates")}


def _share_out(parts: int | None, among: list[Lane]) -> dict[str, int] | None:
    if parts is None:
        return None
    each, rest = math.floor(parts / len(among)), parts % len(among)
    return {lane.device: each + (n < rest) for n, lane in enumerate(among)}
