"""Whole rounds on real training: under masks as in the open, whoever drops out, and with noise."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.serde import message_from_proto
from flwr.proto.message_pb2 import Message as Proto
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from edge.learner.secure_mod import add_secure_steps, secure_mod
from fleet.rounds.configuration.accountant import BudgetSpent
from fleet.rounds.configuration.privacy import PrivacySettings, check_noise
from fleet.rounds.configuration.settings import RoundSettings, ScopeSettings
from fleet.rounds.coordination.coordinator import Coordinator, RunPlan
from shared.errors import FederationError, SettingsError
from shared.federation.base_network import BaseNetwork
from shared.federation.fixed_point import FixedPoint, unpack
from shared.federation.protocol import ARRAYS, CHANGE, Vector, is_statistic, node_of
from shared.federation.secure_aggregation import BODY, DEAL, MASK, RECORD, UNMASK, Masked, read
from tests.bench.noise import after as trained_with_noise
from tests.fleet.rounds.lossy import LossyGrid
from tests.fleet.rounds.strategies import OURS
from tests.fleet.rounds.tiny import TINY_VALUES, tiny_apps, tiny_base

pytestmark = pytest.mark.torch

OPEN = PrivacySettings(secure_aggregation=False)
SECURE = PrivacySettings()
DEVICES = 5


class Runs:
    """Starts runs of a few tiny devices, each in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.base = tiny_base(folder)
        self._count = 0

    def apps(self, count: int = DEVICES) -> dict[str, ClientApp]:
        self._count += 1
        return tiny_apps(count, self.base, self.folder / f"devices-{self._count}")

    def coordinator(
        self,
        grid: LossyGrid,
        privacy: PrivacySettings,
        rounds: int = 1,
        strategy: str = "fedavg",
    ) -> Coordinator:
        self._count += 1
        settings = RoundSettings(
            base=self.base,
            folder=self.folder / f"run-{self._count}",
            scope=ScopeSettings(from_block=1, encoder=False),
            privacy=privacy,
            strategy=OURS[strategy],
            void_limit=1,
        )
        return Coordinator(
            grid,
            settings,
            RunPlan(rounds),
            BaseNetwork.read(self.base),
            clock=grid.clock,
            messaging=grid.messaging,
        )


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def most_error(coordinator: Coordinator, before: Vector, examples: int, devices: int) -> Vector:
    """How far masked and open means may lie apart, a value each."""
    limits = SECURE.floor + SECURE.reach * np.abs(before)
    step = FixedPoint(devices, SECURE.most_examples).error(1.0, examples, devices)
    return limits * step + 1e-7 * np.abs(before) + 1e-9


@pytest.mark.parametrize("strategy", ["fedavg", "fedprox", "fedbn"])
def test_a_sum_under_masks_gives_the_model_of_one_in_the_open(runs: Runs, strategy: str) -> None:
    open_ = runs.coordinator(LossyGrid(runs.apps()), OPEN, strategy=strategy)
    before = open_.progress.values
    wanted = open_.run()
    secure = runs.coordinator(LossyGrid(runs.apps()), SECURE, strategy=strategy)
    found = secure.run()
    (record,) = found.history
    bound = most_error(secure, before, record.examples, DEVICES)
    assert np.all(np.abs(found.values - wanted.values) <= bound)
    assert np.abs(wanted.values - before).max() > 100 * bound.max(), "something was learned"
    assert record.examples == wanted.history[0].examples
    assert record.loss == pytest.approx(wanted.history[0].loss, rel=1e-3)
    assert record.seen == "the server sees the sum of 5 updates only"
    assert all(one.examples is None and one.loss is None for one in record.took_part)


@pytest.mark.parametrize("step", ["train", DEAL, MASK, UNMASK])
def test_a_device_that_drops_out_at_any_step_costs_its_own_update_at_most(
    runs: Runs, step: str
) -> None:
    grid = LossyGrid(runs.apps(), lose=[("d03", step)])
    secure = runs.coordinator(grid, SECURE, rounds=2)
    seen: list[Vector] = [secure.progress.values]
    secure._watch = lambda _record, values: seen.append(values.copy())
    first, second = secure.run().history
    still_in = step == UNMASK
    names = [one.device for one in first.took_part]
    assert ("d03" in names) is still_in
    assert len(names) == DEVICES - (not still_in)
    assert len(second.took_part) == DEVICES, "it has come back"
    if not still_in:
        assert any(one.device == "d03" and "in time" in one.reason for one in first.aside)
    lose = [] if still_in else [("d03", "train")]
    open_ = runs.coordinator(LossyGrid(runs.apps(), lose), OPEN)
    wanted = open_.run().values
    bound = most_error(secure, seen[0], first.examples, DEVICES)
    assert np.all(np.abs(seen[1] - wanted) <= bound)


