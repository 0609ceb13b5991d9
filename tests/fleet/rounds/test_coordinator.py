"""Rounds end in one network, the same on every run, whoever is bad, late or gone."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Context, Message
from flwr.clientapp import ClientApp

from edge.learner.client_app import client_app
from fleet.rounds.coordination.coordinator import Coordinator, RunPlan
from fleet.rounds.grids.in_process import InProcessGrid
from fleet.rounds.report.findings import RoundRecord
from fleet.rounds.strategies.settings import FedAdamSettings, FedProxSettings
from shared.certification.ranking import auroc
from shared.errors import FederationError
from shared.federation.protocol import ARRAYS, CHANGE
from tests.fleet.rounds.conftest import Open
from tests.fleet.rounds.strategies import OURS
from tests.fleet.rounds.tiny import TINY_VALUES, Parts, tiny_apps, tiny_base, tiny_device

pytestmark = pytest.mark.torch


def aside(record: RoundRecord) -> dict[str, str]:
    return {one.device: one.reason for one in record.aside}


def took_part(record: RoundRecord) -> list[str]:
    return [one.device for one in record.took_part]


class Altered:
    """A device whose updates are exchanged on their way out."""

    def __init__(self, app: ClientApp, change: np.ndarray) -> None:
        self._app, self._change = app, change

    def __call__(self, message: Message, context: Context) -> Message:
        reply = self._app(message, context)
        if reply.has_error() or ARRAYS not in reply.content:
            return reply
        reply.content[ARRAYS] = ArrayRecord({CHANGE: Array(self._change)})
        return reply


class Stalling:
    """A device that hangs in its trainings until it is let go."""

    def __init__(self, app: ClientApp) -> None:
        self._app = app
        self.go_on = threading.Event()

    def __call__(self, message: Message, context: Context) -> Message:
        if message.metadata.message_type == "train":
            self.go_on.wait(60)
        return self._app(message, context)


@pytest.fixture
def stalling(base: Path, tmp_path: Path) -> Iterator[Stalling]:
    parts = Parts("slow", seed=50)
    device = Stalling(client_app(tiny_device(parts, base, tmp_path / "state")))
    yield device
    device.go_on.set()


@pytest.mark.parametrize("strategy", OURS)
def test_every_strategy_lowers_the_loss(
    strategy: str, open_rounds: Open, base: Path, tmp_path: Path
) -> None:
    apps = tiny_apps(4, base, tmp_path / "state")
    run = open_rounds(apps, RunPlan(8), strategy=OURS[strategy])
    history = run.run().history
    assert [record.outcome for record in history] == ["finished"] * 8
    assert history[-1].loss < history[0].loss


@pytest.mark.parametrize("strategy", OURS)
def test_the_same_seed_gives_the_same_bits_and_another_does_not(
    strategy: str, open_rounds: Open, base: Path, tmp_path: Path
) -> None:
    def ended(name: str, seed: int) -> np.ndarray:
        apps = tiny_apps(4, base, tmp_path / f"state-{name}")
        plan = RunPlan(3, seed)
        return open_rounds(apps, plan, folder=name, strategy=OURS[strategy]).run().values

    first = ended("first", 1)
    assert np.array_equal(first, ended("again", 1))
    assert not np.array_equal(first, ended("other", 2))


def test_a_network_learned_together_tells_parts_of_every_device_apart(
    open_rounds: Open, base: Path, tmp_path: Path
) -> None:
    devices = [
        tiny_device(Parts(f"d{n}", good=40, defective=40, grey=70 + 20 * n, seed=n), base, tmp_path)
        for n in range(3)
    ]
    run = open_rounds({d.name: client_app(d) for d in devices}, RunPlan(30))
    before = [d.judge(run.order(1), run.progress.values, 0) for d in devices]
    run.run()
    after = [d.judge(run.order(30), run.progress.values, 30) for d in devices]
    gain = [auroc(b.score, b.defective) - auroc(a.score, a.defective) for a, b in
            zip(before, after, strict=True)]  # fmt: skip
    assert min(gain) > -0.02
    assert np.mean([auroc(judged.score, judged.defective) for judged in after]) > 0.9


def test_normalisation_that_is_local_never_travels_and_stays_on_the_device(
    open_rounds: Open, base: Path, tmp_path: Path
) -> None:
    parts = [Parts("dark", grey=60), Parts("bright", grey=160, seed=1)]
    devices = [tiny_device(one, base, tmp_path / "state") for one in parts]
    apps = {d.name: client_app(d) for d in devices}
    run = open_rounds(apps, RunPlan(3), strategy=OURS["fedbn"])
    assert run.layout.size == TINY_VALUES - 4 * 6
    assert not any(name.startswith("head.blocks.1.1.") for name in run.layout.shapes)
    run.run()
    kept = [np.load(p) for p in sorted((tmp_path / "state").rglob("round-000003.npz"))]
    assert len(kept) == 2
    means = [one["head.blocks.1.1.running_mean"] for one in kept]
    assert not np.allclose(means[0], means[1])


def test_bytes_stay_within_a_fifth_over_sixteen_bits_a_trained_value(
    open_rounds: Open, tmp_path: Path, base: Path
) -> None:
    """What Flower's envelope adds is the same for a network of any size."""
    run = open_rounds(tiny_apps(2, base, tmp_path / "state"))
    record = run.run().history[1]
    envelope = 1100
    assert record.bytes_up <= 2 * TINY_VALUES + envelope
    assert record.bytes_down <= 2 * TINY_VALUES + envelope
    real = 205_106
    assert (2 * real + envelope) / (2 * real) < 1.2


