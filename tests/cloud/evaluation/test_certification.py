"""From pictures of parts to a gate with a certificate, or to a refusal that helps."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.datasets.dataset import Dataset
from cloud.datasets.fingerprints import fingerprints, known, seen_pictures
from cloud.datasets.readers import read
from cloud.datasets.seen_pictures import require_unseen
from cloud.evaluation.certification import CertificateTerms, Certified, certify, weights_compared
from cloud.evaluation.cli import certify as certify_command
from cloud.thresholds.promise import chosen_again
from shared.bundles.bundle import Bundle, amend_bundle, write_bundle
from shared.bundles.manifest import HEAD, TRAINED, TUNED
from shared.certification.certificate import most_allowed, upper_bound
from shared.certification.gate import expit
from shared.certification.prices import Prices
from shared.certification.shortage import offered
from shared.certification.thresholds import SystemLimits
from shared.errors import (
    BundleError,
    CertificateError,
    DataError,
    SettingsError,
    TooFewParts,
    TrainingError,
)
from tests.bundles import make_bundle, picture
from tests.cloud.datasets.makers import save
from tests.support.commands import splitsight

LIMITS = SystemLimits(escape=0.1, false_reject=0.1, delta=0.05)
TERMS = CertificateTerms(LIMITS)
PARTS = 60
"""Of each kind: with 46 and one error 10 % can be promised, with 61 and two."""


def parts_of(
    folder: Path, kind: str, shades: Sequence[int], *, split: str = "calibrate"
) -> list[str]:
    """Pictures of one part each, and their rows in a manifest."""
    rows = []
    for number, shade in enumerate(shades):
        name = f"{kind}-{split}-{number}"
        # A pixel that differs makes every file another one.
        pixels = picture(shade)
        pixels[0, 0], pixels[0, 1] = number % 256, len(kind) + len(split)
        save(folder / f"{name}.png", pixels)
        rows.append(f"{name}.png,{kind},{name},{split}")
    return rows


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set whose scores are known: the tiny bundle's follow the brightness.

    Good parts lie at 60 to 119, one at 150; defective ones at 135 to 194, the darkest at 116.
    """
    folder = tmp_path_factory.mktemp("certification") / "plant"
    rows = [
        "image,defect,part,split",
        *parts_of(folder, "good", [*range(60, 60 + PARTS - 1), 150]),
        *parts_of(folder, "crack", [116, *range(135, 135 + PARTS - 1)]),
        *parts_of(folder, "good", range(60, 70), split="train"),
        *parts_of(folder, "crack", range(150, 160), split="train"),
    ]
    (folder / "manifest.csv").write_text("\n".join(rows))
    return folder


def bundle_of(path: Path, plant: Path, *, tuned: bool | None = False) -> Bundle:
    """The tiny bundle as if trained on the plant's training parts; `tuned`: on the others too."""
    tiny = make_bundle(path.with_name("tiny"))
    dataset = read(str(plant))
    seen = seen_pictures(dataset, watched=False)
    if tuned is None:
        del seen[TUNED]
    elif not tuned:
        seen[TUNED] = seen[TRAINED]
    files = {name: tiny.read(name) for name in tiny.manifest.files}
    return write_bundle(path, tiny.manifest.model_dump(exclude={"files"}), files | seen)


@pytest.fixture
def bundle(tmp_path: Path, plant: Path) -> Bundle:
    return bundle_of(tmp_path / "bundle", plant)


def calibrate(plant: Path) -> Dataset:
    return read(str(plant)).of("calibrate")


def run(bundle: Bundle, dataset: Dataset, terms: CertificateTerms = TERMS) -> Certified:
    return certify(
        bundle,
        dataset,
        terms,
        split="calibrate",
        created="2026-11-22T10:00:00Z",
        runtime="onnx",
    )


def head_score(shade: float) -> float:
    """Of the tiny bundle."""
    return expit((shade - 127) / 10)


def of(escape: float = 0.1, false_reject: float = 0.1) -> CertificateTerms:
    return CertificateTerms(SystemLimits(escape, false_reject, 0.05))