def test_of_every_byte_that_the_server_hears_none_tells_an_update(runs: Runs) -> None:
    apps = runs.apps()
    open_grid = LossyGrid(apps)
    runs.coordinator(open_grid, OPEN).run()
    changes = {one: change_of(open_grid.heard[node_of(one), "train"]) for one in apps}
    grid = LossyGrid(runs.apps())
    runs.coordinator(grid, SECURE).run()
    for name, change in changes.items():
        raw = change.tobytes()
        pieces = [raw[at : at + 8] for at in range(0, len(raw) - 8, 2) if any(raw[at : at + 8])]
        assert any(piece in open_grid.heard[node_of(name), "train"] for piece in pieces)
        for heard in grid.heard.values():
            assert not any(piece in heard for piece in pieces)
    assert {kind for _, kind in grid.heard} == {"query", "train", DEAL, MASK, UNMASK}
    words = np.concatenate([masked_words(grid.heard[node_of(one), MASK]) for one in apps])
    assert stats.chisquare(np.bincount(words >> 20, minlength=16)).pvalue > 1e-6


def test_a_device_whose_update_is_no_number_is_set_aside_under_masks_and_in_the_open(
    runs: Runs,
) -> None:
    for privacy in (SECURE, OPEN):
        apps = runs.apps()
        apps["d01"] = spoilt(apps["d01"], lambda change: change * np.nan)
        apps["d02"] = spoilt(apps["d02"], lambda change: change[:-1])
        (record,) = runs.coordinator(LossyGrid(apps), privacy).run().history
        told = {one.device: one.reason for one in record.aside}
        assert set(told) == {"d01", "d02"}
        assert "no numbers" in told["d01"]
        assert str(TINY_VALUES) in told["d02"]
        assert len(record.took_part) == DEVICES - 2


def test_an_update_of_many_medians_is_set_aside_in_the_open(runs: Runs) -> None:
    apps = runs.apps()
    apps["d01"] = spoilt(apps["d01"], lambda change: change * 100)
    (record,) = runs.coordinator(LossyGrid(apps), OPEN).run().history
    (aside,) = record.aside
    assert aside.device == "d01"
    assert "more than 10 times the round's median" in aside.reason


def test_under_masks_a_huge_update_is_clipped_by_its_own_device(runs: Runs) -> None:
    apps = runs.apps()
    apps["d01"] = spoilt(apps["d01"], lambda change: change * 1000)
    coordinator = runs.coordinator(LossyGrid(apps), PrivacySettings(clip=0.05))
    before = coordinator.progress.values.copy()
    after = coordinator.run().values
    assert np.linalg.norm(after - before) <= 0.0501


def test_two_devices_are_seen_and_told_so_or_refused(runs: Runs) -> None:
    (record,) = runs.coordinator(LossyGrid(runs.apps(2)), SECURE).run().history
    assert "with 2 devices the server sees each update" in record.seen
    strict = PrivacySettings(require_secure_aggregation=True)
    with pytest.raises(FederationError, match="3 are needed to hide each other's updates"):
        runs.coordinator(LossyGrid(runs.apps(2)), strict).run()


def test_too_few_left_void_the_round_and_name_who_is_missing(runs: Runs) -> None:
    grid = LossyGrid(runs.apps(4), lose=[("d00", "train"), ("d01", "train")])
    coordinator = runs.coordinator(grid, SECURE)
    before = coordinator.progress.values.copy()
    with pytest.raises(FederationError, match="2 devices are left, 3 are needed") as raised:
        coordinator.run()
    assert "d00" in str(raised.value)
    assert np.array_equal(coordinator.progress.values, before)


@pytest.mark.parametrize("strategy", ["median", "krum"])
def test_a_strategy_that_compares_updates_is_refused_with_masks_and_with_noise(
    runs: Runs, strategy: str
) -> None:
    with pytest.raises(SettingsError, match="which secure aggregation hides"):
        runs.coordinator(LossyGrid(runs.apps()), SECURE, strategy=strategy)
    noisy = PrivacySettings(secure_aggregation=False, noise=1.0, clip=1.0)
    with pytest.raises(SettingsError, match="no ε is known"):
        runs.coordinator(LossyGrid(runs.apps()), noisy, strategy=strategy)


