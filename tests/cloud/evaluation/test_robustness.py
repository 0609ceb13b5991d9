"""Disturbed pictures through a whole bundle, and where the figures are kept."""

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

from cloud.cli import app as cloud
from cloud.datasets.dataset import Dataset
from cloud.evaluation.cli import keep_robustness
from cloud.evaluation.evaluation import Evaluated, Trials, evaluate
from cloud.evaluation.judgements import judge
from cloud.evaluation.part_groups import PartGroups
from cloud.evaluation.report import write_report
from cloud.evaluation.robustness import LADDER, measure_robustness
from cloud.evaluation.robustness_report import grouped, tables
from cloud.evaluation.scorecard import Evaluation
from cloud.evaluation.scoring import score
from cloud.evaluation.verdicts import SampleVerdicts, verdicts
from shared.bundles.bundle import Bundle, amend_bundle, write_bundle
from shared.bundles.cli import app as bundle_app
from shared.bundles.manifest import GOLDEN, TAIL
from shared.bundles.robustness import (
    ROBUSTNESS,
    Adversary,
    Answers,
    CountedParts,
    GroupFate,
    Robustness,
    describe,
    judge_of,
)
from shared.certification.gate import Gate
from shared.errors import BundleError
from shared.features.optics import Pixels
from shared.features.perturbations import PERTURBATIONS
from tests.bundles import BAD, GOOD, UNSURE_BAD, UNSURE_GOOD, knowing, make_bundle
from tests.cloud.datasets.makers import save
from tests.cloud.evaluation.judged import labelled, manifest, shades

SOME = tuple(one for one in LADDER if one[0].name in {"darker", "brighter", "specks"})


def measured(bundle: Bundle, dataset: Dataset, seed: int = 0) -> Robustness:
    found = judge(bundle, dataset, "onnx").seen_by(bundle.novelty)
    return measure_robustness(
        bundle, dataset, "test", found, runtime="onnx", seed=seed, ladder=SOME
    )


@pytest.fixture(scope="module")
def found(tiny: Bundle, line: Dataset) -> Robustness:
    return measured(tiny, line)


def amount(found: Robustness, kind: str, strength: int) -> tuple[int, int]:
    (one,) = (c for c in found.conditions if (c.kind, c.strength) == (kind, strength))
    return one.fate.escapes.wrong, one.fate.overkill.wrong


def test_what_is_disturbed_is_judged_as_the_disturbed_picture_itself(
    tiny: Bundle, line: Dataset, found: Robustness, tmp_path: Path
) -> None:
    for kind, strength in SOME[:4]:
        changed = tuple(
            replace(one, image=save(tmp_path / f"{n}.png", kind.on(pixels(one.image), strength, 0)))
            for n, one in enumerate(line.samples)
        )
        dataset = replace(line, samples=changed)
        system = score(tiny, dataset, "test", judge(tiny, dataset, "onnx")).system
        (fate,) = (
            c.fate for c in found.conditions if (c.kind, c.strength) == (kind.name, strength)
        )
        assert (fate.escapes.wrong, fate.escapes.parts) == (
            system.escapes.wrong,
            system.escapes.parts,
        )
        assert fate.overkill.wrong == system.overkill.wrong
        assert fate.escalated == pytest.approx(system.escalation_rate)


def pixels(path: Path) -> Pixels:
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.uint8)


def test_without_disturbance_the_figures_are_the_evaluations(
    tiny: Bundle, line: Dataset, found: Robustness
) -> None:
    figures = evaluate(tiny, line, "test", "onnx").figures
    assert found.clean.escapes.wrong == figures.system.escapes.wrong
    assert figures.system.escapes.interval is not None
    assert found.clean.escapes.low == pytest.approx(figures.system.escapes.interval.low)
    assert found.clean.escapes.high == pytest.approx(figures.system.escapes.interval.high)
    assert found.clean.reviewed.rate == pytest.approx(figures.review_share.with_cloud)
    assert found.clean.escalated == pytest.approx(figures.system.escalation_rate)
    assert found.pictures == figures.n_images


def test_a_head_that_goes_by_brightness_lets_dark_defects_pass_and_rejects_bright_parts(
    found: Robustness,
) -> None:
    defective, good = found.clean.escapes.parts, found.clean.overkill.parts
    assert amount(found, "darker", 3)[0] == defective
    assert amount(found, "darker", 3)[1] == 0
    assert amount(found, "brighter", 3)[0] == 0
    assert amount(found, "brighter", 3)[1] > found.clean.overkill.wrong
    assert good > amount(found, "brighter", 1)[1]


