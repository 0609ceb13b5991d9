"""An evaluation as one HTML file that needs nothing else, with its charts and sheets as PNG."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from cloud.datasets.dataset import Dataset
from cloud.evaluation import robustness_report
from cloud.evaluation.charts import (
    DARK,
    LIGHT,
    ChartStyle,
    rate_chart,
    robustness_chart,
    score_chart,
)
from cloud.evaluation.evaluation import Evaluated
from cloud.evaluation.label_tables import FEW, SHEET, label_headline, label_sheet, label_tables
from cloud.evaluation.sheets import MOST, Mistake, Mistakes, sheet
from cloud.evaluation.tables import headline, rates, recall, side_by_side, tiles, traffic
from shared.bundles.bundle import Bundle
from shared.bundles.robustness import Robustness
from shared.errors import DataError
from shared.web.html import environment

PAGE = "report.html"
TEMPLATES = Path(__file__).parent / "templates"
PICTURE_QUALITY = 88


class Chart(NamedTuple):
    """One chart for every kind of page, as data addresses of PNGs."""

    light: str
    dark: str
    light_narrow: str
    dark_narrow: str


class Example(NamedTuple):
    """A disturbed picture as the data address of a JPEG, and what it is."""

    title: str
    picture: str


class Shown(NamedTuple):
    """A mistake with its pictures as data addresses of JPEGs."""

    mistake: Mistake
    picture: str
    heat: str


def write_report(folder: Path, bundle: Bundle, dataset: Dataset, found: Evaluated) -> Path:
    """Write `report.html`, `scores.png`, `rates.png`, `robustness.png`, `disputed.png`,
    `escapes.png` and `overkill.png`.

    dataset   the judged samples. The report shows pictures of them
    Without rates, disturbances, a disputed label or a mistake, the PNG is not there, and none of an
    earlier report is.
    Returns the page's path; raises DataError where it can't be written.
    """
    gate = bundle.manifest.gate.gate
    figures, said = found
    mistakes = Mistakes(bundle, dataset, said)
    escapes, overkill = mistakes.escapes(), mistakes.overkill()
    scores_png = _variants(
        lambda look: score_chart(said.edge, said.cloud, dataset.labels, gate, look)
    )
    swept = figures.rates
    rates_png = None if swept is None else _variants(lambda look: rate_chart(swept, look))
    fared = figures.robustness
    disturbed = fared if fared is not None and fared.conditions else None
    robust_png = (
        None if disturbed is None else _variants(lambda look: robustness_chart(disturbed, look))
    )
    quality = figures.labels
    disputed_png = None if quality is None else label_sheet(quality.disputed, FEW)
    page = (
        environment(TEMPLATES)
        .get_template("report.html")
        .render(
            headline=headline(figures),
            figures=figures,
            gate=gate,
            tiles=tiles(figures),
            side_by_side=side_by_side(figures),
            traffic=traffic(figures),
            recall=recall(figures.groups),
            rates=None if swept is None else rates(swept),
            scores_chart=_chart(scores_png),
            rates_chart=None if rates_png is None else _chart(rates_png),
            robustness=[] if fared is None else robustness_report.tables(fared),
            robust_chart=None if robust_png is None else _chart(robust_png),
            examples=[] if disturbed is None else _examples(bundle, dataset, disturbed),
            label_headline=None if quality is None else label_headline(quality),
            label_tables=[] if quality is None else label_tables(quality, FEW).filled,
            disputed=None if disputed_png is None else png_address(disputed_png),
            escapes=[_shown(one) for one in escapes],
            overkill=[_shown(one) for one in overkill],
            most=MOST,
        )
    )
    write_or_remove(folder / "scores.png", scores_png[0])
    write_or_remove(folder / "rates.png", None if rates_png is None else rates_png[0])
    write_or_remove(folder / "robustness.png", None if robust_png is None else robust_png[0])
    write_or_remove(folder / SHEET, disputed_png)
    write_or_remove(folder / "escapes.png", _sheet(escapes))
    write_or_remove(folder / "overkill.png", _sheet(overkill))
    return write_or_remove(folder / PAGE, page.encode())


def _variants(draw: Callable[[ChartStyle], bytes]) -> list[bytes]:
    """The same chart for light and dark pages, first wide, then narrow."""
    looks = [LIGHT, DARK, replace(LIGHT, narrow=True), replace(DARK, narrow=True)]
    return [draw(look) for look in looks]


def _chart(variants: Sequence[bytes]) -> Chart:
    return Chart(*map(png_address, variants))


def _shown(one: Mistake) -> Shown:
    return Shown(one, *(_address(_jpeg(pixels), "jpeg") for pixels in (one.picture, one.heat)))


def _examples(bundle: Bundle, dataset: Dataset, found: Robustness) -> list[list[Example]]:
    return [
        [Example(one.condition.title, _address(_jpeg(one.pixels), "jpeg")) for one in row]
        for row in robustness_report.examples(bundle, dataset, found)
    ]


def _sheet(mistakes: Sequence[Mistake]) -> bytes | None:
    return cv2.imencode(".png", sheet(mistakes))[1].tobytes() if mistakes else None


def _jpeg(pixels: NDArray[np.uint8]) -> bytes:
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, PICTURE_QUALITY])[1].tobytes()


def _address(raw: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(raw).decode()}"


def png_address(raw: bytes) -> str:
    """A PNG as a data address."""
    return _address(raw, "png")


def write_or_remove(path: Path, raw: bytes | None) -> Path:
    """None: a file of an earlier report is removed. Raises DataError where it can't be written."""
    try:
        if raw is None:
            path.unlink(missing_ok=True)
        else:
            path.write_bytes(raw)
    except OSError as error:
        raise DataError(f"{path} can't be written ({error})", fix="give another folder") from error
    return path