@pytest.mark.parametrize("secure", [True, False])
def test_a_run_with_noise_reports_epsilon_and_ends_before_its_budget(
    runs: Runs, *, secure: bool
) -> None:
    privacy = PrivacySettings(secure_aggregation=secure, noise=4.0, clip=0.03, budget=2.2)
    assert privacy.accountant is not None
    coordinator = runs.coordinator(LossyGrid(runs.apps()), privacy, rounds=9)
    with pytest.raises(BudgetSpent, match=r"above the budget of 2\.2"):
        coordinator.run()
    spent = [record.epsilon or 0.0 for record in coordinator.progress.history]
    assert len(spent) == privacy.accountant.rounds() == 4
    assert spent == sorted(spent)
    assert 0 < spent[-1] <= 2.2
    assert all(np.isnan(record.loss) for record in coordinator.progress.history if secure)


def test_noise_is_of_the_size_that_the_accountant_counts(runs: Runs) -> None:
    calm = PrivacySettings(noise=1e-9, clip=0.1)
    loud = PrivacySettings(noise=3.0, clip=0.1)
    without, with_ = (
        runs.coordinator(LossyGrid(runs.apps()), privacy).run().values for privacy in (calm, loud)
    )
    deviation = float(np.std(with_ - without))
    assert deviation == pytest.approx(3.0 * 0.1 / DEVICES, rel=0.25)


GUIDE = PrivacySettings(noise=3.0, clip=0.05, budget=8.0)
"""As in docs/guides/privacy.md."""


@pytest.mark.parametrize("secure", [True, False])
def test_noise_falls_on_no_statistic_and_none_leaves_a_device(runs: Runs, *, secure: bool) -> None:
    privacy = GUIDE.model_copy(update={"secure_aggregation": secure})
    coordinator = runs.coordinator(LossyGrid(runs.apps()), privacy, rounds=3)
    assert not [name for name in coordinator.layout.shapes if is_statistic(name)]
    assert coordinator.order(1).scope.normalisation == "local"
    progress = coordinator.run()
    assert [record.outcome for record in progress.history] == ["finished"] * 3
    network = {**coordinator._base.arrays, **coordinator.layout.named(progress.values)}
    variances = [array for name, array in network.items() if name.endswith("running_var")]
    assert variances
    assert all(float(array.min()) > 0 for array in variances)


def test_the_guide_s_values_give_a_network_that_still_works(tmp_path: Path) -> None:
    before, after = trained_with_noise(10, GUIDE, seed=1)
    assert after > max(0.85, before)


def test_noise_that_would_leave_nothing_is_refused_with_the_clip_that_does(runs: Runs) -> None:
    loud = PrivacySettings(noise=4.0, clip=0.5, budget=8.0)
    coordinator = runs.coordinator(LossyGrid(runs.apps()), loud, rounds=9)
    before = coordinator.progress.values.copy()
    with pytest.raises(FederationError, match=r"noise of 1\.2 on each of \d+ values"):
        coordinator.run()
    assert np.array_equal(coordinator.progress.values, before)


@given(
    noise=st.floats(0.1, 50), clip=st.floats(1e-4, 10), devices=st.integers(1, 1000),
    rounds=st.integers(1, 500),
)  # fmt: skip
def test_the_clip_that_is_named_is_one_that_is_taken(
    noise: float, clip: float, devices: int, rounds: int
) -> None:
    values = np.full(10, 0.1)
    try:
        check_noise(PrivacySettings(noise=noise, clip=clip), values, devices, rounds)
    except FederationError as error:
        named = float(re.findall(r"privacy\.clip: ([\d.e-]+)", error.fix)[0])
        check_noise(PrivacySettings(noise=noise, clip=named), values, devices, rounds)


def spoilt(
    app: ClientApp, change: Callable[[NDArray[np.float16]], NDArray[np.float16]]
) -> ClientApp:
    """A device that trains as `app` does and sends something else."""
    liar = ClientApp()
    add_secure_steps(liar)

    @liar.query()
    def query(message: Message, context: Context) -> Message:
        return app(message, context)

    @liar.train(mods=[secure_mod])
    def train(message: Message, context: Context) -> Message:
        reply = app(message, context)
        honest = reply.content.array_records[ARRAYS][CHANGE].numpy()
        with np.errstate(over="ignore"):
            sent = change(honest).astype(np.float16)
        reply.content[ARRAYS] = ArrayRecord({CHANGE: Array(sent)})
        return reply

    return liar


def change_of(heard: bytes) -> NDArray[np.float16]:
    return content_of(heard).array_records[ARRAYS][CHANGE].numpy()


def masked_words(heard: bytes) -> NDArray[np.uint32]:
    body = content_of(heard).config_records[RECORD][BODY]
    words = read(body, Masked).words
    return unpack(words, len(words) // 3)


def content_of(heard: bytes) -> RecordDict:
    return message_from_proto(Proto.FromString(heard)).content
