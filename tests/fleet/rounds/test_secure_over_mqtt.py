"""A secure sum over the fleet's own messages, where devices wait for each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.learning.supervision import LINGER_S
from fleet.rounds.configuration.settings import RoundSettings, ScopeSettings
from fleet.rounds.coordination.coordinator import Coordinator, RunPlan
from fleet.rounds.grids.messaging import GridMessaging
from shared.federation.base_network import BaseNetwork
from tests.fleet.rounds.mqtt_rig import Plant
from tests.fleet.rounds.tiny import tiny_apps, tiny_base

pytestmark = pytest.mark.torch


def test_a_learner_that_keeps_an_update_waits_for_the_slowest_and_then_goes(
    tmp_path: Path,
) -> None:
    base = tiny_base(tmp_path)
    plant = Plant(tmp_path, tiny_apps(3, base, tmp_path / "apps"), base)
    slow = plant.devices["d02"]
    slow.idle = True
    until = plant.clock.monotonic() + 4 * LINGER_S

    def sleep(_seconds: float) -> None:
        plant.move(0.5)
        slow.idle = plant.clock.monotonic() < until

    coordinator = Coordinator(
        plant.grid,
        RoundSettings(
            base=base,
            folder=tmp_path / "run",
            scope=ScopeSettings(from_block=1, encoder=False),
        ),
        RunPlan(1),
        BaseNetwork.read(base),
        clock=plant.clock,
        messaging=GridMessaging(plant.grid, clock=plant.clock, sleep=sleep),
    )
    (record,) = coordinator.run().history
    assert record.seen == "the server sees the sum of 3 updates only"
    assert [one.device for one in record.took_part] == ["d00", "d01", "d02"]
    assert all(len(device.learners) == 1 for device in plant.devices.values())
    plant.pass_time(LINGER_S + 1)
    assert all(device.learner.ended for device in plant.devices.values())
