"""Eight boxes inspect cells of a kind that their bundle does not know, and learn it over MQTT; one
is killed in a round, one is cut off. What comes of it is approved, signed, published and rolled
out over the same plant, and escapes are counted before and after."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import yaml

from fleet.rollouts.plan import Ring, RolloutPlan
from fleet.rounds.configuration.settings import (
    LocalSettings,
    ReleaseSettings,
    RoundSettings,
    ScopeSettings,
)
from fleet.rounds.coordination.coordinator import Coordinator, RunPlan
from fleet.rounds.grids.mqtt import MqttGrid
from fleet.rounds.report.findings import RoundRecord, RunFindings
from fleet.rounds.run import run_rounds
from hardware_sim.network.conditions import Conditions
from hardware_sim.processes.fleet_folder import FleetHome
from hardware_sim.scenario.plant import Plant
from hardware_sim.scenario.settings import Scenario
from shared.bundles.bundle import Bundle
from shared.clock import SystemClock
from shared.errors import SplitsightError
from shared.federation.base_network import BaseNetwork
from shared.transport.mqtt import BrokerSettings, MqttTransport
from tests.bench.learning_floor import Floor
from tests.bench.learning_outcomes import Seen, Span, changed, figures, first_looks, missed
from tests.bench.learning_parts import Cells, deal_cells, splitsight, train
from tests.support.waiting import wait_until

NAMES = [f"box-{number + 1}" for number in range(8)]
LABELLED_S, LABELLED_SHARE = 300.0, 0.9
QUIET_S = 20.0
DEADLINE_S = 150.0
HARM_S = 0.3
ROLLOUT_S = 300.0
LOOKED_S, LOOKED_SHARE = 240.0, 0.95
ROUNDS, HARMED = 6, 2
KILLED, CUT = "box-2", "box-3"
# Of AUROC. A box holds out some fifteen parts, so that chance alone moves it by more.
MARGIN = 0.1
BELT = {"speed": 0.25, "pitch": 0.25, "part_length": 0.2, "ejector_at": 0.5}
# A canary, then all; with as many parts beside the live head as its scores' spread wants.
ROLLOUT = RolloutPlan(
    rings=(Ring(name="canary", devices=1, soak_s=5), Ring(name="100 %", share=1.0)),
    shadow_parts=40,
    health_s=10,
)
Rows = list[dict[str, object]]


def measure(_bundle: Path, folder: Path) -> Rows:
    """Rounds with all there, one killed and one cut off, all back; then the candidate's way."""
    began = time.monotonic()
    cells = deal_cells(folder / "cells", NAMES)
    bundle, base = train(cells.known, folder)
    trained = time.monotonic() - began
    home = FleetHome.found(folder, SystemClock())
    with (
        Plant(_scenario(cells), bundle, folder, home=home) as plant,
        Floor(plant, cells.learn) as floor,
    ):
        shift = Shift(plant, floor, cells, home)
        broker = BrokerSettings(port=plant.broker_port)  # type: ignore[call-arg]
        grid = MqttGrid(MqttTransport(broker, "rounds"), base=base).open()
        try:
            findings = shift.learn(_coordinator(grid, base, bundle, home, folder))
        finally:
            grid.close()
        shift.release(findings, Bundle.open(bundle).id, folder)
    shift.tell("the base network's training", f"{trained:.0f} s")
    shift.tell("all of it", f"{(time.monotonic() - began) / 60:.1f} min")
    return shift.rows