def test_the_worst_come_first(found: Robustness) -> None:
    rates = [(c.fate.escapes.rate, c.fate.overkill.rate) for c in found.conditions]
    assert rates == sorted(rates, reverse=True)
    assert found.conditions[0].kind == "darker"
    assert len(found.conditions) == len(SOME)


def test_neither_order_nor_number_of_pictures_changes_what_is_drawn(
    tiny: Bundle, line: Dataset, found: Robustness
) -> None:
    turned = replace(line, samples=line.samples[::-1])
    again, other = measured(tiny, turned), measured(tiny, line, seed=1)
    assert again.conditions == found.conditions
    assert again.clean == found.clean
    assert other.seed == 1


def test_groups_are_those_that_the_data_has(tiny: Bundle, line: Dataset, tmp_path: Path) -> None:
    assert measured(tiny, line).groups == []
    named = [
        replace(one, domain="north" if n % 8 else "south", defect=("blot", "hole")[n % 8 > 0])
        if one.defective
        else replace(one, domain="south")
        for n, one in enumerate(line.samples)
    ]
    found = measured(tiny, replace(line, samples=tuple(named)))
    assert [(one.by, one.name) for one in found.groups] == [
        ("domain", "north"),
        ("domain", "south"),
        ("defect", "blot"),
        ("defect", "hole"),
    ]
    holes = found.groups[-1].fate
    assert holes.overkill.parts == 0
    assert sum(one.fate.escapes.wrong for one in found.groups[2:]) == found.clean.escapes.wrong
    whole, grouped = tables(found)
    assert len(whole.rows) == 1 + len(SOME)
    assert [row["group"] for row in grouped.rows] == ["north", "south", "blot", "hole"]
    assert grouped.rows[-1]["at worst"].endswith("(darker)")
    assert grouped.rows[-1]["overkill"] == "–"


def test_a_lot_that_a_disturbance_lets_pass_is_told_beside_the_one_that_is_safe(
    tiny: Bundle, tmp_path: Path
) -> None:
    parts = shades(tmp_path, *[(BAD, True), (UNSURE_BAD, True), (GOOD, False), (GOOD, False)] * 3)
    lots = [replace(one, lot=("L1", "L2")[n % 2]) for n, one in enumerate(parts.samples)]
    found = measured(tiny, replace(parts, samples=tuple(lots)))
    assert [(one.by, one.name) for one in found.groups] == [("lot", "L1"), ("lot", "L2")]
    assert [one.fate.escapes.wrong for one in found.groups] == [0, 0]
    (darker,) = (c for c in found.conditions if (c.kind, c.strength) == ("darker", 2))
    fates = [one.fate.escapes for one in darker.groups]
    assert [(one.wrong, one.parts) for one in fates] == [(0, 3), (3, 3)]
    rows = tables(found)[1].rows
    assert [row["group"] for row in rows] == ["lot L1", "lot L2"]
    assert rows[1]["at worst"] == "3 of 3 (darker)"
    assert found.smaller == {}


def fates_of(dataset: Dataset) -> list[GroupFate]:
    return PartGroups(dataset).fates(passing(len(dataset.samples)), None)[1]


def passing(count: int) -> SampleVerdicts:
    return verdicts(Gate(0.2, 0.8, 0.5), np.zeros(count), np.full(count, np.nan))


def test_of_many_lots_the_largest_are_kept_and_it_is_said_how_many_are_not() -> None:
    parts = labelled([False] * 60)
    lots = [replace(one, lot=f"L{n % 25:02}") for n, one in enumerate(parts.samples)]
    groups = PartGroups(replace(parts, samples=tuple(lots)))
    _, fates = groups.fates(passing(60), None)
    # Ten lots have three parts, the others two.
    assert [one.name for one in fates] == [f"L{n:02}" for n in range(20)]
    assert groups.smaller == {"lot": 5}


def test_lines_that_are_the_domains_are_told_once() -> None:
    parts = labelled([False] * 8)
    placed = [
        replace(one, domain=f"plant/{n % 2}", line=str(n % 2))
        for n, one in enumerate(parts.samples)
    ]
    by = {one.by for one in fates_of(replace(parts, samples=tuple(placed)))}
    assert by == {"domain"}
    elsewhere = [replace(one, line=str(n % 4)) for n, one in enumerate(placed)]
    assert {one.by for one in fates_of(replace(parts, samples=tuple(elsewhere)))} == {
        "domain",
        "line",
    }


