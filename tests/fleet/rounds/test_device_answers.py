"""What devices answer after the training: sums, extremes, and what can't be either."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from flwr.app import (
    Array,
    ArrayRecord,
    ConfigRecord,
    Context,
    Message,
    MetricRecord,
    RecordDict,
)
from flwr.clientapp import ClientApp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from edge.learner.secure_mod import add_secure_steps, secure_mod
from fleet.rounds.candidates.calibration import merged_ranges
from fleet.rounds.candidates.certification import choose_gate
from fleet.rounds.candidates.comparison import loss
from fleet.rounds.candidates.system_promise import CandidateHalves
from fleet.rounds.configuration.privacy import PrivacySettings
from fleet.rounds.configuration.settings import PromiseSettings, ReleaseSettings
from fleet.rounds.coordination.device_answers import DeviceAnswers
from fleet.rounds.grids.in_process import InProcessGrid
from fleet.rounds.grids.messaging import GridMessaging
from fleet.rounds.report.findings import Exclusion
from shared.bundles.manifest import FeatureSpec
from shared.certification.gate import Gate
from shared.certification.tally import LENGTH
from shared.errors import FederationError
from shared.federation.protocol import ARRAYS, CHANGE, CONFIG, EXAMPLES, METRICS, node_of
from shared.federation.questions import COMPARED, Comparison, ModelStanding, Question
from tests.fleet.rounds.mqtt_rig import Plant

pytestmark = pytest.mark.torch

SYMBOLS = Question("symbols", "train")
Answer = Callable[[Message], RecordDict]


def numbers(values: NDArray[np.generic], weight: int = 1) -> RecordDict:
    return RecordDict(
        {
            ARRAYS: ArrayRecord({CHANGE: Array(np.asarray(values))}),
            METRICS: MetricRecord({EXAMPLES: weight}),
        }
    )


def app(answer: RecordDict) -> ClientApp:
    """A device that always answers the same."""
    made = ClientApp()
    add_secure_steps(made)

    @made.evaluate("measure", mods=[secure_mod])
    def measure(message: Message, _context: Context) -> Message:
        return Message(answer, reply_to=message)

    return made


def asking(answers: Mapping[str, RecordDict], *, secure: bool = True) -> DeviceAnswers:
    grid = InProcessGrid({name: app(answer) for name, answer in answers.items()})
    return DeviceAnswers(
        GridMessaging(grid),
        PrivacySettings(secure_aggregation=secure),
        {node_of(name): name for name in answers},
        5.0,
        np.zeros(0, np.float16),
    )


@settings(max_examples=8, deadline=None)
@given(
    hnp.arrays(np.int64, (3, 20), elements=st.integers(0, 2_000_000)),
    st.booleans(),
)
def test_counts_come_out_of_a_sum_exactly_masked_or_not(
    counts: NDArray[np.int64], secure: bool
) -> None:
    answers = {f"d{n}": numbers(row.astype(np.float32)) for n, row in enumerate(counts)}
    summed = asking(answers, secure=secure).counted(SYMBOLS, (), 20)
    assert summed.devices == ("d0", "d1", "d2")
    np.testing.assert_array_equal(summed.total, counts.sum(axis=0))


@pytest.mark.parametrize("secure", [True, False])
def test_means_are_weighed_by_pictures(secure: bool) -> None:
    rows = np.random.default_rng(0).uniform(-1, 1, (4, 50)).astype(np.float32)
    weights = (3, 10, 1, 42)
    answers = {
        f"d{n}": numbers(row, w) for n, (row, w) in enumerate(zip(rows, weights, strict=True))
    }
    found = asking(answers, secure=secure).averaged(SYMBOLS, (), 50)
    wanted = np.average(rows, axis=0, weights=weights)
    np.testing.assert_allclose(found.total, wanted, atol=2e-5)


def test_counts_are_summed_under_masks_over_the_fleets_mqtt_too(tmp_path: Path) -> None:
    counts = np.arange(60, dtype=np.float32).reshape(3, 20) * 1000
    names = [f"d{n}" for n in range(3)]
    apps = {name: app(numbers(row)) for name, row in zip(names, counts, strict=True)}
    plant = Plant(tmp_path, apps)
    assert len(list(plant.grid.get_node_ids())) == 3
    post = GridMessaging(plant.grid, clock=plant.clock, sleep=lambda _seconds: plant.move(0.5))
    nodes = {node_of(name): name for name in names}
    some = DeviceAnswers(post, PrivacySettings(), nodes, 60.0, np.zeros(0, np.float16))
    summed = some.counted(SYMBOLS, (), 20)
    assert summed.devices == ("d0", "d1", "d2")
    np.testing.assert_array_equal(summed.total, counts.sum(axis=0))


def test_two_devices_can_not_hide_each_other_and_the_report_says_so() -> None:
    some = asking({f"d{n}": numbers(np.ones(4, np.float32)) for n in range(2)})
    some.counted(SYMBOLS, (), 4)
    assert some.seen == [
        "how often each feature symbol comes, of each of 2 devices (too few to hide each other)"
    ]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (numbers(np.full(4, np.nan, np.float32)), "what is no number"),
        (numbers(np.ones(5, np.float32)), "(5,) numbers, (4,) were wanted"),
        (numbers(np.ones(4, np.float32), 0), "stand for 0 pictures"),
        (RecordDict(), "claims to stand for None pictures"),
    ],
    ids=["nan", "shape", "weight", "nothing"],
)
def test_an_answer_that_is_none_is_set_aside_by_name(answer: RecordDict, reason: str) -> None:
    good = numbers(np.ones(4, np.float32))
    some = asking({"bad": answer, "sound": good}, secure=False)
    assert some.counted(SYMBOLS, (), 4).devices == ("sound",)
    (aside,) = some.aside
    assert aside.device == "bad"
    assert reason.replace("(4,)", "4") in aside.reason


def test_a_masked_answer_with_nan_never_leaves_its_device() -> None:
    good = {f"d{n}": numbers(np.ones(4, np.float32)) for n in range(3)}
    some = asking({"bad": numbers(np.full(4, np.nan, np.float32)), **good})
    found = some.counted(SYMBOLS, (), 4)
    assert found.devices == ("d0", "d1", "d2")
    np.testing.assert_array_equal(found.total, np.full(4, 3))
    assert [one.device for one in some.aside] == ["bad"]


def test_counts_that_contradict_each_other_choose_no_gate() -> None:
    """A device under masks can send any numbers; their sum has to hold together."""
    lie = np.zeros(LENGTH, np.float32)
    lie[7] = 5
    some = asking({f"d{n}": numbers(lie) for n in range(3)})
    features = FeatureSpec(channels=1, height=1, width=1)
    halves = CandidateHalves(b"", b"", b"", features, 4)
    with pytest.raises(FederationError, match="contradict each other"):
        choose_gate(some, halves, Gate(0.2, 0.8, 0.5), PromiseSettings(), created="", run="r")


def test_ranges_are_merged_and_impossible_ones_set_aside() -> None:
    aside: list[Exclusion] = []
    found = {
        "a": np.array([-1.0, 0.0, 2.0, 3.0]),
        "b": np.array([-2.0, 1.0, 1.0, 6.0]),
        "upside": np.array([9.0, 0.0, -9.0, 3.0]),
    }
    np.testing.assert_array_equal(merged_ranges(found, aside), [[-2, 0], [2, 6]])
    assert [one.device for one in aside] == ["upside"]
    with pytest.raises(FederationError, match="no device has answered"):
        merged_ranges({"upside": found["upside"]}, aside)


def compared(before: ModelStanding, after: ModelStanding) -> Comparison:
    return Comparison(good=10, defective=10, pictures=20, before=before, after=after)


def test_a_comparison_that_contradicts_itself_is_set_aside() -> None:
    sound = compared(ModelStanding(0.9, 1, 1, 5), ModelStanding(0.95, 0, 1, 5))
    wrong = compared(ModelStanding(0.9, 1, 1, 5), ModelStanding(0.95, 11, 1, 5))
    answers = {
        name: RecordDict({CONFIG: ConfigRecord({COMPARED: one.encode()})})
        for name, one in (("sound", sound), ("wrong", wrong))
    }
    some = asking(answers)
    assert some.comparisons(Question("comparison", "test"), ()) == {"sound": sound}
    assert [one.device for one in some.aside] == ["wrong"]


def at(auroc: float | None, escapes: int = 0, overkill: int = 0) -> ModelStanding:
    return ModelStanding(auroc, escapes, overkill, 0)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (at(0.90), at(0.87), "AUROC falls from 0.900 to 0.870"),
        (at(0.90), at(0.885), ""),
        (at(None), at(0.5), ""),
        (
            at(0.9, 1),
            at(0.9, 4),
            "4 of 10 defective parts pass at the edge, 1 before; 10 %",
        ),
        (at(0.9, 4), at(0.9, 4), ""),
        (at(0.9, 0), at(0.9, 1), ""),
        (at(0.9, 0, 0), at(0.9, 0, 5), "5 of 10 good parts are rejected at the edge"),
    ],
)
def test_a_device_loses_by_its_ranking_or_by_more_errors_than_were_promised(
    before: ModelStanding, after: ModelStanding, said: str
) -> None:
    promise = PromiseSettings(escapes=0.1, overkill=0.1)
    release = ReleaseSettings(bundle=Path("b"), margin=0.02, promise=promise)
    told = loss(compared(before, after), release)
    assert told.startswith(said)
    assert bool(told) == bool(said)