class Shift:
    """One run of the plant, and what is to be told of it."""

    def __init__(self, plant: Plant, floor: Floor, cells: Cells, home: FleetHome) -> None:
        self._plant, self._floor, self._cells, self._home = plant, floor, cells, home
        self.rows: Rows = []

    def tell(self, what: str, found: object) -> None:
        self.rows.append({"what": what, "found": found})

    def learn(self, coordinator: Coordinator) -> RunFindings:
        """Label, learn, and see what the rounds end in."""
        wanted = LABELLED_SHARE * len(self._cells.learn)
        wait_until(
            lambda: self._floor.labelled >= wanted, "labels", within_s=LABELLED_S, pause_s=2.0
        )
        wait_until(
            lambda: _ready(coordinator), "devices that take part", within_s=LABELLED_S, pause_s=2.0
        )
        quiet_from = time.time()
        threading.Event().wait(QUIET_S)
        quiet: Span = (quiet_from, time.time())
        self.tell("labelled parts", f"{self._floor.labelled}, {self._floor.bad} of them defective")
        spans = self._rounds(coordinator)
        well = [one for one in self._plant.stations if one.name not in {KILLED, CUT}]
        self.tell("missed deadlines without a round", missed(well, [quiet]))
        self.tell("missed deadlines in rounds", missed(well, spans))
        began = time.monotonic()
        _, findings = run_rounds(coordinator)
        self._tell_candidate(findings, time.monotonic() - began)
        return findings

    def release(self, findings: RunFindings, present: str, folder: Path) -> None:
        """Approve, sign, publish and roll out by one command; then count on both sides of it."""
        plan = folder / "rollout.yaml"
        plan.write_text(yaml.safe_dump(ROLLOUT.model_dump(mode="json")))
        began = time.monotonic()
        said = splitsight(
            *("fleet", "candidate", "approve", findings.name, "--by", "A. Rossi", "--why", "trial"),
            *("--folder", str(self._home.folder), "--key", str(self._home.keys / "models.pem")),
            *("--rollout", "--plan", str(plan), "--cloud", self._plant.cloud.url),
            *("--format", "json"),
        )
        told = json.loads(said)
        rollout = self._follow(told["rollout"]["id"])
        self.tell(
            f"rollout of {told['release']}",
            f"{rollout['state']} in {time.monotonic() - began:.0f} s"
            + (f": {rollout['reason']}" if rollout["reason"] else ""),
        )
        self.tell("it is live on", f"{self._running(told['release'])} of {len(NAMES)} boxes")
        after = str(self._bundle_of(findings))
        self._count(present, after)

    def _rounds(self, coordinator: Coordinator) -> list[Span]:
        spans = []
        for number in range(1, ROUNDS + 1):
            if number == HARMED:
                threading.Timer(HARM_S, self._harm).start()
            began = time.time()
            record = coordinator.step()
            spans.append((began, time.time()))
            self.tell(*_told(record))
            if number == HARMED:
                self._mend()
                wait_until(
                    lambda: _here(coordinator) == len(NAMES),
                    "all boxes back",
                    within_s=60.0,
                    pause_s=2.0,
                )
        return spans

    def _harm(self) -> None:
        """SIGKILL for one agent, and a link that swallows everything for another."""
        self._floor.station(KILLED).box.kill()
        self._floor.station(CUT).apply(Conditions(partition=True))

    def _mend(self) -> None:
        self._floor.station(CUT).apply(None)
        self._floor.station(KILLED).start_box()

    def _tell_candidate(self, findings: RunFindings, seconds: float) -> None:
        self.tell("candidate", f"{findings.name} in {seconds:.0f} s; gate: {findings.gate}")
        self.tell("its certificate", findings.certificate.splitlines()[0])
        before, after = findings.before, findings.after
        if before and after:
            self.tell(
                "on boxes' own held-out parts",
                f"AUROC {before.auroc or 0:.3f} → {after.auroc or 0:.3f}; edge escapes "
                f"{before.escapes} → {after.escapes} of {after.defective}, overkill "
                f"{before.overkill} → {after.overkill} of {after.good}",
            )
        if findings.reasons:
            raise SplitsightError(f"no candidate: {'; '.join(findings.reasons)}")

    def _follow(self, id_: int) -> dict[str, Any]:
        found: dict[str, Any] = {}

        def over() -> bool:
            told = self._plant.cloud.ask(f"/api/v1/fleet/rollouts/{id_}")
            found.update(told if isinstance(told, dict) else {})
            return found.get("state") in {"done", "stopped", "paused"}

        wait_until(over, "the rollout's end", within_s=ROLLOUT_S, pause_s=2.0)
        return found

    def _running(self, target: str) -> int:
        rows = self._plant.cloud.ask("/api/v1/fleet/health")
        heard = rows if isinstance(rows, list) else []
        return sum(row["running"].get("model") == target for row in heard)

    def _bundle_of(self, findings: RunFindings) -> str:
        shelf = self._home.folder / "candidates" / findings.name
        return Bundle.open(shelf / findings.bundle).id

    def _count(self, before: str, after: str) -> None:
        wanted = LOOKED_SHARE * len(self._cells.count)
        try:
            wait_until(
                lambda: len(self._looks(after)) >= wanted,
                "looks at the other half",
                within_s=LOOKED_S,
                pause_s=2.0,
            )
        except SplitsightError:
            self.tell("counted before all came by", f"after {LOOKED_S:.0f} s")
        for bundle, when in ((before, "before"), (after, "after")):
            for what, found in figures(self._looks(bundle)).items():
                self.tell(f"{what} {when}", found)
        self.tell("the same parts", changed(self._looks(before), self._looks(after)))

    def _looks(self, bundle: str) -> list[Seen]:
        return first_looks(self._floor.seen(), bundle, self._cells.count)


def _scenario(cells: Cells) -> Scenario:
    """Slow lines: all of this runs on one machine."""
    devices = [
        {
            "name": name,
            "line": {"data": str(cells.lines[name]), "line": BELT},
            "learns": True,
            "ring_keep": "all",
        }
        for name in NAMES
    ]
    return Scenario.model_validate(
        {
            "name": "learning-plant",
            "about": "Eight boxes learn while they inspect.",
            "duration_s": 3600,
            "devices": devices,
        }
    )


def _coordinator(
    grid: MqttGrid, base: Path, bundle: Path, home: FleetHome, folder: Path
) -> Coordinator:
    settings = RoundSettings(
        base=base,
        folder=folder / "run",
        scope=ScopeSettings(from_block=5),
        local=LocalSettings(rate=0.01, versions=4, epochs=4),
        deadline_s=DEADLINE_S,
        answer_s=30.0,
        release=ReleaseSettings(
            bundle=bundle, candidates=home.folder / "candidates", margin=MARGIN
        ),
    )
    return Coordinator(grid, settings, RunPlan(ROUNDS), BaseNetwork.read(base))


def _ready(coordinator: Coordinator) -> bool:
    return sum(one.takes_part for one in coordinator.possible_participants()) == len(NAMES)


def _here(coordinator: Coordinator) -> int:
    return len(list(coordinator.grid.get_node_ids()))


def _told(record: RoundRecord) -> tuple[str, str]:
    aside = "; ".join(f"{one.device}: {one.reason}" for one in record.aside) or "nobody"
    late = f"; late: {', '.join(record.late)}" if record.late else ""
    return (
        f"round {record.round}, {record.outcome}",
        f"{len(record.took_part)} devices in {record.seconds:.1f} s; without {aside}{late}",
    )
