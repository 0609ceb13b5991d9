"""The report: one HTML file that needs nothing else, its charts, and sheets of the worst."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from cloud.datasets.dataset import Dataset
from cloud.evaluation.charts import DARK, LIGHT, ChartStyle, rate_chart, score_chart
from cloud.evaluation.evaluation import Evaluated, evaluate
from cloud.evaluation.judgements import judge
from cloud.evaluation.rates import Point, Rates
from cloud.evaluation.report import write_report
from cloud.evaluation.scorecard import Evaluation
from cloud.evaluation.scoring import score
from cloud.evaluation.sheets import MOST, SIDE, Mistakes, sheet
from cloud.evaluation.tables import headline, rates, recall, side_by_side, traffic
from shared.bundles.bundle import Bundle
from shared.certification.gate import Gate
from shared.errors import DataError, SettingsError
from tests.bundles import BAD, GOOD, UNSURE_GOOD
from tests.cloud.evaluation.judged import manifest, pixels_model, shades
from tests.support.commands import ROOT, Ended, splitsight

pytestmark = pytest.mark.process

LOADED = """
import cloud.evaluation.evaluation, cloud.evaluation.cli, cloud.evaluation.tables
import json, sys
print(json.dumps(sorted(sys.modules)))
"""
PNGS = {"scores.png", "rates.png", "escapes.png", "overkill.png"}


class Written(msgspec.Struct):
    """A report by the command of a user."""

    ended: Ended
    folder: Path
    page: str


@pytest.fixture(scope="module")
def written(tiny: Bundle, line: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder = tmp_path_factory.mktemp("evaluation")
    model = folder / "pixels.onnx"
    model.write_bytes(pixels_model())
    ended = splitsight(
        *("cloud", "evaluate", "--bundle", tiny.path, "--data", manifest(folder, line)),
        *("--pixels", model, "--report", folder / "report", "--runtime", "onnx"),
        *("--format", "json"),
    )
    assert ended.code == 0, ended.stderr
    return Written(ended, folder / "report", (folder / "report" / "report.html").read_text())


def test_the_command_writes_a_page_and_its_pictures_and_prints_json_alone(
    written: Written,
) -> None:
    assert {path.name for path in written.folder.iterdir()} == PNGS | {"report.html"}
    for name in PNGS:
        assert cv2.imread(str(written.folder / name)) is not None, name
    figures = msgspec.json.decode(written.ended.stdout, type=Evaluation)
    assert figures.rates is not None
    assert figures.rates.pictures is not None


def test_the_page_asks_nobody_for_anything(written: Written) -> None:
    addresses = re.findall(r'(?:src|srcset|href)="([^"]{0,40})', written.page)
    assert addresses
    assert all(address.startswith("data:image/") for address in addresses)
    assert "default-src 'none'" in written.page
    assert "<script" not in written.page
    assert "url(" not in written.page


def test_the_page_holds_what_the_command_printed(written: Written) -> None:
    figures = msgspec.json.decode(written.ended.stdout, type=Evaluation)
    page = written.page.replace("&#39;", "'").replace("&lt;", "<").replace("&gt;", ">")
    assert headline(figures) in page
    assert figures.rates is not None
    for table in (
        *(side_by_side(figures), traffic(figures), recall(figures.groups)),
        rates(figures.rates),
    ):
        assert table.note in page
        for row in table.rows:
            for cell in row.values():
                assert cell.partition(" (")[0] in page
    assert "No certificate" in page
    assert "keep it where they may be seen" in page


def test_every_chart_is_there_for_light_and_dark_for_wide_and_narrow(written: Written) -> None:
    for chart in re.findall(r"<picture>.*?</picture>", written.page, re.DOTALL):
        assert "(max-width: 40rem) and (prefers-color-scheme: dark)" in chart
        addresses = re.findall(r'"(data:image/png;base64,[^"]+)"', chart)
        assert len(set(addresses)) == 4
    assert written.page.count("<picture>") == 2


def test_mistakes_are_shown_with_their_picture_and_their_map(
    tiny: Bundle, line: Dataset, written: Written
) -> None:
    judged = judge(tiny, line, "onnx")
    found = Mistakes(tiny, line, judged)
    (escape,), (overkill,) = found.escapes(), found.overkill()
    assert (escape.defect, overkill.defect) == ("blot", "good")
    assert escape.outlined
    assert not overkill.outlined
    for one in (escape, overkill):
        assert one.decided_by == "cloud"
        assert '<img src="data:image/jpeg;base64,' in written.page
        assert one.name in written.page
        assert f"score {one.score:.3f}" in written.page
        assert one.picture.shape == one.heat.shape == (SIDE, SIDE, 3)
    assert "with the true defect outlined" in written.page
    assert escape.called == f"part {escape.part}"
    assert replace(escape, part="part-7").called == "part-7"
    # The mask is a square from 8 to 12 or 28 of 64: its left border is drawn, in cyan.
    column = escape.heat[:, round(8 / 64 * SIDE)]
    assert ((column[:, 0] > 200) & (column[:, 2] < 60)).any()
    plain = escape.picture[:, round(8 / 64 * SIDE)]
    assert not ((plain[:, 0] > 200) & (plain[:, 2] < 60)).any()


def test_the_worst_come_first_and_no_more_than_ten(tiny: Bundle, tmp_path: Path) -> None:
    surely = [(GOOD - n, True) for n in range(MOST)]
    shown = shades(tmp_path, (UNSURE_GOOD, True), *surely, (UNSURE_GOOD - 2, True), (BAD, False))
    judged = judge(tiny, shown, "onnx")
    escapes = Mistakes(tiny, shown, judged).escapes()
    assert len(escapes) == MOST
    assert {one.decided_by for one in escapes} == {"edge"}
    scores = [one.score for one in escapes]
    assert scores == sorted(scores)
    whole, some = sheet(escapes), sheet(escapes[:3])
    assert whole.shape[1] == some.shape[1] > 4 * SIDE
    assert some.shape[0] * 5 == whole.shape[0] * 2


def test_pictures_keep_their_proportions_and_colours(tiny: Bundle, tmp_path: Path) -> None:
    wide = np.full((20, 80, 3), (10, 20, 240), np.uint8)
    shown = shades(tmp_path, (GOOD, True), (BAD, True))
    cv2.imwrite(str(shown.samples[0].image), wide)
    spec = tiny.manifest.input.model_copy(update={"channels": 3})
    coloured = Bundle(tiny.path, tiny.manifest.model_copy(update={"input": spec}), b"coloured")
    judged = judge(tiny, shown, "onnx")
    (one,) = Mistakes(coloured, shown, judged).escapes()
    inside = (one.picture == (10, 20, 240)).all(axis=2)
    assert inside.any(axis=0).sum() == SIDE
    assert inside.any(axis=1).sum() == SIDE // 4


def test_without_mistakes_the_page_says_so_and_old_sheets_go(tiny: Bundle, tmp_path: Path) -> None:
    shown = shades(tmp_path, (GOOD, False), (BAD, True))
    for name in PNGS:
        (tmp_path / name).write_bytes(b"of yesterday")
    found = evaluate(tiny, shown, "test", "onnx")
    page = write_report(tmp_path, tiny, shown, found).read_text()
    assert "No defective picture passed." in page
    assert "No good picture was rejected." in page
    assert not (tmp_path / "escapes.png").exists()
    assert not (tmp_path / "overkill.png").exists()
    assert cv2.imread(str(tmp_path / "scores.png")) is not None


def test_parts_of_one_kind_alone_still_have_a_report(tiny: Bundle, tmp_path: Path) -> None:
    shown = shades(tmp_path, (GOOD, False), (UNSURE_GOOD, False))
    page = write_report(tmp_path, tiny, shown, evaluate(tiny, shown, "test", "onnx"))
    assert "Bytes against accuracy" not in page.read_text()
    assert not (tmp_path / "rates.png").exists()


def test_names_from_the_data_can_put_nothing_into_the_page(tiny: Bundle, tmp_path: Path) -> None:
    shown = shades(tmp_path, (GOOD, True), (BAD, False))
    bad = shown.samples[0]
    image = bad.image.rename(tmp_path / "<script>é&.png")
    evil = replace(bad, image=image, defect="<img src=x>", part='"><b>')
    dataset = replace(shown, samples=(evil, *shown.samples[1:]))
    judged = judge(tiny, dataset, "onnx")
    figures = score(tiny, dataset, "test", judged)
    page = write_report(tmp_path, tiny, dataset, Evaluated(figures, judged)).read_text()
    assert "<script>" not in page
    assert "<img src=x>" not in page
    assert '"><b>' not in page
    assert "&lt;script&gt;é&amp;.png" in page


def test_a_certificates_promise_stands_on_the_page(tiny: Bundle, tmp_path: Path) -> None:
    shown = shades(tmp_path, (GOOD, False), (BAD, True))
    figures, judged = evaluate(tiny, shown, "test", "onnx")
    assert figures.certificate is None
    promising = msgspec.structs.replace(figures, certificate="At most 5 % of defective parts pass.")
    page = write_report(tmp_path, tiny, shown, Evaluated(promising, judged)).read_text()
    assert "At most 5 % of defective parts pass." in page
    assert "No certificate" not in page


@pytest.mark.parametrize("look", [LIGHT, replace(DARK, narrow=True)])
def test_charts_are_drawn_for_any_scores_and_gate(look: ChartStyle) -> None:
    labels = np.array([True, False, True])
    rates_of_nothing = Rates([Point(1, 0.0, 0.5, 0.5), Point(2, 10.0, 1.0, 1.0)], None)
    for raw in (
        score_chart(np.array([0.0, 1.0, np.nan]), np.ones(3), labels, Gate(0.0, 1.0, 0.5), look),
        score_chart(np.full(3, 0.5), np.full(3, 0.5), labels, Gate(0.5, 0.5, 1.0), look),
        rate_chart(rates_of_nothing, look),
    ):
        drawn = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_COLOR)
        assert drawn is not None
        assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 10


def test_people_read_tables_and_how_to_add_pictures(
    tiny: Bundle, line: Dataset, tmp_path: Path
) -> None:
    ended = splitsight(
        *("cloud", "evaluate", "--bundle", tiny.path, "--data", manifest(tmp_path, line)),
        *("--runtime", "onnx"),
    )
    assert ended.code == 0, ended.stderr
    for said in ("AUROC", "escapes, parts", "PRO", "Recall by kind of defect", "features ×8"):
        assert said in ended.stdout
    assert "--pixels RUN/pixels.onnx" in ended.stdout
    assert not list(tmp_path.glob("*.png"))


def test_a_report_that_cannot_be_written_is_told_before_judging(
    tiny: Bundle, line: Dataset, tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("a file")
    ended = splitsight(
        *("cloud", "evaluate", "--bundle", tiny.path, "--data", manifest(tmp_path, line)),
        *("--report", tmp_path / "taken" / "report"),
    )
    assert ended.code == SettingsError.exit_code
    assert "no report can be written" in ended.stderr


def test_a_picture_that_cannot_be_written_is_told(tiny: Bundle, tmp_path: Path) -> None:
    shown = shades(tmp_path, (GOOD, False), (BAD, True))
    found = evaluate(tiny, shown, "test", "onnx")
    (tmp_path / "scores.png").mkdir()
    with pytest.raises(DataError, match=r"scores\.png can't be written"):
        write_report(tmp_path, tiny, shown, found)


def test_without_a_report_nothing_that_draws_is_loaded() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(json.loads(done.stdout))
    assert "cloud.evaluation.rates" in loaded
    assert not loaded & {"matplotlib", "jinja2", "torch"}