def test_one_gate_keeps_both_promises_and_leaves_the_rest_to_a_person(
    bundle: Bundle, plant: Path
) -> None:
    found = run(bundle, calibrate(plant), of(0.05, 0.05))
    certificate, gate = found.certificate, found.certificate.gate
    # None of 60 may pass, so the darkest defective part, of 116, must not.
    assert gate.pass_below <= head_score(116)
    assert gate.cloud_pass_below is not None
    assert gate.cloud_pass_below <= gate.cloud_reject_from
    assert gate.reject_from > head_score(150)
    assert (certificate.escape, certificate.false_reject, certificate.delta) == (0.05, 0.05, 0.05)
    assert (certificate.n_defects, certificate.n_good) == (PARTS, PARTS)
    system, review = certificate.system, certificate.review
    assert system is not None
    assert review is not None
    assert (system.escapes.seen, system.escapes.counted, system.escapes.parts) == (0, 0, PARTS)
    assert (system.overkill.seen, certificate.edge_overkill.counted) == (0, 0)
    # Good parts of 116 to 118 and of 150, and defective ones up to 150: nobody can be sure.
    assert review.with_cloud.seen == pytest.approx(4 + 1 + 16, abs=5)
    assert certificate.review_share == review.with_cloud.seen / (2 * PARTS)
    assert review.with_cloud.low < certificate.review_share < review.with_cloud.high
    assert certificate.runtime == "onnx"
    assert certificate.pictures == 2 * PARTS
    assert certificate.data_hash == calibrate(plant).content_hash()
    assert certificate.head == bundle.manifest.files[HEAD].sha256
    assert (system.pair, system.weights_compared) == (bundle.manifest.pair, 1)


def test_a_site_without_a_cloud_has_the_same_promise_and_escalates_nothing(
    bundle: Bundle, plant: Path
) -> None:
    found = run(bundle, calibrate(plant), replace(TERMS, with_cloud=False))
    assert not found.certificate.gate.escalates
    assert (found.escalated, found.certificate.escape) == (0.0, 0.1)
    review = found.certificate.review
    assert review is not None
    assert review.with_cloud == review.without_cloud
    assert not found.cloud_pays


def test_where_asking_costs_more_than_looking_nothing_is_escalated(
    bundle: Bundle, plant: Path
) -> None:
    dear = replace(of(0.05, 0.05), prices=Prices(1.0, 2.0, 1e-6))
    assert not run(bundle, calibrate(plant), dear).certificate.gate.escalates


@pytest.mark.parametrize("tuned", [True, None])
def test_parts_that_chose_the_tails_weight_are_counted_more_strictly(
    tmp_path: Path, plant: Path, tuned: bool | None
) -> None:
    bundle = bundle_of(tmp_path / "bundle", plant, tuned=tuned)
    assert weights_compared(bundle, calibrate(plant)) == 4
    found = run(bundle, calibrate(plant)).certificate.system
    assert found is not None
    assert found.weights_compared == 4
    # None of 60 instead of one: delta is shared by four.
    assert found.escapes.counted == 0
    # Whoever fixes the weight beforehand pays nothing for it.
    fixed = run(bundle, calibrate(plant), replace(TERMS, tail_weight=0.5)).certificate
    assert fixed.system is not None
    assert (fixed.system.weights_compared, fixed.gate.tail_weight) == (1, 0.5)
    assert fixed.system.escapes.counted == 1


def test_who_lacks_parts_since_a_weight_was_chosen_by_them_is_told_so(
    tmp_path: Path, plant: Path
) -> None:
    bundle = bundle_of(tmp_path / "bundle", plant, tuned=True)
    with pytest.raises(TooFewParts) as caught:
        run(bundle, calibrate(plant), of(0.05, 0.05))
    assert "98.8 % confidence" in caught.value.message
    assert caught.value.fix.endswith(
        "or fix --tail-weight beforehand: these parts chose among 4, which share --delta"
    )


def test_good_parts_alone_that_have_chosen_are_counted_too(bundle: Bundle, plant: Path) -> None:
    dataset = calibrate(plant)
    good = fingerprints(s.image for s in dataset.samples if not s.defective)
    files = {name: bundle.read(name) for name in bundle.manifest.files} | {TUNED: good}
    tuned = write_bundle(bundle.path, bundle.manifest.model_dump(exclude={"files"}), files)
    assert weights_compared(tuned, dataset) == 4


