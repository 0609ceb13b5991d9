"""A device that sends a poisoned update: the robust strategies hold, the plain mean does not."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from fleet.rounds.configuration.privacy import PrivacySettings
from fleet.rounds.configuration.settings import LocalSettings, RoundSettings, ScopeSettings
from fleet.rounds.coordination.coordinator import Coordinator, RunPlan
from shared.certification.ranking import auroc
from shared.federation.base_network import BaseNetwork
from tests.fleet.rounds.lossy import LossyGrid
from tests.fleet.rounds.strategies import OURS
from tests.fleet.rounds.test_private_rounds import spoilt
from tests.fleet.rounds.tiny import Parts, TinyNet, tiny_apps, tiny_base

pytestmark = pytest.mark.torch

ROUNDS, DEVICES = 6, 7
POINT = 0.01
UNCHECKED = PrivacySettings(secure_aggregation=False, clip=1e9, times_median=1e9)
SIGN_FLIPPED, SCALED, BOTH = -1.0, 100.0, -100.0


class Plants:
    """Runs of seven tiny devices of which one may lie, each judged on the same unseen parts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._base = tiny_base(folder)
        self._unseen = Parts("unseen", good=300, defective=300, seed=99)
        self._count = 0
        self.clean = cache(lambda strategy: self.auroc(strategy, 1.0))

    def auroc(self, strategy: str, times: float, privacy: PrivacySettings = UNCHECKED) -> float:
        """Of the model after all rounds, where one device sends `times` its change."""
        self._count += 1
        apps = tiny_apps(DEVICES, self._base, self._folder / f"devices-{self._count}")
        if times != 1.0:
            apps["d02"] = spoilt(apps["d02"], lambda change: change * np.float16(times))
        grid = LossyGrid(apps)
        settings = RoundSettings(
            base=self._base,
            folder=self._folder / f"run-{self._count}",
            scope=ScopeSettings(from_block=1, encoder=False),
            local=LocalSettings(rate=0.02, epochs=2),
            privacy=privacy,
            strategy=OURS[strategy],
        )
        coordinator = Coordinator(
            grid,
            settings,
            RunPlan(ROUNDS),
            BaseNetwork.read(self._base),
            clock=grid.clock,
            messaging=grid.messaging,
        )
        coordinator.run()
        return self._judged({n: torch.tensor(a) for n, a in coordinator.result().arrays.items()})

    def _judged(self, state: dict[str, torch.Tensor]) -> float:
        network = TinyNet()
        network.load_state_dict(state)
        network.eval()
        index = self._unseen.index()
        pictures = np.stack([self._unseen.picture(place) for place in range(len(index))])
        values = (torch.from_numpy(pictures).float()[:, None] - 127) / 128
        with torch.no_grad():
            for block in network.get_submodule("head.blocks").children():
                values = block(values)
            judge = network.get_submodule("head.map_head")
            scores = judge(values.mean(dim=(2, 3))).squeeze(1).numpy()
        return auroc(np.nan_to_num(scores), np.array([label.defective for label in index]))


@pytest.fixture(scope="module")
def plants(tmp_path_factory: pytest.TempPathFactory) -> Plants:
    return Plants(tmp_path_factory.mktemp("plants"))


@pytest.mark.parametrize("times", [SIGN_FLIPPED, SCALED, BOTH])
@pytest.mark.parametrize("strategy", ["median", "krum"])
def test_a_robust_strategy_moves_by_a_point_at_most(
    plants: Plants, strategy: str, times: float
) -> None:
    clean = plants.clean(strategy)
    assert clean > 0.95
    assert abs(plants.auroc(strategy, times) - clean) <= POINT


@pytest.mark.parametrize("times", [SIGN_FLIPPED, SCALED, BOTH])
def test_the_plain_mean_is_moved_further(plants: Plants, times: float) -> None:
    assert plants.clean("fedavg") - plants.auroc("fedavg", times) > 2 * POINT


@pytest.mark.parametrize("times", [SCALED, BOTH])
def test_the_plain_mean_holds_against_huge_updates_where_updates_are_checked(
    plants: Plants, times: float
) -> None:
    checked = plants.auroc("fedavg", times, PrivacySettings(secure_aggregation=False))
    assert abs(checked - plants.clean("fedavg")) <= POINT
