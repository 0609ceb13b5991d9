"""What a bundle is said to be worth: judged as it will run, counted by picture and by part."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cloud.datasets.dataset import Dataset
from cloud.evaluation.evaluation import evaluate
from cloud.evaluation.groups import Group
from cloud.evaluation.judgements import judge
from cloud.evaluation.scorecard import Evaluation
from cloud.evaluation.scoring import OVERKILL, score
from cloud.evaluation.verdicts import verdicts
from cloud.statistics.metrics import auroc
from shared.bundles.bundle import Bundle
from shared.bundles.manifest import TAIL
from shared.certification.gate import Gate
from shared.contracts import Decision
from shared.features.codec import LADDER
from shared.features.transmission import BATCH
from shared.runtime.base import open_runtime
from tests.bundles import BAD, GOOD, KINDS, UNSURE_BAD, UNSURE_GOOD, make_bundle
from tests.cloud.datasets.makers import save
from tests.cloud.evaluation.judged import judgements, labelled, shades
from tests.cloud.statistics.test_metrics import Scored, scored

PASS, ESCALATE, REJECT = 0.1, 0.5, 0.9
"""Scores that the tiny bundle's gate passes, escalates and rejects at the edge."""


def test_a_bundle_is_judged_as_it_will_run(tiny: Bundle, tmp_path: Path) -> None:
    shown = shades(
        tmp_path,
        *((GOOD, False), (UNSURE_GOOD, False), (UNSURE_BAD, True), (BAD, True)),
        *((UNSURE_GOOD, True), (BAD, False)),
    )
    found, judged = evaluate(tiny, shown, "test", "onnx")
    assert (found.n_images, found.n_parts, found.n_defects) == (6, 6, 3)
    assert (found.n_good_parts, found.n_defective_parts) == (3, 3)
    assert found.system.escape_rate == pytest.approx(1 / 3)
    assert found.system.overkill_rate == pytest.approx(1 / 3)
    assert found.system.escalation_rate == pytest.approx(1 / 2)
    assert found.system.accuracy == found.cloud.accuracy == pytest.approx(4 / 6)
    assert (found.system.escapes.wrong, found.system.escapes.parts) == (1, 3)
    assert found.edge.escape_rate == 0
    sent = judged.encoded[[1, 2, 4]]
    assert found.system.bytes_per_part == pytest.approx(sent.sum() / 6)
    assert found.system.bytes_per_escalation_p50 == pytest.approx(np.median(sent))
    assert found.system.bytes_per_escalation_p95 == pytest.approx(np.percentile(sent, 95))
    assert found.jpeg.bytes_p50 == np.median(judged.jpeg) > 0


def test_batches_say_what_single_pictures_say(tiny: Bundle, line: Dataset) -> None:
    assert len(line.samples) > BATCH
    judged = judge(tiny, line, "onnx")
    tail, gate = open_runtime("onnx", tiny.read(TAIL)), tiny.manifest.gate.gate
    for index in range(len(line.samples)):
        body = tiny.codec.encode(judged.symbols[index])
        maps, scores = tail.run(tiny.codec.decode(body)[np.newaxis])
        assert judged.encoded[index] == len(body)
        assert judged.cloud[index] == pytest.approx(
            gate.cloud_score(judged.edge[index], float(scores[0])), abs=1e-5
        )
        np.testing.assert_allclose(judged.cloud_maps[index], maps[0, 0], atol=1e-5)


