"""What a gate would have meant, and what of that nobody can know."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.thresholds.controls import contradictions
from cloud.thresholds.outcome import outcome_of
from cloud.thresholds.parts import KnownParts
from cloud.thresholds.promise import PromiseRange
from shared.bundles.scores import ScoredParts
from shared.certification.certificate import interval
from shared.certification.gate import Gate
from shared.certification.prices import Prices, cost_of
from tests.bundles import make_bundle
from tests.cloud.thresholds.certified import drawn_scores

GATE = Gate(0.2, 0.8, 0.6, 0.5, 0.3)
PRICES = Prices()
SHARES = st.floats(0.0, 1.0)


@pytest.fixture(scope="module")
def tested(tmp_path_factory: pytest.TempPathFactory) -> ScoredParts:
    return drawn_scores(make_bundle(tmp_path_factory.mktemp("outcome") / "tiny"))


def gates() -> st.SearchStrategy[Gate]:
    pairs = st.tuples(SHARES, SHARES).map(sorted)
    return st.builds(
        lambda edge, cloud, review: Gate(
            edge[0], edge[1], cloud[1], 0.5, cloud[0] if review else None
        ),
        pairs,
        pairs,
        st.booleans(),
    )


@given(gates())
def test_where_everything_is_known_both_ends_are_what_the_scores_say(
    tested: ScoredParts, gate: Gate
) -> None:
    parts = KnownParts.tested(tested)
    found = outcome_of(parts, gate, PRICES, 0.05)
    bad, good = tested.kinds
    assert found.escapes.least == found.escapes.most == bad.passed(gate, with_cloud=True)
    assert found.false_rejects.most == good.rejected(gate, with_cloud=True)
    assert found.reviews.most == bad.parts_reviewed(gate) + good.parts_reviewed(gate)
    assert found.unknown == 0
    low, high = interval(found.escapes.most, bad.parts, 0.05)
    assert (found.escapes.low, found.escapes.high) == (low, high)
    each = parts.escalation_bytes
    assert found.cost[0] == pytest.approx(cost_of(gate, tested.kinds, PRICES, each))


@given(gates(), st.integers(0, 2**32 - 1), st.floats(0.0, 1.0))
def test_what_the_cloud_was_never_asked_lies_between_both_ends(
    tested: ScoredParts, gate: Gate, seed: int, hidden: float
) -> None:
    everything = KnownParts.tested(tested)
    asked = np.random.default_rng(seed).random(len(tested.part)) >= hidden
    found = outcome_of(replace(everything, asked=asked), gate, PRICES, 0.05)
    truth = outcome_of(everything, gate, PRICES, 0.05)
    for name in ("escapes", "false_rejects", "reviews"):
        guess, known = getattr(found, name), getattr(truth, name)
        assert guess.least <= known.least <= known.most <= guess.most
        assert guess.low <= known.low < known.high <= guess.high
    assert found.cost[0] - 1e-9 <= truth.cost[0] <= found.cost[1] + 1e-9
    assert found.escalated == truth.escalated


def test_a_part_of_several_pictures_counts_as_soon_as_one_of_them_errs(
    tested: ScoredParts,
) -> None:
    once = KnownParts.tested(tested)
    doubled = replace(
        once,
        part=np.concatenate([once.part, once.part]),
        edge=np.concatenate([once.edge, np.zeros(len(once.part))]),
        cloud=np.concatenate([once.cloud, once.cloud]),
        asked=np.concatenate([once.asked, once.asked]),
        encoded=np.concatenate([once.encoded, once.encoded]),
        novel=replace(
            once.novel,
            edge=np.concatenate([once.novel.edge] * 2),
            cloud=np.concatenate([once.novel.cloud] * 2),
        ),
    )
    assert outcome_of(doubled, GATE, PRICES, 0.05).escapes.most == once.bad


def test_without_parts_nothing_is_known_and_nothing_fails() -> None:
    found = outcome_of(KnownParts.none(), GATE, PRICES, 0.05)
    assert (found.escapes.parts, found.escapes.low, found.escapes.high) == (0, 0.0, 1.0)
    assert found.cost == (0.0, 0.0)


def test_control_parts_contradict_a_gate_only_where_no_answer_of_the_cloud_could_save_it(
    tmp_path: Path,
) -> None:
    tested = drawn_scores(make_bundle(tmp_path / "tiny"))
    parts = KnownParts.tested(tested)
    promised = PromiseRange("certified", 0.1, 0.1, 0.9, 0.9, 0.1, 0.1, 0.05)
    everything_passes = Gate(1.0, 1.0, 1.0, 0.5, 1.0)
    (told,) = contradictions(parts, everything_passes, promised)
    assert f"{parts.bad} of {parts.bad}" in told
    unasked = replace(parts, asked=np.zeros(len(parts.part), bool))
    everything_sent = Gate(0.0, 1.0, 1.0, 0.5, 1.0)
    assert contradictions(unasked, everything_sent, promised) == []
    assert contradictions(parts, everything_passes, PromiseRange("nothing")) == []
