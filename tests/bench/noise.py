"""What differential privacy costs: AUROC of a network learned together, at three budgets.

`python -m tests.bench.noise`: ten devices of a small drawn data set, in this process; some minutes.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import structlog

from edge.learner.client_app import client_app
from fleet.rounds.configuration.accountant import Accountant
from fleet.rounds.configuration.privacy import PrivacySettings
from fleet.rounds.configuration.settings import LocalSettings, RoundSettings, ScopeSettings
from fleet.rounds.coordination.coordinator import Coordinator, RunPlan
from fleet.rounds.grids.in_process import InProcessGrid
from shared.certification.ranking import auroc
from shared.console import print_table
from shared.errors import FederationError
from shared.federation.base_network import BaseNetwork
from tests.fleet.rounds.tiny import Parts, tiny_base, tiny_device

ROUNDS, DELTA, SEEDS = 20, 1e-5, 2


def noise_for(budget: float) -> float:
    """The least noise with which ROUNDS rounds stay within ε."""
    low, high = 0.1, 1000.0
    while high / low > 1.001:
        middle = (low * high) ** 0.5
        enough = Accountant(middle, DELTA).epsilon(ROUNDS) <= budget
        low, high = (low, middle) if enough else (middle, high)
    return high


def after(devices: int, privacy: PrivacySettings, seed: int) -> tuple[float, float]:
    """Mean AUROC of held-out parts over devices before and after a run."""
    with tempfile.TemporaryDirectory() as folder_:
        folder = Path(folder_)
        base = tiny_base(folder, seed)
        made = [
            tiny_device(
                Parts(f"d{n:03}", good=24, defective=24, grey=60 + n * 7 % 120, seed=n),
                base,
                folder,
            )
            for n in range(devices)
        ]
        settings = RoundSettings(
            base=base,
            folder=folder / "run",
            scope=ScopeSettings(from_block=1, encoder=False),
            local=LocalSettings(rate=0.02, block_share=1.0, versions=2),
            privacy=privacy,
            void_limit=1,
        )
        grid = InProcessGrid({one.name: client_app(one) for one in made})
        run = Coordinator(grid, settings, RunPlan(ROUNDS, seed), BaseNetwork.read(base))

        def mean(round_: int) -> float:
            judged = [one.judge(run.order(1), run.progress.values, round_) for one in made]
            return float(np.mean([auroc(one.score, one.defective) for one in judged]))

        before = mean(0)
        run.run()
        return before, mean(ROUNDS)


def main(devices: int = 10) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    rows: list[dict[str, object]] = []
    for budget in (None, 30.0, 8.0, 2.0):
        noise = noise_for(budget) if budget else 0.0
        for clip in (0.05, 0.2, 1.0):
            privacy = PrivacySettings(clip=clip, noise=noise, delta=DELTA)
            try:
                found = np.mean([after(devices, privacy, seed) for seed in range(SEEDS)], axis=0)
                told = f"{found[0]:.3f} → {found[1]:.3f}"
            except FederationError:
                told = "refused: nothing would be left"
            rows.append({"ε": budget or "–", "noise": noise, "clip": clip, "AUROC": told})
    print_table(f"{ROUNDS} rounds, {devices} devices, delta {DELTA:g}, {SEEDS} seeds", rows)


if __name__ == "__main__":
    main()