def test_what_exceeds_the_cap_is_judged_as_coarse_as_it_is_sent(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "tiny", height=128, width=128)
    noise = np.random.default_rng(0).integers(0, 256, (6, 128, 128), np.uint8)
    shown = shades(tmp_path, *[(GOOD, n % 2 == 0) for n in range(6)])
    for one, pixels in zip(shown.samples, noise, strict=True):
        save(one.image, pixels)
    free = judge(bundle, shown, "onnx")
    features = bundle.manifest.features.model_copy(update={"cap_bytes": 64})
    manifest = bundle.manifest.model_copy(update={"features": features})
    capped = judge(Bundle(bundle.path, manifest, b"capped"), shown, "onnx")
    assert free.encoded.max() > 64 >= capped.encoded.max()
    assert set(capped.coarseness.tolist()) <= set(LADDER)
    coarse = capped.coarseness > 1
    assert coarse.any()
    assert (capped.cloud[~coarse] == free.cloud[~coarse]).all()
    for index in np.flatnonzero(coarse).tolist():
        assert (capped.cloud_maps[index] != free.cloud_maps[index]).any()
    said = replace(capped, edge=np.full(6, ESCALATE))
    assert score(bundle, shown, "test", said).system.sent_coarser == pytest.approx(coarse.mean())


def test_the_report_has_the_keys_that_other_programs_read(tiny: Bundle, line: Dataset) -> None:
    told = msgspec.to_builtins(evaluate(tiny, line, "test", "onnx").figures)
    assert keys(told) >= REPORT
    assert msgspec.convert(told, Evaluation).system.escape_rate == told["system"]["escape_rate"]


REPORT = {
    *("n_images", "n_parts", "n_defects", "jpeg.bytes_p50"),
    *(
        f"{judge}.{name}"
        for judge in ("edge", "cloud", "system")
        for name in (
            *("auroc", "average_precision", "accuracy", "escape_rate", "overkill_rate"),
            *("escapes.wrong", "escapes.parts", "overkill.wrong", "overkill.parts"),
        )
    ),
    *("system.escalation_rate", "system.bytes_per_part"),
    *("system.bytes_per_escalation_p50", "system.bytes_per_escalation_p95"),
}


def keys(tree: dict[str, object], prefix: str = "") -> set[str]:
    found: set[str] = set()
    for key, value in tree.items():
        found |= keys(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key}
    return found


@given(scored(), st.integers(0, 2**31))
def test_what_edge_and_cloud_decide_adds_up(tiny: Bundle, case: Scored, seed: int) -> None:
    assume(case.labels.any() and not case.labels.all())
    rng = np.random.default_rng(seed)
    cloud, encoded = rng.random(len(case.labels)), rng.integers(50, 500, len(case.labels))
    judged = judgements(case.scores.tolist(), cloud.tolist(), encoded.tolist())
    found = score(tiny, labelled(case.labels.tolist()), "test", judged).system
    rejected = [
        c >= 0.5 if 0.2 <= e < 0.8 else e >= 0.8 for e, c in zip(case.scores, cloud, strict=True)
    ]
    pairs = list(zip(rejected, case.labels, strict=True))
    assert found.escape_rate == pytest.approx(np.mean([not r for r, bad in pairs if bad]))
    assert found.overkill_rate == pytest.approx(np.mean([r for r, bad in pairs if not bad]))
    assert found.accuracy == pytest.approx(np.mean([r == bad for r, bad in pairs]))
    sent = encoded[(case.scores >= 0.2) & (case.scores < 0.8)]
    assert found.escalation_rate == pytest.approx(len(sent) / len(encoded))
    assert found.bytes_per_part == pytest.approx(sent.sum() / len(encoded))
    assert (found.bytes_per_escalation_p50 is None) == (len(sent) == 0)


@given(scored(), st.integers(0, 2**31))
def test_moving_the_systems_threshold_leaves_the_gate_as_it_is(case: Scored, seed: int) -> None:
    gate = Gate(0.2, 0.8, 0.5)
    cloud = np.random.default_rng(seed).random(len(case.labels))
    said = verdicts(gate, case.scores, cloud)
    threshold = 0.3
    moved = verdicts(Gate(0.2, 0.8, threshold), case.scores, cloud)
    assert ((said.system.movable >= threshold) == moved.system.rejected).all()
    assert (said.escalated == moved.escalated).all()


