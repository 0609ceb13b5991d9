"""Symbols that somebody altered on their way, by one step each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.datasets.dataset import Dataset
from cloud.evaluation.adversary import Descent, Reach, attack, distances
from cloud.evaluation.judgements import Judgements, judge, open_tail, tail_scores
from cloud.evaluation.robustness_report import altered
from shared.bundles.bundle import Bundle, amend_bundle
from shared.bundles.manifest import TAIL
from shared.bundles.robustness import Adversary
from shared.errors import DataError
from shared.features.novelty import NOVELTY, Novelty, summary
from shared.splitnet.torch_runtime import rebuilt_tail
from tests.cloud.datasets.makers import part, sample, save
from tests.fleet.rounds.plants import SIZE, make_present

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("one_thread")]

EVERYTHING_UP = {"pass_below": 0.0, "reject_from": 1.0, "cloud_reject_from": 0.5}


@pytest.fixture(scope="module")
def blots(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("blots")
    samples = [
        sample(
            save(folder / f"{n}.png", part(n, defective=n % 3 > 0, size=SIZE)),
            part=str(n),
            split="test",
            target=float(n % 3 > 0),
        )
        for n in range(12)
    ]
    return Dataset("blots", "none", tuple(samples))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle of a real network, whose gate sends everything up."""
    folder = tmp_path_factory.mktemp("exported")
    _, bundle = make_present(folder)
    return amend_bundle(bundle, {"gate": EVERYTHING_UP}, folder / "up")


@pytest.fixture(scope="module")
def judged(exported: Bundle, blots: Dataset) -> Judgements:
    return judge(exported, blots, "onnx")


@pytest.fixture(scope="module")
def found(exported: Bundle, blots: Dataset, judged: Judgements) -> Adversary:
    return attack(exported, blots, judged, runtime="onnx")


def test_a_gradient_lowers_scores_more_than_chance_does(found: Adversary) -> None:
    assert found.pictures == 8
    assert found.lowered > found.by_chance >= 0
    assert found.worst.score < found.chance.score <= found.sent.score
    assert found.worst.passed >= found.chance.passed >= found.sent.passed
    assert 0 < found.changed <= 1


def test_answers_count_every_picture_once(found: Adversary) -> None:
    for said in (found.sent, found.chance, found.worst):
        assert said.passed + said.reviewed + said.rejected == found.pictures


def test_the_same_seed_finds_the_same(
    exported: Bundle, blots: Dataset, judged: Judgements, found: Adversary
) -> None:
    assert attack(exported, blots, judged, runtime="onnx") == found


def test_unaltered_symbols_are_scored_as_in_the_evaluation(
    exported: Bundle, blots: Dataset, judged: Judgements, found: Adversary
) -> None:
    scores = tail_scores(open_tail(exported, "onnx", 1), judged.arrived[blots.labels])
    assert found.sent.score == pytest.approx(float(np.median(scores)))


def test_no_symbol_moves_by_more_than_its_step_nor_past_the_limit(
    exported: Bundle, judged: Judgements
) -> None:
    step = np.array([1, 2, 3] * 4)
    limit = int(np.abs(judged.arrived).max())
    reach = Reach(judged.arrived, step, limit)
    tail = rebuilt_tail(exported.read(TAIL))
    lowest = Descent(tail, reach, None).lowest()
    apart = np.abs(lowest.astype(int) - judged.arrived)
    assert lowest.dtype == np.int8
    assert (apart.max(axis=(1, 2, 3)) <= step).all()
    assert apart.any()
    assert np.abs(lowest).max() <= limit


@given(st.integers(1, 12), st.integers(1, 127), st.integers(0, 2**31))
@settings(max_examples=40)
def test_reach_never_leaves_what_the_codec_can_send(step: int, limit: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    sent = rng.integers(-limit, limit + 1, (2, 3, 2, 2)).astype(np.int8)
    steps = rng.integers(-1, 2, sent.shape).astype(np.int8)
    moved = Reach(sent, np.array([step, 1]), limit).moved(steps)
    assert np.abs(moved.astype(int)).max() <= limit
    assert (np.abs(moved.astype(int) - sent)[0] <= step).all()
    assert np.array_equal(moved[steps == 0], sent[steps == 0])


def test_one_that_hides_is_known_wherever_the_unaltered_was(
    exported: Bundle, blots: Dataset, judged: Judgements, tmp_path: Path
) -> None:
    """Novelty whose one direction is the mean of all channels: it allows what came, and half as
    far again."""
    means = summary(judged.arrived)[:, : judged.arrived.shape[1]].mean(axis=1)
    reach = 0.75 * float(np.ptp(means)) + 0.05
    directions = np.zeros((1, 2 * judged.arrived.shape[1]), np.float32)
    directions[0, : judged.arrived.shape[1]] = 1 / judged.arrived.shape[1] / reach
    centre = np.array([(means.max() + means.min()) / 2 / reach], np.float32)
    novelty = Novelty(exported.manifest.pair, 0.01, directions, centre)
    careful = amend_bundle(exported, {}, tmp_path / "careful", {NOVELTY: novelty.to_bytes()})
    found = attack(careful, blots, judged.seen_by(novelty), runtime="onnx")
    assert found.worst.novel == 0
    assert found.worst.score < found.sent.score
    assert [row["symbols"] for row in altered(found).rows] == [
        "as sent",
        "by chance",
        "by gradient",
    ]


def test_the_gradient_of_novelty_is_that_of_its_distance(judged: Judgements) -> None:
    rng = np.random.default_rng(0)
    channels = judged.arrived.shape[1]
    novelty = Novelty(
        "0" * 16,
        0.01,
        rng.normal(0, 1, (5, 2 * channels)).astype(np.float32),
        rng.normal(0, 1, 5).astype(np.float32),
    )
    same = distances(novelty, torch.from_numpy(judged.arrived.astype(np.float32))).numpy()
    np.testing.assert_allclose(same, novelty.distances(judged.arrived), rtol=1e-3, atol=1e-3)


def test_where_no_defect_is_sent_up_that_is_said(
    exported: Bundle, blots: Dataset, judged: Judgements
) -> None:
    good = replace(blots, samples=tuple(replace(one, target=0.0) for one in blots.samples))
    with pytest.raises(DataError, match="the gate sends none up") as told:
        attack(exported, good, judged, runtime="onnx")
    assert "--adversarial" in str(told.value.fix)
