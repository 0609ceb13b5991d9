"""Which labels a real bundle disputes, and how that is shown."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from cloud.cli import app
from cloud.datasets.dataset import Dataset
from cloud.datasets.fingerprints import fingerprints
from cloud.disputes.evidence import label_quality
from cloud.disputes.label_quality import LabelErrors, LabelQuality
from cloud.disputes.lineage import LineOrigins
from cloud.evaluation.judgements import judge
from cloud.evaluation.label_evidence import judged_labels, label_evidence
from cloud.evaluation.label_tables import FEW, PICTURES, SHEET, label_headline, label_tables
from cloud.evaluation.labels.label_report import write_label_report
from cloud.evaluation.report import PAGE
from cloud.evaluation.scorecard import Evaluation
from shared.bundles.bundle import Bundle, amend_bundle
from shared.bundles.manifest import TRAINED
from shared.errors import BundleError
from tests.bundles import BAD, GOOD, picture
from tests.cloud.datasets.makers import part, sample, save
from tests.cloud.evaluation.judged import judgements, labelled, manifest, shades
from tests.support.commands import splitsight

WRONG = (5, 16, 30)


def mislabelled(folder: Path, count: int = 60) -> Dataset:
    """Every third part is bright, thus defective to the tiny bundle; three carry another label."""
    samples = []
    for n in range(count):
        pixels = picture((BAD if n % 3 == 0 else GOOD) + n % 7)
        pixels[0, 0] = n
        target = float((n % 3 == 0) != (n in WRONG))
        image = save(folder / f"{n}.png", pixels)
        samples.append(sample(image, part=str(n), split="test", target=target))
    return Dataset("mislabelled", "none", tuple(samples))


def looked_at(bundle: Bundle, dataset: Dataset) -> LabelQuality:
    return judged_labels(bundle, dataset, judge(bundle, dataset, "onnx"), LineOrigins({}))


def found(quality: LabelQuality) -> set[int]:
    return {int(Path(one.image).stem) for one in quality.disputed}


def test_planted_labels_are_found_by_the_bundles_own_scores(tiny: Bundle, tmp_path: Path) -> None:
    quality = looked_at(tiny, mislabelled(tmp_path))
    assert found(quality) == set(WRONG)
    assert (quality.by_bundle, quality.by_other_parts) == (60, 0)
    by_place = {int(Path(one.image).stem): one for one in quality.disputed}
    assert (by_place[30].given, by_place[30].suggested) == ("good", "defective")
    assert (by_place[5].given, by_place[5].suggested) == ("blot", "good")
    assert {one.judged_by for one in quality.disputed} == {"bundle"}


def test_what_is_disputed_is_counted_by_kind_of_error(tiny: Bundle, tmp_path: Path) -> None:
    quality = looked_at(tiny, mislabelled(tmp_path))
    assert quality.errors == [
        # 5 and 16 are dark and called defective, 30 is bright and called good.
        LabelErrors("blot", "good", 2, 21),
        LabelErrors("good", "defective", 1, 39),
    ]
    assert [row["disputed"] for row in label_tables(quality).errors.rows] == ["2 of 21", "1 of 39"]


def test_parts_that_the_bundle_has_learned_from_are_judged_by_other_parts(
    tiny: Bundle, tmp_path: Path
) -> None:
    dataset = mislabelled(tmp_path)
    images = [one.image for one in dataset.samples]
    learned = amend_bundle(tiny, {}, tmp_path / "learned", {TRAINED: fingerprints(images[:40])})
    quality = looked_at(learned, dataset)
    assert (quality.by_bundle, quality.by_other_parts) == (20, 40)
    assert {5, 16} <= found(quality) <= set(WRONG)
    assert {one.judged_by for one in quality.disputed} == {"other parts"}
    assert "learned from 40 of them" in label_headline(quality)


def test_a_bundle_that_does_not_say_what_it_learned_from_has_learned_from_train(
    tiny: Bundle, tmp_path: Path
) -> None:
    dataset = mislabelled(tmp_path)
    halves = [
        replace(one, split="train" if n % 2 else "test") for n, one in enumerate(dataset.samples)
    ]
    quality = looked_at(tiny, replace(dataset, samples=tuple(halves)))
    assert (quality.by_bundle, quality.by_other_parts) == (30, 30)


def test_a_bundle_that_cannot_tell_good_from_defective_is_not_asked(
    tiny: Bundle, tmp_path: Path
) -> None:
    dataset = mislabelled(tmp_path)
    evidence = label_evidence(tiny, dataset, judge(tiny, dataset, "onnx"))
    guessing = np.random.default_rng(0).uniform(0.4, 0.6, len(dataset.samples))
    quality = label_quality(dataset, replace(evidence, scores=guessing), bundle="blind 1.0.0")
    assert (quality.by_bundle, quality.by_other_parts) == (0, 60)
    assert {5, 16} <= found(quality)
    assert "better than the bundle's own scores" in label_headline(quality)


def test_without_a_second_label_nothing_is_disputed_and_it_is_said(
    tiny: Bundle, tmp_path: Path
) -> None:
    quality = looked_at(tiny, shades(tmp_path, *((GOOD + n, False) for n in range(6))))
    assert quality.disputed == []
    assert "have one label: none is disputed" in label_headline(quality)


def test_too_few_parts_to_compare_with_are_said_and_the_others_judged(
    tiny: Bundle, tmp_path: Path
) -> None:
    dataset = mislabelled(tmp_path)
    few = [
        replace(one, split="train" if n < 2 else "test") for n, one in enumerate(dataset.samples)
    ]
    quality = looked_at(tiny, replace(dataset, samples=tuple(few)))
    assert (quality.by_bundle, quality.by_other_parts) == (58, 0)
    assert "there are 1 defective and 1 good parts" in label_headline(quality)


def test_a_score_that_is_no_number_is_refused(tiny: Bundle) -> None:
    broken = judgements([0.5, 0.5], [float("nan"), 0.5])
    with pytest.raises(BundleError, match=r"1 pictures no score, the first is /0\.png"):
        label_evidence(tiny, labelled([True, False]), broken)


def test_twins_with_different_labels_are_told_and_twins_with_one_are_not(
    tiny: Bundle, tmp_path: Path
) -> None:
    pixels = [part(1), part(2), part(2), part(3), part(3)]
    bad = [False, False, False, False, True]
    samples = [
        sample(save(tmp_path / f"{n}.png", one), part=str(n), split="test", target=float(is_bad))
        for n, (one, is_bad) in enumerate(zip(pixels, bad, strict=True))
    ]
    quality = looked_at(tiny, Dataset("twins", "none", tuple(samples)))
    (twins,) = quality.twins
    assert [Path(image).name for image in twins.images] == ["3.png", "4.png"]
    assert twins.labels == ["good", "blot"]
    (row,) = label_tables(quality).twins.rows
    assert list(row.values()) == ["3.png (good)", "4.png (blot)", "2"]


def test_the_report_shows_what_is_disputed_and_loads_nothing(tiny: Bundle, tmp_path: Path) -> None:
    page = write_label_report(tmp_path, looked_at(tiny, mislabelled(tmp_path / "parts")))
    text = page.read_text()
    assert page.name == PAGE
    assert all(f"{name}.png" in text for name in WRONG)
    assert "http" not in text.replace("Content-Security-Policy", "").replace("http-equiv", "")
    sheet = cv2.imread(str(tmp_path / SHEET))
    assert sheet is not None
    assert sheet.shape[1] > sheet.shape[0]
    write_label_report(tmp_path, looked_at(tiny, shades(tmp_path / "good", (GOOD, False))))
    assert not (tmp_path / SHEET).exists()


def test_a_table_says_that_there_are_more_and_a_sheet_ends(tiny: Bundle, tmp_path: Path) -> None:
    quality = looked_at(tiny, mislabelled(tmp_path))
    many = LabelQuality(
        **{
            **{name: getattr(quality, name) for name in quality.__struct_fields__},
            "disputed": quality.disputed * 20,
        }
    )
    table = label_tables(many, 50).disputed
    assert (len(table.rows), "the first 50 of 60" in table.note) == (50, True)
    assert len(many.disputed) > PICTURES


@pytest.mark.process
def test_the_command_lists_them_for_people_and_for_programs(tiny: Bundle, tmp_path: Path) -> None:
    source = manifest(tmp_path, mislabelled(tmp_path / "parts"))
    asked = (
        "cloud",
        "data",
        "dispute",
        "--bundle",
        tiny.path,
        "--data",
        source,
        "--runtime",
        "onnx",
    )
    ended = splitsight(*asked, "--report", tmp_path / "report")
    assert ended.code == 0
    assert "dispute 3 of 60 labels" in " ".join(ended.stdout.split())
    assert (tmp_path / "report" / PAGE).is_file()
    told = json.loads(splitsight(*asked, "--format", "json").stdout)
    assert {Path(one["image"]).stem for one in told["disputed"]} == set(map(str, WRONG))
    assert np.isclose(sum(told[name] for name in ("by_bundle", "by_other_parts")), 60)


def evaluated(bundle: Bundle, data: Path, *more: str | Path) -> Result:
    asked = ("evaluate", "--bundle", bundle.path, "--data", data, "--runtime", "onnx", *more)
    ended = CliRunner().invoke(app, [*map(str, asked)], env={"COLUMNS": "100"})
    assert ended.exit_code == 0, ended.exception
    return ended


def test_an_evaluation_has_a_section_of_labels_where_it_is_asked_for(
    tiny: Bundle, tmp_path: Path
) -> None:
    dataset = mislabelled(tmp_path / "parts")
    source, report = manifest(tmp_path, dataset), tmp_path / "report"
    asked = ("--labels", "--report", report, "--format", "json")
    told = msgspec.json.decode(evaluated(tiny, source, *asked).stdout, type=Evaluation)
    assert told.labels is not None
    assert found(told.labels) == set(WRONG)
    assert told.labels == msgspec.structs.replace(looked_at(tiny, dataset), data=told.data)
    page = " ".join((report / PAGE).read_text().split())
    assert "The scores dispute 3 of 60 labels" in page
    assert "Disputed labels by kind of error" in page
    assert all(f"{name}.png" in page for name in WRONG)
    assert cv2.imread(str(report / SHEET)) is not None
    evaluated(tiny, source, "--report", report)
    assert "The scores dispute" not in (report / PAGE).read_text()
    assert not (report / SHEET).exists()


def test_people_read_of_labels_below_the_figures(tiny: Bundle, tmp_path: Path) -> None:
    said = evaluated(tiny, manifest(tmp_path, mislabelled(tmp_path / "parts")), "--labels").stdout
    assert "The scores dispute 3 of 60 labels" in " ".join(said.split())
    assert said.index("Recall by kind") < said.index("Disputed labels by kind of error")


def test_twins_and_inspectors_who_differ_stand_in_the_section(tiny: Bundle, tmp_path: Path) -> None:
    samples = []
    for n, (seed, bad) in enumerate([(0, False), (1, True), (2, False), (3, True), (3, False)]):
        pixels = part(seed, defective=seed % 2 == 1)
        pixels[0, 0] = n
        image = save(tmp_path / f"{n}.png", pixels)
        samples.append(sample(image, part=str(n), split="test", target=float(bad)))
    source = manifest(tmp_path, Dataset("twins", "none", tuple(samples)))
    (tmp_path / "lineage.jsonl").write_text(
        "\n".join(
            json.dumps(
                {
                    "device": "d",
                    "boot": "b",
                    "sequence": n,
                    "image": f"{n}.png",
                    "site": "berlin",
                    "line": "one",
                    "labels": [
                        {"number": 1, "verdict": "pass", "inspector": "ann"},
                        {"number": 2, "verdict": "reject" if n == 3 else "pass", "inspector": "bo"},
                    ],
                }
            )
            for n in range(4)
        )
    )
    report = tmp_path / "report"
    asked = ("--labels", "--report", report, "--format", "json")
    told = msgspec.json.decode(evaluated(tiny, source, *asked).stdout, type=Evaluation).labels
    assert told is not None
    assert [[Path(one).name for one in two.images] for two in told.twins] == [["3.png", "4.png"]]
    assert [(one.inspectors, one.pairs, one.agreed) for one in told.agreement] == [
        ("ann, bo", 4, 3)
    ]
    page = (report / PAGE).read_text()
    assert "3.png (blot)" in page
    assert "berlin / one" in page


def test_where_nothing_is_disputed_the_section_says_so(tiny: Bundle, tmp_path: Path) -> None:
    rightly = shades(tmp_path / "parts", *((BAD + n, True) for n in range(4)), (GOOD, False))
    report = tmp_path / "report"
    evaluated(tiny, manifest(tmp_path, rightly), "--labels", "--report", report)
    page = " ".join((report / PAGE).read_text().split())
    assert "The scores dispute none of 5 labels" in page
    assert "Disputed labels by kind of error" not in page
    assert not (report / SHEET).exists()


def test_a_section_shows_a_few_and_says_how_many_there_are(tiny: Bundle, tmp_path: Path) -> None:
    quality = looked_at(tiny, mislabelled(tmp_path))
    many = msgspec.structs.replace(quality, disputed=quality.disputed * 5)
    table = label_tables(many, FEW).disputed
    assert (len(table.rows), f"the first {FEW} of 15" in table.note) == (FEW, True)
