"""New models while a scenario runs: made with pairs of their own, begun one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fleet.releases.catalogue import Catalogue
from hardware_sim.processes.fleet_folder import FleetHome
from hardware_sim.scenario.rollouts import (
    AnyWorker,
    PublishedModels,
    RolloutSettings,
    ScheduledRollouts,
)
from shared.clock import SystemClock
from tests.bundles import make_bundle


class Conductor:
    """What a cloud answers of rollouts, and whether it is there."""

    def __init__(self) -> None:
        self.rollouts: list[dict[str, Any]] = []
        self.there = True
        self.asked = 0

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        timeout_s: float = 1.0,
    ) -> Any:
        del path, timeout_s
        self.asked += method == "GET"
        if not self.there:
            raise ConnectionRefusedError
        if method == "POST" and body is not None:
            self.rollouts.insert(0, {"target": body["target"], "state": "running", "reason": ""})
        return self.rollouts


def test_the_next_begins_when_the_one_before_is_over_and_its_time_has_come() -> None:
    cloud = Conductor()
    names = iter("abc")
    settings = RolloutSettings(from_s=10, every_s=60)
    rollouts = ScheduledRollouts(lambda: next(names), settings, cloud)

    def begun(now: float) -> list[str]:
        cloud.asked = 0
        rollouts.step(now)
        assert cloud.asked == 1, "each request costs a worker that is busy with rollouts"
        return [one["target"] for one in reversed(cloud.rollouts)]

    assert begun(9) == []
    assert begun(11) == ["a"]
    assert begun(80) == ["a"], "it is under way"
    cloud.rollouts[0]["state"] = "done"
    cloud.there = False
    rollouts.step(80)
    cloud.there = True
    assert begun(81) == ["a", "b"]
    rollouts.step(82)
    assert [(one.target, one.state) for one in rollouts.outcomes] == [
        ("a", "done"),
        ("b", "running"),
    ]


def test_whichever_worker_keeps_the_fleet_is_asked() -> None:
    first, second = Conductor(), Conductor()
    second.rollouts = [{"target": "a", "state": "done", "reason": ""}]
    first.there = False
    asked = ScheduledRollouts(lambda: "b", RolloutSettings(from_s=0), AnyWorker([first, second]))
    asked.step(0)
    assert [one.target for one in asked.outcomes] == ["a"]
    asked.step(1)
    assert [one.target for one in asked.outcomes] == ["a", "b"]


def test_each_model_has_a_pair_of_its_own_and_is_published(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "tiny", height=32, width=32)
    home = FleetHome.found(tmp_path, SystemClock())
    publish = PublishedModels(home, bundle.path, SystemClock())
    paths = [publish() for _ in range(3)]
    models = {one.release: one.pair for one in Catalogue(home.store).models() if one.release}
    assert sorted(models) == sorted(paths[1:]), "the oldest is withdrawn"
    assert len({*models.values(), bundle.manifest.pair}) == 3
