"""A limit for what is unlike anything seen, and what certify makes of it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cloud.datasets.dataset import Dataset
from cloud.datasets.readers import read
from cloud.evaluation.certification import CertificateTerms, Certified, certify
from cloud.evaluation.cli import certify as certify_command
from cloud.evaluation.evaluation import evaluate
from cloud.evaluation.novelty import fit_novelty
from shared.bundles.bundle import Bundle
from shared.certification.gate import Gate
from shared.certification.scores import NovelPictures, Scored
from shared.certification.thresholds import SystemLimits
from shared.errors import CertificateError, SettingsError
from shared.features.novelty import NOVELTY, summary
from tests.cloud.evaluation.test_certification import bundle_of, calibrate, few, plant

__all__ = ["plant"]

PAIR = "0" * 16
CHANNELS = 3
LIMITS = SystemLimits(escape=0.1, false_reject=0.1, delta=0.05)


def pictures(rng: np.random.Generator, parts: int, each: int = 1) -> NDArray[np.int8]:
    """Symbols of parts: a part has a level, and each of its pictures has places that differ."""
    level = np.repeat(rng.normal(0, 12, (parts, CHANNELS)), each, axis=0)
    places = level[:, :, None, None] + rng.normal(0, 6, (parts * each, CHANNELS, 4, 4))
    return np.asarray(np.clip(np.rint(places), -127, 127), np.int8)


@pytest.mark.parametrize(("share", "parts", "each"), [(0.1, 30, 1), (0.05, 20, 3), (0.02, 120, 1)])
def test_parts_to_come_seem_novel_no_more_often_than_was_allowed(
    share: float, parts: int, each: int
) -> None:
    rng = np.random.default_rng(7)
    shown = summary(pictures(rng, 200))
    part, later = np.repeat(np.arange(parts), each), np.repeat(np.arange(200), each)
    alarms = []
    for _ in range(200):
        novelty = fit_novelty(shown, summary(pictures(rng, parts, each)), part, share, PAIR)
        strange = novelty.novel(pictures(rng, 200, each))
        alarms.append(len(np.unique(later[strange])) / 200)
    spread = float(np.std(alarms)) / math.sqrt(len(alarms))
    assert np.mean(alarms) <= share + 3 * spread
    # It is no idle limit either: of so many parts, hardly less is possible.
    assert np.mean(alarms) >= share - 1 / (parts + 1) - 3 * spread


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 9999), st.integers(1, 80), st.integers(1, 3), st.floats(0.01, 0.5))
def test_of_the_parts_that_set_the_limit_at_most_the_share_exceed_it(
    seed: int, parts: int, each: int, share: float
) -> None:
    rng = np.random.default_rng(seed)
    unseen, part = pictures(rng, parts, each), np.repeat(np.arange(parts), each)
    needed = math.ceil(1 / share - 1e-9) - 1
    if parts < needed:
        with pytest.raises(CertificateError, match=f"{needed} are enough"):
            fit_novelty(summary(pictures(rng, 50)), summary(unseen), part, share, PAIR)
        return
    novelty = fit_novelty(summary(pictures(rng, 50)), summary(unseen), part, share, PAIR)
    assert len(np.unique(part[novelty.novel(unseen)])) <= share * (parts + 1)


@pytest.mark.parametrize("count", [10, 200])
def test_what_lies_far_from_all_that_was_shown_is_novel(count: int) -> None:
    rng = np.random.default_rng(0)
    unseen = pictures(rng, 100)
    novelty = fit_novelty(
        summary(pictures(rng, count)), summary(unseen), np.arange(100), 0.01, PAIR
    )
    assert novelty.novel(np.full((1, CHANNELS, 4, 4), 120, np.int8)).all()
    checked = np.where(np.indices((4, 4)).sum(axis=0) % 2, 100, -100)
    assert novelty.novel(np.broadcast_to(checked, (1, CHANNELS, 4, 4)).astype(np.int8)).all()


def test_pictures_that_are_all_alike_give_finite_numbers() -> None:
    same = np.zeros((20, CHANNELS, 4, 4), np.int8)
    novelty = fit_novelty(summary(same), summary(same), np.arange(20), 0.1, PAIR)
    assert not novelty.novel(same).any()
    assert novelty.novel(same + np.int8(9)).all()
    assert np.isfinite(novelty.directions).all()


@given(st.data())
def test_a_novel_picture_is_never_passed_or_rejected_and_always_reviewed(
    data: st.DataObject,
) -> None:
    count = data.draw(st.integers(1, 12))
    flags = st.lists(st.booleans(), min_size=count, max_size=count)
    shares = st.lists(st.floats(0, 1), min_size=count, max_size=count)
    edge, cloud = (np.array(data.draw(shares)) for _ in range(2))
    strange = np.array(data.draw(flags))
    low, high = sorted((data.draw(st.floats(0, 1)), data.draw(st.floats(0, 1))))
    middle = data.draw(st.sampled_from([None, low]))
    gate = Gate(low, high, high, 1.0, middle, escalates=data.draw(st.booleans()))
    plain = Scored(np.arange(count), edge, cloud)
    checked = Scored(np.arange(count), edge, cloud, NovelPictures(strange, strange))
    for with_cloud in (True, False):
        assert checked.passed(gate, with_cloud=with_cloud) <= plain.passed(
            gate, with_cloud=with_cloud
        )
        assert checked.rejected(gate, with_cloud=with_cloud) <= plain.rejected(
            gate, with_cloud=with_cloud
        )
    np.testing.assert_array_equal(checked.reviewed(gate), plain.reviewed(gate) | strange)
    np.testing.assert_array_equal(checked.unsure(gate), plain.unsure(gate) | strange)


def run(bundle: Bundle, plant: Path, dataset: Dataset, share: float) -> Certified:
    return certify(
        bundle,
        dataset,
        CertificateTerms(LIMITS, novelty=share),
        split="calibrate",
        created="2026-11-22T10:00:00Z",
        shown=read(str(plant)),
        runtime="onnx",
    )


def test_the_check_costs_reviews_and_changes_no_promise(tmp_path: Path, plant: Path) -> None:
    bundle = bundle_of(tmp_path / "bundle", plant)
    without = run(bundle, plant, calibrate(plant), 0).certificate
    checked = run(bundle, plant, calibrate(plant), 0.1).certificate
    assert without.novelty is None
    assert checked.novelty is not None
    assert (checked.novelty.share, checked.novelty.parts) == (0.1, 120)
    assert 1 <= checked.novelty.seen <= 12
    # What it costs to review them may make escalating too dear; the thresholds stay.
    assert checked.gate.model_copy(update={"escalates": True}) == without.gate
    for before, after in (
        (without.edge_escapes, checked.edge_escapes),
        (without.edge_overkill, checked.edge_overkill),
    ):
        assert (after.limit, after.counted) == (before.limit, before.counted)
        assert after.seen <= before.seen
    assert checked.review_share is not None
    assert without.review_share is not None
    assert checked.review_share > without.review_share
    assert checked.review is not None
    assert without.review is not None
    assert checked.review.cost_with_cloud > without.review.cost_with_cloud


def test_too_few_parts_for_the_share_leave_the_check_out_and_say_so(
    tmp_path: Path, plant: Path
) -> None:
    bundle = bundle_of(tmp_path / "bundle", plant)
    found = run(bundle, plant, few(calibrate(plant), 46, 46), 0.01)
    assert found.novelty is None
    assert found.certificate.novelty is None
    assert "92 parts are too few" in found.left_out
    assert "99 are enough" in found.left_out


def test_data_without_the_pictures_of_the_training_leaves_the_check_out(
    tmp_path: Path, plant: Path
) -> None:
    bundle = bundle_of(tmp_path / "bundle", plant)
    found = certify(
        bundle,
        calibrate(plant),
        CertificateTerms(LIMITS),
        split="calibrate",
        created="2026-11-22T10:00:00Z",
        shown=calibrate(plant),
        runtime="onnx",
    )
    assert found.novelty is None
    assert "the data has 0 of the pictures that bundle was trained on" in found.left_out


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_what_is_no_share_is_refused(share: float) -> None:
    with pytest.raises(SettingsError, match="the share of novel parts is"):
        CertificateTerms(LIMITS, novelty=share)


def told(
    capsys: pytest.CaptureFixture[str], bundle: Path, plant: Path, share: float
) -> tuple[str, Bundle]:
    certify_command(
        bundle, str(plant), "calibrate", 0.1, 0.1, novelty_share=share, runtime="onnx", seed=0
    )
    return " ".join(capsys.readouterr().out.split()), Bundle.open(bundle)


@pytest.mark.parametrize("name", ["bundle", "bundle.zip"])
def test_the_command_writes_the_numbers_and_takes_them_away_again(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, plant: Path, name: str
) -> None:
    path = bundle_of(tmp_path / name, plant).path
    printed, written = told(capsys, path, plant, 0.05)
    assert "at most 5 % of parts like these, on average, look like nothing" in printed
    assert written.novelty is not None
    found = evaluate(written, calibrate(plant), "calibrate", "onnx")
    novel = written.novelty.novel(found.judgements.symbols)
    assert found.figures.novel_share == pytest.approx(novel.mean())
    assert 0 < novel.mean() <= 0.05
    # Certified again, with numbers that nobody can read: they are made anew.
    (path / NOVELTY).write_bytes(b"words") if path.is_dir() else None
    printed, written = told(capsys, path, plant, 0)
    assert "nothing looks for parts unlike anything seen: it was not asked for" in printed
    assert written.novelty is None
    assert evaluate(written, calibrate(plant), "calibrate", "onnx").figures.novel_share is None