def test_the_systems_scores_rank_by_who_decided_and_then_by_their_score() -> None:
    said = verdicts(
        Gate(0.2, 0.8, 0.5),
        np.array([0.19, 0.05, 0.3, 0.7, 0.81, 0.95]),
        np.array([0.99, 0.99, 0.6, 0.4, 0.01, 0.01]),
    )
    assert np.argsort(said.system.scores).tolist() == [1, 0, 3, 2, 4, 5]


def test_the_point_at_5_percent_overkill_is_the_best_that_a_threshold_reaches(
    tiny: Bundle,
) -> None:
    labels = [False] * 40 + [True] * 4
    # Two of the good may be rejected; the third highest stands above one of the defective.
    cloud = [0.9, 0.8, 0.4, *np.linspace(0.01, 0.2, 37), 0.95, 0.5, 0.45, 0.3]
    found = score(tiny, labelled(labels), "test", judgements([ESCALATE] * 44, cloud))
    for judge_ in (found.cloud, found.system):
        point = judge_.at_overkill
        assert point is not None
        assert 0.4 < point.threshold < 0.45
        assert point.overkill_rate == pytest.approx(OVERKILL)
        assert point.escape_rate == pytest.approx(1 / 4)
    assert found.edge.at_overkill is not None
    assert found.edge.at_overkill.escape_rate == 1


def test_what_the_edge_has_passed_or_rejected_no_threshold_of_the_cloud_brings_back(
    tiny: Bundle,
) -> None:
    labels = [False] * 20 + [True] * 2
    passed = [ESCALATE] * 20 + [PASS, ESCALATE]
    perfect = [0.1] * 20 + [0.9, 0.9]
    found = score(tiny, labelled(labels), "test", judgements(passed, perfect)).system.at_overkill
    assert found is not None
    assert found.escape_rate == pytest.approx(1 / 2)
    two_rejected = [REJECT, REJECT, *passed[2:]]
    judged = judgements(two_rejected, perfect)
    assert score(tiny, labelled(labels), "test", judged).system.at_overkill is None


def test_a_part_with_one_wrong_picture_is_a_wrong_part(tiny: Bundle) -> None:
    parts = ["a", "a", "a", "b", "c", "c", "d"]
    labels = [True, True, True, True, False, False, False]
    edge = [PASS, REJECT, PASS, REJECT, REJECT, PASS, PASS]
    found = score(tiny, labelled(labels, parts), "test", judgements(edge, edge)).system
    assert found.escape_rate == pytest.approx(2 / 4)
    assert (found.escapes.wrong, found.escapes.parts, found.escapes.rate) == (1, 2, 0.5)
    assert found.overkill_rate == pytest.approx(1 / 3)
    assert (found.overkill.wrong, found.overkill.parts) == (1, 2)


def test_a_score_that_is_not_a_number_counts_as_the_surest(tiny: Bundle) -> None:
    labels = [False, False, True]
    judged = judgements([PASS, PASS, math.nan], [0.1, 0.1, math.nan])
    found = score(tiny, labelled(labels), "test", judged)
    assert found.edge.auroc == found.cloud.auroc == found.system.auroc == 1
    assert found.system.escape_rate == 0
    assert found.system.escalation_rate == pytest.approx(1 / 3)


@pytest.mark.parametrize("bad", [True, False])
def test_parts_of_one_kind_alone_leave_figures_out_rather_than_invent_them(
    tiny: Bundle, tmp_path: Path, bad: bool
) -> None:
    shown = shades(tmp_path, (GOOD, bad), (BAD, bad))
    found = evaluate(tiny, shown, "test", "onnx").figures
    for absent in (found.system.auroc, found.system.auroc_interval, found.rates):
        assert absent is None
    assert found.system.at_overkill is None
    rates = (found.system.escape_rate, found.system.overkill_rate)
    assert rates == ((1 / 2, None) if bad else (None, 1 / 2))
    assert b"NaN" not in msgspec.json.encode(found)