def test_a_part_of_several_pictures_passes_where_one_of_them_would(
    bundle: Bundle, plant: Path
) -> None:
    dataset = calibrate(plant)
    darkest = next(s for s in dataset.samples if s.image.name == "good-calibrate-0.png")
    bad = next(s for s in dataset.samples if s.defective)
    # Its label says good, but it shows a part that another picture shows to be defective.
    joined = tuple(replace(s, part=bad.part) if s == darkest else s for s in dataset.samples)
    found = run(bundle, replace(dataset, samples=joined), of(0.05, 0.06))
    assert found.certificate.edge_escapes.parts == PARTS
    assert found.certificate.edge_overkill.parts == PARTS - 1
    assert found.certificate.gate.pass_below <= head_score(60)


def test_a_part_of_which_one_picture_was_trained_on_is_refused(bundle: Bundle, plant: Path) -> None:
    dataset = read(str(plant))
    trained = next(s for s in dataset.samples if s.split == "train")
    first, second, *others = dataset.of("calibrate").samples
    leaked = replace(trained, part=second.part, split="calibrate")
    samples = (first, second, *others, leaked)
    with pytest.raises(
        CertificateError,
        match=rf"trained on 1 of these {2 * PARTS} parts .* {second.part} \({trained.image.name}\)",
    ):
        run(bundle, replace(dataset, samples=samples))


def test_a_copy_of_a_training_picture_is_known_whatever_it_is_called(
    bundle: Bundle, plant: Path, tmp_path: Path
) -> None:
    dataset = read(str(plant))
    trained = next(s for s in dataset.samples if s.split == "train")
    copy = Path(shutil.copy(trained.image, tmp_path / "new.png"))
    samples = (*dataset.of("calibrate").samples, replace(trained, image=copy, part="new"))
    with pytest.raises(CertificateError, match=r"the first is new \(new\.png\)"):
        run(bundle, replace(dataset, samples=samples))


def test_without_a_list_of_training_pictures_there_is_no_certificate(
    tmp_path: Path, plant: Path
) -> None:
    with pytest.raises(CertificateError, match=r"tiny has no trained\.bin: nothing shows"):
        run(make_bundle(tmp_path / "tiny"), calibrate(plant))


def test_a_damaged_list_is_told(bundle: Bundle, plant: Path) -> None:
    files = {name: bundle.read(name) for name in bundle.manifest.files} | {TRAINED: b"words"}
    damaged = write_bundle(bundle.path, bundle.manifest.model_dump(exclude={"files"}), files)
    with pytest.raises(BundleError, match="5 B of fingerprints came, want a multiple of 8"):
        run(damaged, calibrate(plant))


def test_fingerprints_know_their_files_and_no_others(plant: Path) -> None:
    images = [s.image for s in read(str(plant)).samples]
    some = images[::3]
    made = fingerprints([*some, *some])
    assert len(made) == 8 * len(some)
    assert made == fingerprints(reversed(some))
    assert known(images, made).tolist() == [image in some for image in images]
    assert not known(images, b"").any()
    assert known([], made).shape == (0,)


def test_parts_that_chose_among_networks_count_as_trained_on(plant: Path) -> None:
    dataset = read(str(plant))
    train, calibrated = (
        [s.image for s in part.samples] for part in (dataset.of("train"), dataset.of("calibrate"))
    )
    apart, watched = (seen_pictures(dataset, watched=how) for how in (False, True))
    assert known(train, apart[TRAINED]).all()
    assert not known(calibrated, apart[TRAINED]).any()
    assert known(calibrated, watched[TRAINED]).all()
    assert known(calibrated, apart[TUNED]).all()


def test_what_an_earlier_training_saw_counts_as_seen(plant: Path, tmp_path: Path) -> None:
    dataset = read(str(plant))
    earlier = tmp_path / "earlier"
    earlier.mkdir()
    with pytest.raises(TrainingError, match="does not say which pictures it learned from"):
        seen_pictures(dataset, watched=False, earlier=[earlier])
    others = [s.image for s in dataset.of("calibrate").samples]
    (earlier / TRAINED).write_bytes(fingerprints(others))
    seen = seen_pictures(dataset, watched=False, earlier=[earlier])
    train = [s.image for s in dataset.of("train").samples]
    assert known([*train, *others], seen[TRAINED]).all()
    assert seen[TRAINED] == fingerprints([*train, *others])