def test_devices_that_cant_take_part_are_set_aside_by_name(
    open_rounds: Open, base: Path, tmp_path: Path
) -> None:
    apps = tiny_apps(
        2,
        base,
        tmp_path / "state",
        {
            "empty": Parts("empty", good=0, defective=0),
            "only-good": Parts("only-good", good=20, defective=0),
        },
    )
    other = tiny_base(tmp_path, seed=9)
    old = tiny_device(Parts("old", seed=3), other, tmp_path / "state")
    run = open_rounds({**apps, "old": client_app(old)}, RunPlan(1))
    record = run.run().history[0]
    assert took_part(record) == ["d00", "d01"]
    reasons = aside(record)
    assert reasons["empty"] == "no labels"
    assert reasons["only-good"] == "one class only"
    assert reasons["old"].startswith("a model of another version (its base is ")


def test_a_dry_run_says_who_would_take_part_and_trains_nothing(
    open_rounds: Open, base: Path, tmp_path: Path
) -> None:
    empty = {"empty": Parts("empty", good=0, defective=0)}
    run = open_rounds(tiny_apps(1, base, tmp_path / "state", empty))
    first, second = run.possible_participants()
    assert (first.device, first.takes_part) == ("d00", True)
    assert first.good.keys() == first.defective.keys() == {"d00"}
    assert sum(first.good.values()) + sum(first.defective.values()) + first.held_out == 24
    assert (second.device, second.takes_part, second.reason) == ("empty", False, "no labels")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (np.full(TINY_VALUES, np.nan, np.float16), "no numbers"),
        (np.full(TINY_VALUES, np.inf, np.float16), "no numbers"),
        (np.zeros(TINY_VALUES - 1, np.float16), f"({TINY_VALUES},) were wanted"),
        (np.zeros(TINY_VALUES, np.float64), "float64"),
    ],
)
def test_an_update_that_cant_be_used_is_set_aside_and_changes_nothing(
    change: np.ndarray, reason: str, open_rounds: Open, base: Path, tmp_path: Path
) -> None:
    apps = tiny_apps(3, base, tmp_path / "state")
    broken = client_app(tiny_device(Parts("broken", seed=8), base, tmp_path / "state"))
    with_it = {**apps, "broken": Altered(broken, change)}
    run = open_rounds(with_it, RunPlan(1))
    record = run.run().history[0]
    assert reason in aside(record)["broken"]
    without = open_rounds(tiny_apps(3, base, tmp_path / "state-2"), RunPlan(1), folder="without")
    assert np.array_equal(run.progress.values, without.run().values)


def test_too_few_devices_make_void_rounds_and_then_end_the_run(
    open_rounds: Open, base: Path, tmp_path: Path
) -> None:
    empty = {"empty": Parts("empty", good=0, defective=0)}
    run = open_rounds(tiny_apps(1, base, tmp_path / "state", empty), void_limit=2)
    before = run.progress.values.copy()
    with pytest.raises(FederationError, match=r"1 of at least 2 devices.*empty: no labels"):
        run.run()
    assert [record.outcome for record in run.progress.history] == ["void", "void"]
    assert np.array_equal(run.progress.values, before)


class Arriving(InProcessGrid):
    """Of its devices the first is there; the others come while somebody waits."""

    waited = 0

    def get_node_ids(self) -> Iterable[int]:
        return list(super().get_node_ids())[: None if self.waited else 1]

    def wait(self, seconds: float) -> bool:
        self.waited += 1
        return seconds > 0


def test_a_round_waits_for_devices_that_it_lacks(
    open_rounds: Open, base: Path, tmp_path: Path
) -> None:
    run = open_rounds(tiny_apps(2, base, tmp_path / "state"), RunPlan(1), grid=Arriving)
    record = run.step()
    assert (record.outcome, len(record.took_part)) == ("finished", 2)
    assert isinstance(run.grid, Arriving)
    assert run.grid.waited == 1


