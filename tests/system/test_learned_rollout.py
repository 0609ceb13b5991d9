"""What rounds ended in, approved with `--rollout`, goes live on the boxes of a plant by an ordinary
rollout: fetched from the gateway, proved, run beside the live head, tried and kept."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleet.rounds.candidates.candidate_store import CandidateStore
from fleet.rounds.configuration.settings import (
    LocalSettings,
    ReleaseSettings,
    RoundSettings,
    ScopeSettings,
)
from fleet.rounds.coordination.coordinator import Coordinator, RunPlan
from fleet.rounds.grids.in_process import InProcessGrid
from fleet.rounds.report.findings import RunFindings
from fleet.rounds.run import run_rounds
from hardware_sim.processes.fleet_folder import FleetHome
from hardware_sim.scenario.plant import Plant
from hardware_sim.scenario.settings import Scenario
from shared.clock import SystemClock
from shared.federation.base_network import BaseNetwork
from tests.cloud.datasets.makers import save
from tests.fleet.rounds.plants import Plant as Labels
from tests.fleet.rounds.plants import make_present, plant_apps
from tests.support.commands import splitsight
from tests.support.waiting import wait_until

pytestmark = pytest.mark.torch

NAMES = ("north", "south", "west")
PATIENCE_S = 90.0
# The network is drawn, not trained: it gives all parts nearly one score, which from five parts on a
# shadow run rightly takes for blindness.
PLAN = {
    "rings": [{"name": "canary", "devices": 1}, {"name": "all", "share": 1.0}],
    "shadow_parts": 4,
    "health_s": 1.0,
}
BELT = {"speed": 0.5, "pitch": 0.25, "part_length": 0.2, "ejector_at": 1.1}


def learned(home: FleetHome, folder: Path) -> tuple[Path, RunFindings]:
    """The present bundle, and the candidate that a round among its plants ended in."""
    base, present = make_present(folder)
    settings = RoundSettings(
        base=base,
        folder=folder / "run",
        scope=ScopeSettings(from_block=8),
        local=LocalSettings(versions=1),
        release=ReleaseSettings(
            bundle=present.path, candidates=home.folder / "candidates", margin=0.9
        ),
    )
    apps = plant_apps([Labels(name) for name in NAMES], base, folder / "devices")
    network = BaseNetwork.read(base)
    coordinator = Coordinator(InProcessGrid(apps), settings, RunPlan(1), network)
    _, findings = run_rounds(coordinator)
    return present.path, findings


def line_of(name: str, folder: Path) -> dict[str, Any]:
    """A line that brings the parts that this plant has labelled."""
    labels, rows = Labels(name), ["image,defect,part,split"]
    for label, picture in zip(labels.index(), labels.pictures, strict=True):
        image = save(folder / f"{label.part}.png", picture)
        rows.append(f"{image},{label.kind},{label.part},test")
    data = folder / f"{name}.csv"
    data.write_text("\n".join(rows))
    return {"name": name, "line": {"data": str(data), "line": BELT}}


def looked_with(journal: Path) -> set[str]:
    """The bundles that judged a box's parts."""
    with closing(sqlite3.connect(journal)) as connection:
        return {row[0] for row in connection.execute("SELECT DISTINCT bundle FROM inspections")}


def test_a_candidate_approved_with_a_rollout_is_live_on_every_box(
    one_thread: None, tmp_path: Path
) -> None:
    home = FleetHome.found(tmp_path, SystemClock())
    present, findings = learned(home, tmp_path)
    candidate = CandidateStore(home.folder / "candidates").bundle(findings.name)
    devices = [line_of(name, tmp_path / "parts") for name in NAMES]
    about = {"name": "learned", "about": "three lines", "duration_s": 3600, "devices": devices}
    plan = tmp_path / "plan.yaml"
    plan.write_text(yaml.safe_dump(PLAN))
    with Plant(Scenario.model_validate(about), present, tmp_path, home=home) as plant:
        plant.start()
        health: list[dict[str, Any]] = []

        def known() -> list[dict[str, Any]]:
            found = plant.cloud.ask("/api/v1/fleet/health")
            health[:] = found if isinstance(found, list) else []
            return health

        wait_until(
            lambda: len([row for row in known() if row["versions"]]) == len(NAMES),
            "every device says what it runs",
            within_s=PATIENCE_S,
        )
        said = splitsight(
            *("fleet", "candidate", "approve", findings.name, "--by", "A. Rossi", "--why", "trial"),
            *("--folder", home.folder, "--key", home.keys / "models.pem", "--rollout"),
            *("--plan", plan, "--cloud", plant.cloud.url, "--format", "json"),
        )
        assert said.code == 0, said.stderr
        told = json.loads(said.stdout)
        where = f"/api/v1/fleet/rollouts/{told['rollout']['id']}"
        status: dict[str, Any] = {}

        def over() -> bool:
            found = plant.cloud.ask(where)
            status.update(found if isinstance(found, dict) else {})
            return status.get("state") in {"done", "stopped", "paused"}

        wait_until(over, "the rollout is over", within_s=PATIENCE_S)
        assert (status["state"], status["reason"]) == ("done", "")
        running = {row["device"]: row["running"]["model"] for row in known()}
        assert running == dict.fromkeys(NAMES, told["release"])
        for station in plant.stations:
            wait_until(
                lambda journal=station.journal: candidate.id in looked_with(journal),  # type: ignore[misc]
                "parts are judged with the candidate",
                within_s=PATIENCE_S,
            )