def few(dataset: Dataset, defective: int, good: int) -> Dataset:
    bad = [s for s in dataset.samples if s.defective][:defective]
    return replace(dataset, samples=(*bad, *[s for s in dataset.samples if not s.defective][:good]))


def test_too_few_defective_parts_are_told_what_they_lack(bundle: Bundle, plant: Path) -> None:
    with pytest.raises(TooFewParts) as caught:
        run(bundle, calibrate(plant), of(escape=0.01))
    assert caught.value.message == (
        "60 defective parts are too few to promise, with 95 % confidence, that at most 1 % pass\n"
        "  needed: 299 (239 more) if none of them passes, 473 (413 more) if one "
        "does, 628 (568 more) if two do"
    )
    assert caught.value.fix == (
        "photograph more defective parts, or ask for what 60 support: --escape 0.0488 "
        "(1 pass by the gate as it is: that supports 0.0767)"
    )
    run(bundle, calibrate(plant), of(escape=0.0488))
    with pytest.raises(TooFewParts):
        run(bundle, calibrate(plant), of(escape=0.0487))


def test_the_escapes_of_the_gate_as_it_is_are_told(tmp_path: Path, plant: Path) -> None:
    bundle = bundle_of(tmp_path / "bundle", plant)
    bold = amend_bundle(
        bundle, {"gate": bundle.manifest.gate.model_copy(update={"pass_below": 0.5})}
    )
    with pytest.raises(TooFewParts) as caught:
        run(bold, few(calibrate(plant), 20, 60))
    assert caught.value.fix.endswith(
        "--escape 0.14 (1 pass by the gate as it is: that supports 0.217)"
    )


def test_too_few_parts_of_both_kinds_are_told_at_once(bundle: Bundle, plant: Path) -> None:
    with pytest.raises(TooFewParts) as caught:
        run(bundle, few(calibrate(plant), 5, 13))
    assert "5 defective parts are too few" in caught.value.message
    assert "13 good parts are too few" in caught.value.message
    assert "what 5 support: --escape 0.451" in caught.value.fix
    assert "photograph more good parts, or ask for what 13 support: --false-reject" in (
        caught.value.fix
    )


def test_no_parts_of_a_kind_support_nothing(bundle: Bundle, plant: Path) -> None:
    with pytest.raises(TooFewParts) as caught:
        run(bundle, few(calibrate(plant), 0, PARTS))
    assert "needed: 29 (29 more) if none" in caught.value.message
    assert caught.value.fix == "photograph more defective parts"


@given(st.integers(1, 2000), st.floats(1e-4, 0.5), st.data())
def test_what_is_offered_is_supported_and_hardly_more_than_needed(
    parts: int, delta: float, data: st.DataObject
) -> None:
    count = data.draw(st.integers(0, parts))
    bound = upper_bound(count, parts, delta)
    limit = offered(bound)
    if limit is None:
        assert bound > 0.99
        return
    assert most_allowed(parts, limit, delta) >= count
    assert bound <= limit <= bound * 1.011


def told(
    capsys: pytest.CaptureFixture[str],
    bundle: Path,
    plant: Path,
    *,
    split: str = "calibrate",
    cloud: bool = True,
    share: float = 0.1,
) -> str:
    """What the command prints."""
    certify_command(
        bundle, str(plant), split, share, share, edge_only=not cloud, runtime="onnx", seed=0
    )
    return capsys.readouterr().out


@pytest.mark.parametrize("name", ["bundle", "bundle.zip"])
def test_the_command_writes_the_certificate_in_place(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, plant: Path, name: str
) -> None:
    before = bundle_of(tmp_path / name, plant)
    printed = told(capsys, before.path, plant)
    after = Bundle.open(before.path)
    certificate = after.manifest.certificate
    assert certificate is not None
    assert certificate.gate == after.manifest.gate != before.manifest.gate
    assert certificate.escape == certificate.edge_escapes.limit == 0.1
    for line in (
        f"now id {after.id}",
        "60 defective and 60 good parts of plant (calibrate), 120 pictures, on onnx",
        "escapes  at most 10 % of defective parts pass; seen in 1 of 60",
        "false rejects  at most 10 % of good parts are rejected without a person; seen in 1 of 60",
        "95 % in each promise on its own, at least 90 % in both at once",
        "of the parts (",
    ):
        assert line in printed