def test_defects_are_counted_by_kind_and_by_size(tiny: Bundle, line: Dataset) -> None:
    kinds = ["hole" if int(one.part) % 8 == 0 else "crack" for one in line.samples]
    named = tuple(
        replace(one, defect=kind if one.defective else "good")
        for one, kind in zip(line.samples, kinds, strict=True)
    )
    found = evaluate(tiny, replace(line, samples=named), "test", "onnx").figures
    rows = {(group.kind, group.size): group for group in found.groups}
    # Masks of 4 × 4 and 20 × 20 of 64 × 64: 0.4 and 9.8 %.
    assert set(rows) == {
        *((None, size) for size in ("any", "larger", "smaller")),
        *(("hole", size) for size in ("any", "smaller")),
        *(("crack", size) for size in ("any", "larger")),
    }
    assert counted(rows[None, "any"]) == counted(rows["hole", "any"]) + counted(
        rows["crack", "any"]
    )
    whole = rows[None, "any"]
    assert whole.pictures == found.n_defects
    assert found.system.escape_rate == pytest.approx(whole.system.escapes / whole.pictures)
    assert whole.system.recall == pytest.approx(1 - whole.system.escapes / whole.pictures)
    assert whole.edge.escapes == 0
    assert whole.system_at_overkill is not None
    assert found.system.at_overkill is not None
    assert whole.system_at_overkill.recall == pytest.approx(
        1 - found.system.at_overkill.escape_rate
    )


def counted(group: Group) -> int:
    return group.pictures + 1000 * group.system.escapes


def test_maps_are_compared_with_masks_where_there_are_some(tiny: Bundle, line: Dataset) -> None:
    found = evaluate(tiny, line, "test", "onnx").figures
    for half in (found.edge, found.cloud):
        assert half.pixels is not None
        assert half.pixels.pictures == len(line.samples)
        assert half.pixels.regions == found.n_defects
        assert 0 <= half.pixels.pro <= 1
    assert found.system.pixels is None
    unmasked = replace(line, samples=tuple(replace(one, mask=None) for one in line.samples))
    assert evaluate(tiny, unmasked, "test", "onnx").figures.edge.pixels is None


def test_a_tail_that_names_kinds_is_asked_how_often_it_is_right(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "kinds", kinds=True)
    shown = shades(tmp_path, (GOOD, False), (GOOD, False), (BAD, True), (UNSURE_GOOD, True))
    named = replace(
        shown,
        samples=tuple(
            replace(one, defect=KINDS[0] if one.defective else "good") for one in shown.samples
        ),
    )
    judged = judge(bundle, named, "onnx")
    assert judged.kinds is not None
    assert judged.kinds.shape == (4, len(KINDS))
    right = judged.kinds[2:].argmax(axis=1) == 0
    assert not right.all()
    assert score(bundle, named, "test", judged).kind_accuracy == pytest.approx(right.mean())


def test_the_edges_own_threshold_decides_its_accuracy(tiny: Bundle) -> None:
    record = tiny.manifest.training.model_copy(update={"metrics": {"edge_threshold": 0.25}})
    told = Bundle(tiny.path, tiny.manifest.model_copy(update={"training": record}), b"told")
    judged = judgements([0.1, 0.3, 0.3, 0.9], [0.5] * 4)
    dataset = labelled([False, True, True, True])
    assert score(told, dataset, "test", judged).edge.accuracy == 1
    assert score(tiny, dataset, "test", judged).edge.accuracy == pytest.approx(1 / 2)


def test_the_gate_and_the_verdicts_agree(tiny: Bundle) -> None:
    gate = tiny.manifest.gate.gate
    edge = np.linspace(0, 1, 41)
    said = verdicts(gate, edge, edge[::-1])
    for index, (head, both) in enumerate(zip(edge, edge[::-1], strict=True)):
        decision = gate.decide(head)
        assert said.edge.passed[index] == (decision == Decision.PASS)
        assert said.edge.rejected[index] == (decision == Decision.REJECT)
        assert said.cloud.rejected[index] == (gate.conclude(both) == "reject")
    assert (said.system.passed != said.system.rejected).all()
    assert auroc(said.system.scores, said.edge.rejected) == 1
