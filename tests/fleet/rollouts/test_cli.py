"""`splitsight fleet rollout`, `health` and `configure` against a cloud over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cloud.web.http_server import HttpServer
from shared.worker import DeadWorkers
from tests.fleet.rollouts.plant import NEW, Plant
from tests.fleet.rollouts.test_routes import app_of
from tests.support.commands import Ended, splitsight

pytestmark = pytest.mark.process

Fleet = Callable[..., Ended]


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    made = Plant(tmp_path / "fleet", 4)
    made.start_devices()
    return made


@pytest.fixture
def fleet(plant: Plant) -> Iterator[Fleet]:
    server = HttpServer(app_of(plant), "127.0.0.1", 0, DeadWorkers())
    server.start()

    def run(*arguments: str | Path) -> Ended:
        return splitsight("fleet", *arguments, "--cloud", server.url)

    yield run
    server.stop()


def test_a_rollout_from_start_to_abort(fleet: Fleet, plant: Plant, tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(
        "rings:\n  - {name: canary, devices: 1}\n  - {name: all, share: 1.0, approval: true}\n"
    )
    begun = fleet("rollout", "start", NEW, "--plan", plan, "--by", "ada", "--format", "json")
    assert begun.code == 0, begun.stderr
    assert json.loads(begun.stdout)["started_by"] == "ada"
    early = fleet("rollout", "approve", "1", "--by", "eve")
    assert early.code == 77
    assert "rollout 1 can't be approved: it is running" in early.stderr
    plant.rounds(3)
    shown = fleet("rollout", "status", "1")
    assert "gated – ring all waits for an approval" in shown.stdout
    assert fleet("rollout", "approve", "1", "--by", "eve").code == 0
    plant.rounds(3)
    (row,) = json.loads(fleet("rollout", "list", "--format", "json").stdout)
    assert (row["state"], row["committed"]) == ("done", 4)
    assert fleet("rollout", "abort", "1", "--by", "ada", "--reason", "wrong line").code == 0
    plant.rounds(3)
    again = fleet("rollout", "resume", "1", "--by", "ada")
    assert again.code == 77
    assert "aborted by ada: wrong line" in again.stderr


def test_mistakes_are_told_before_or_by_the_cloud(fleet: Fleet, tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text("rings:\n  - {name: a, share: 0.5}\n  - {name: b, share: 0.2}\n")
    wrong = fleet("rollout", "start", NEW, "--plan", plan, "--by", "ada")
    assert wrong.code == 10
    assert "shares must ascend" in wrong.stderr
    nobody = fleet("rollout", "start", NEW, "--canary", "plant/line-9/*", "--by", "ada")
    assert nobody.code == 77
    assert "no device is in plant/line-9/*" in nobody.stderr
    unknown = fleet("rollout", "start", "models/none/1.zip", "--by", "ada")
    assert "is not a published release" in unknown.stderr


def test_health_and_settings(fleet: Fleet, plant: Plant) -> None:
    plant.devices["box-2"].report(temperature_c=61.0, disk_free_bytes=5e9)
    plant.conductor.tick()
    rows = json.loads(fleet("health", "--format", "json").stdout)
    assert rows[2]["temperature_c"] == 61.0
    told = fleet("configure", "box-2", "deadline_ms=400", "--by", "ada")
    assert told.code == 0, told.stderr
    assert "settings: deadline_ms=400" in told.stdout
    assert plant.devices["box-2"].wanted is not None
    assert plant.devices["box-2"].wanted.settings == {"deadline_ms": 400}
    secret = fleet("configure", "box-2", "api.token=x", "--by", "ada")
    assert secret.code == 10
    assert "is a secret" in secret.stderr