def test_a_cloud_that_does_not_help_is_told_and_advised_against(
    capsys: pytest.CaptureFixture[str], bundle: Bundle, plant: Path
) -> None:
    printed = told(capsys, bundle.path, plant, cloud=False)
    assert "a person looks at what lies between" in printed
    assert "the cloud does not help here" not in printed
    # The tiny bundle's tail says what its head says.
    assert "the cloud does not help here: escalating costs more than it saves" in told(
        capsys, bundle.path, plant
    )


def test_an_edge_that_passes_no_good_part_is_told(
    capsys: pytest.CaptureFixture[str], bundle: Bundle, plant: Path, tmp_path: Path
) -> None:
    data = Path(shutil.copytree(plant, tmp_path / "plant"))
    # Black: the lowest score that there is.
    save(data / "crack-calibrate-0.png", np.zeros((64, 64), np.uint8))
    printed = told(capsys, bundle.path, data, share=0.05)
    assert "while 0 % pass at the edge" in printed
    assert "some defective part scores lower than all" in printed


def test_a_split_that_does_not_exist_is_told(
    capsys: pytest.CaptureFixture[str], bundle: Bundle, plant: Path
) -> None:
    with pytest.raises(SettingsError, match="there is no split 'tset'"):
        told(capsys, bundle.path, plant, split="tset")


@pytest.mark.process
def test_the_command_prints_one_json_report_alone(
    bundle: Bundle, plant: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    ended = splitsight(
        *("cloud", "certify", "--bundle", bundle.path, "--data", plant, "--escape", "0.05"),
        *("--runtime", "onnx", "--out", other, "--format", "json"),
    )
    assert ended.code == 0, ended.stderr
    report = json.loads(ended.stdout)
    written = Bundle.open(other)
    assert written.manifest.certificate is not None
    assert report["id"] == written.id
    assert report["certificate"] == written.manifest.certificate.model_dump(mode="json")
    assert report["cloud_pays"] is False
    assert report["certificate"]["escape"] == 0.05
    assert report["certificate"]["review_share"] > 0
    assert Bundle.open(bundle.path).id == bundle.id
    # The scores that were tested lie in it, so that the gate can be moved within the promise.
    again = chosen_again(written)
    assert again is not None
    assert again.passing.counted == written.manifest.certificate.edge_escapes.counted


@pytest.mark.process
def test_a_refusal_has_an_exit_code_and_leaves_the_bundle_as_it_was(
    bundle: Bundle, plant: Path
) -> None:
    ended = splitsight(
        *("cloud", "certify", "--bundle", bundle.path, "--data", plant, "--runtime", "onnx"),
        *("--alpha", "0.01"),
    )
    assert "--alpha is now --escape" in ended.stderr
    assert (ended.code, ended.stdout) == (TooFewParts.exit_code, "")
    assert "needed: 299 (239 more) if none of them passes" in ended.stderr
    assert "do: photograph more defective parts" in ended.stderr
    assert Bundle.open(bundle.path).id == bundle.id


def test_no_command_judges_by_pictures_that_the_bundle_was_trained_on(
    bundle: Bundle, plant: Path
) -> None:
    dataset = read(str(plant))
    assert require_unseen(bundle, dataset.of("calibrate")) == 0
    with pytest.raises(DataError, match=r"was trained on 20 of these 20 parts .*--allow-seen"):
        require_unseen(bundle, dataset.of("train"))
    assert require_unseen(bundle, dataset.of("train"), allow=True) == 20


@pytest.mark.process
@pytest.mark.parametrize("command", ["evaluate", "parity"])
def test_a_judging_command_refuses_what_was_trained_on(
    bundle: Bundle, plant: Path, command: str
) -> None:
    asked = ("cloud", command, "--bundle", bundle.path, "--data", plant, "--split", "train")
    refused = splitsight(*map(str, asked))
    assert refused.code == DataError.exit_code
    assert "was trained on 20 of these 20 parts" in " ".join(refused.stderr.split())
    looked = splitsight(*map(str, asked), "--allow-seen")
    assert "was trained on 20 of these 20 parts" in " ".join(looked.stderr.split())
    assert looked.code != DataError.exit_code