def test_groups_that_are_not_shown_are_counted_below_those_that_are(found: Robustness) -> None:
    groups = [GroupFate("lot", f"L{n}", found.clean) for n in range(20)]
    many = msgspec.structs.replace(found, groups=groups, smaller={"lot": 980}, conditions=[])
    assert "980 by lot" in grouped(many).note
    assert Robustness.from_bytes(many.to_bytes(), many.judge) == many


def test_what_is_novel_goes_to_a_person(tiny: Bundle, line: Dataset, tmp_path: Path) -> None:
    careful = knowing(tiny, tmp_path / "careful", GOOD - 5, BAD + 5)
    found = measured(careful, line)
    dark, bright = (
        next(c.fate for c in found.conditions if (c.kind, c.strength) == (kind, 3))
        for kind in ("darker", "brighter")
    )
    assert found.clean.novel == 0
    assert dark.novel is not None
    # Good parts at half their light are darker than any that was shown.
    assert dark.novel > 0.3
    assert dark.reviewed.rate >= dark.novel
    assert bright.escapes.wrong == 0


def test_parts_of_one_label_have_no_rate_of_the_other(tiny: Bundle, tmp_path: Path) -> None:
    good = measured(tiny, shades(tmp_path, (GOOD, False), (UNSURE_GOOD, False)))
    assert (good.clean.escapes.parts, good.clean.escapes.rate) == (0, 0.0)
    assert tables(good)[0].rows[0]["escapes\nof 0"] == "–"
    assert "none of 0" in describe(good)


def told(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cloud, ["evaluate", *map(str, arguments)], env={"COLUMNS": "80"})


@pytest.fixture(scope="module")
def kept(line: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    folder = tmp_path_factory.mktemp("kept")
    made = make_bundle(folder / "bundle")
    ended = told(
        *("--bundle", made.path, "--data", manifest(folder, line), "--robust"),
        *("--report", folder / "report", "--runtime", "onnx"),
    )
    assert ended.exit_code == 0, ended.exception
    return folder, ended


def test_the_command_shows_every_disturbance_within_80_columns_and_keeps_the_figures(
    kept: tuple[Path, Result],
) -> None:
    folder, ended = kept
    for kind, strength in LADDER:
        assert f"{kind.name} {kind.amounts[strength - 1]:g}"[:20] in ended.stdout
    shown = ended.stdout[ended.stdout.index("Disturbed pictures") :]
    assert max(map(len, shown.partition("report:")[0].splitlines())) <= 80
    found = Bundle.open(folder / "bundle").robustness
    assert found is not None
    assert len(found.conditions) == 3 * len(PERTURBATIONS)
    assert "its id is now" in " ".join(ended.stderr.split())


def test_the_report_shows_charts_tables_and_what_it_looks_like(kept: tuple[Path, Result]) -> None:
    folder, _ = kept
    page = (folder / "report" / "report.html").read_text()
    assert "Disturbed pictures, the worst first" in page
    for kind in PERTURBATIONS:
        assert page.count(f'alt="the same picture, {kind.name} ') == 3
    assert (folder / "report" / "robustness.png").read_bytes()[:4] == b"\x89PNG"


def test_a_report_without_it_leaves_no_chart_of_yesterday(
    tiny: Bundle, line: Dataset, tmp_path: Path
) -> None:
    (tmp_path / "robustness.png").write_bytes(b"of yesterday")
    page = write_report(tmp_path, tiny, line, evaluate(tiny, line, "test", "onnx")).read_text()
    assert "Disturbed pictures" not in page
    assert not (tmp_path / "robustness.png").exists()


def test_json_holds_the_same_and_nothing_is_kept_where_it_is_not_wanted(
    tiny: Bundle, line: Dataset, tmp_path: Path
) -> None:
    before = Bundle.open(tiny.path).id
    ended = told(
        *("--bundle", tiny.path, "--data", manifest(tmp_path, line), "--robust", "--no-note"),
        *("--runtime", "onnx", "--format", "json", "--seed", "3"),
    )
    figures = msgspec.json.decode(ended.stdout, type=Evaluation)
    assert figures.robustness is not None
    assert figures.robustness.seed == 3
    assert figures.robustness.judge == judge_of(tiny.manifest)
    assert Bundle.open(tiny.path).id == before


def test_a_bundle_shows_how_it_fares(kept: tuple[Path, Result], tiny: Bundle) -> None:
    def show(path: Path, *more: str) -> str:
        shown = CliRunner().invoke(bundle_app, ["show", str(path), *more])
        assert shown.exit_code == 0, shown.exception
        # Lines are broken by the width of whatever has opened the console first.
        return " ".join(shown.stdout.split())

    folder, _ = kept
    found = Bundle.open(folder / "bundle").robustness
    assert describe(found) in show(folder / "bundle")
    assert json.loads(show(folder / "bundle", "--format", "json"))["robustness"]["seed"] == 0
    assert "not measured; see `splitsight cloud evaluate --robust`" in show(tiny.path)


def written(tiny: Bundle, found: Robustness, path: Path) -> Bundle:
    return amend_bundle(tiny, {}, path, {ROBUSTNESS: found.to_bytes()})


@pytest.mark.parametrize(("changed", "still"), [(GOLDEN, True), (TAIL, False)])
def test_figures_of_another_pair_are_void(
    tiny: Bundle, found: Robustness, tmp_path: Path, changed: str, still: bool
) -> None:
    first = written(tiny, found, tmp_path / "first")
    assert first.robustness == found
    files = {name: first.read(name) for name in first.manifest.files} | {changed: b"other"}
    fields = first.manifest.model_dump(exclude={"files"})
    other = write_bundle(tmp_path / "other", fields, files)
    assert (other.robustness is not None) == still


def test_figures_of_another_gate_cap_or_novelty_are_void(
    tiny: Bundle, found: Robustness, tmp_path: Path
) -> None:
    first = written(tiny, found, tmp_path / "first")
    gate = first.manifest.gate.model_dump() | {"pass_below": 0.1}
    features = first.manifest.features.model_dump() | {"cap_bytes": 99}
    for name, fields in (("gate", gate), ("features", features)):
        assert amend_bundle(first, {name: fields}, tmp_path / name).robustness is None
    assert knowing(first, tmp_path / "careful", GOOD, BAD).robustness is None


def test_a_bundle_that_was_changed_meanwhile_does_not_get_the_figures(
    found: Robustness, tmp_path: Path
) -> None:
    other = make_bundle(tmp_path / "other", kinds=True)
    with pytest.raises(BundleError, match="another model or gate") as told_so:
        keep_robustness(other.path, found)
    assert told_so.value.fix


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"judge": 3}', b"\xff", b"{" * 1_000_000])
def test_a_damaged_file_is_named_and_the_bundle_opens(
    tiny: Bundle, tmp_path: Path, raw: bytes
) -> None:
    bundle = amend_bundle(tiny, {}, tmp_path / "damaged", {ROBUSTNESS: raw})
    with pytest.raises(BundleError, match=f"{ROBUSTNESS} can't be read"):
        assert bundle.robustness