def test_a_round_that_may_not_wait_is_void_at_once(
    open_rounds: Open, base: Path, tmp_path: Path
) -> None:
    apps = tiny_apps(2, base, tmp_path / "state")
    run = open_rounds(apps, RunPlan(1), grid=Arriving, patience_s=0.0)
    record = run.step()
    assert (record.outcome, record.reason) == ("void", "1 of at least 2 devices took part")


def test_a_device_that_stalls_costs_its_deadline_and_its_late_update_is_not_mixed_in(
    open_rounds: Open, base: Path, tmp_path: Path, stalling: Stalling
) -> None:
    apps = {**tiny_apps(2, base, tmp_path / "state"), "slow": stalling}
    records: list[RoundRecord] = []

    def watch(record: RoundRecord, _values: object) -> None:
        records.append(record)
        if record.round == 2:
            stalling.go_on.set()

    run = open_rounds(apps, RunPlan(40), deadline_s=3.0, answer_s=0.5, more={"watch": watch})
    run.run()
    assert aside(records[0]) == {"slow": "no answer within 3 s"}
    assert 3.0 <= records[0].seconds <= 3.0 + 10
    # It has to say that it is there before it is waited for again.
    assert aside(records[1]) == {"slow": "not there: it did not answer"}
    assert records[1].seconds < 3.0
    assert took_part(records[1]) == ["d00", "d01"]
    assert [name for record in records for name in record.late] == ["slow"]
    assert took_part(records[-1]) == ["d00", "d01", "slow"]


def test_a_run_goes_on_after_its_last_round_with_the_same_bits(
    open_rounds: Open, base: Path, tmp_path: Path
) -> None:
    class Stop(Exception):
        pass

    def stop(record: RoundRecord, _values: object) -> None:
        if record.round == 2:
            raise Stop

    def opened(folder: str, **more: object) -> Coordinator:
        apps = tiny_apps(3, base, tmp_path / folder)
        return open_rounds(apps, RunPlan(5), folder=f"run-{folder}", strategy=adam, **more)

    adam = FedAdamSettings()
    halted = opened("a", more={"watch": stop})
    with pytest.raises(Stop):
        halted.run()
    resumed = opened("a")
    assert resumed.progress.round == 2
    resumed.run()
    assert np.array_equal(resumed.progress.values, opened("b").run().values)
    assert [record.round for record in resumed.progress.history] == [1, 2, 3, 4, 5]


def test_a_run_is_not_gone_on_with_under_other_settings(
    open_rounds: Open, base: Path, tmp_path: Path
) -> None:
    apps = tiny_apps(2, base, tmp_path / "state")
    open_rounds(apps, RunPlan(1), strategy=FedProxSettings()).run()
    with pytest.raises(FederationError, match="other settings, strategy or base"):
        open_rounds(apps, RunPlan(1), strategy=OURS["median"])
    with pytest.raises(FederationError, match="other settings, strategy or base"):
        open_rounds(apps, RunPlan(1), strategy=FedProxSettings(mu=0.5))


def test_a_device_that_takes_another_s_name_is_not_heard(
    open_rounds: Open, base: Path, tmp_path: Path
) -> None:
    apps = tiny_apps(2, base, tmp_path / "state")
    twin = client_app(tiny_device(Parts("d00", seed=7), base, tmp_path / "twin"))
    record = open_rounds({**apps, "twin": twin}, RunPlan(1)).run().history[0]
    assert len(record.took_part) == 2
    assert aside(record) == {"twin": "it answers in the name of d00"}


def test_a_device_that_raises_is_set_aside_with_what_it_said(
    open_rounds: Open, base: Path, tmp_path: Path
) -> None:
    broken = ClientApp()

    @broken.query()
    def fail(message: Message, _context: Context) -> Message:
        raise RuntimeError(f"out of memory in {message.metadata.message_type}")

    apps = {**tiny_apps(2, base, tmp_path / "state"), "broken": broken}
    record = open_rounds(apps, RunPlan(1)).run().history[0]
    assert list(aside(record).values()) == [
        "its training failed (RuntimeError: out of memory in query)"
    ]
    assert took_part(record) == ["d00", "d01"]


def test_fifty_devices_take_part_in_one_process(
    open_rounds: Open, base: Path, tmp_path: Path
) -> None:
    """How long it takes is `python -m tests.bench federate`."""
    history = open_rounds(tiny_apps(50, base, tmp_path / "state"), RunPlan(2)).run().history
    assert [len(record.took_part) for record in history] == [50, 50]
    assert [record.aside for record in history] == [[], []]