def adversary() -> Adversary:
    said = Answers(1, 2, 3, 0, 0.5)
    return Adversary(6, 20, 0.5, said, said, said, 0.25, 0.125)


def test_what_was_not_tried_again_stays_where_the_pictures_are_the_same(
    tiny: Bundle, found: Robustness, tmp_path: Path
) -> None:
    first = written(tiny, found, tmp_path / "first")
    altered = msgspec.structs.replace(found, conditions=[], adversary=adversary())
    both = keep_robustness(first.path, altered).robustness
    assert both is not None
    assert (both.conditions, both.adversary) == (found.conditions, altered.adversary)
    elsewhere = msgspec.structs.replace(altered, data_hash="f" * 64)
    alone = keep_robustness(first.path, elsewhere).robustness
    assert alone == elsewhere


def test_words_for_people_say_both_what_is_worst_and_what_it_was_undisturbed(
    found: Robustness,
) -> None:
    said = describe(msgspec.structs.replace(found, adversary=adversary()))
    assert "darker -1 stops: 7 of 7" in said
    assert "undisturbed" in said
    assert "of 6 defective pictures sent up, 1 pass" in said
    assert describe(None).startswith("not measured")


def test_a_share_has_its_exact_interval() -> None:
    one = CountedParts.of(0, 13)
    assert (one.low, round(one.high, 3)) == (0.0, 0.247)
    assert (CountedParts.of(0, 0).low, CountedParts.of(0, 0).high) == (0.0, 1.0)


@pytest.mark.torch
def test_the_tiny_bundles_tail_has_no_gradient_and_that_is_said(
    tiny: Bundle, tmp_path: Path
) -> None:
    shown = shades(tmp_path, (UNSURE_BAD, True), (GOOD, False))
    with pytest.raises(BundleError, match="whose gradient nobody knows") as told_so:
        evaluate(tiny, shown, "test", "onnx", trials=Trials(adversarial=True))
    assert "--adversarial" in str(told_so.value.fix)


def test_evaluated_without_trials_has_none(tiny: Bundle, line: Dataset) -> None:
    found: Evaluated = evaluate(tiny, line, "test", "onnx")
    assert found.figures.robustness is None
