"""A data set to look at: samples of each kind and split on one picture, and the account."""

from __future__ import annotations

import base64
from pathlib import Path

import cv2
import numpy as np

from cloud.datasets.dataset import GOOD, SPLITS, Dataset, Sample
from cloud.datasets.pictures import decode
from cloud.datasets.readers import SurveyedData
from cloud.evaluation.sheets import Pixels, captioned, framed, rows_of
from cloud.survey.account_lines import account_lines, kinds_by_split
from shared.errors import DataError
from shared.web.html import environment

SHEET, PAGE = "contact-sheet.png", "report.html"
TEMPLATES = Path(__file__).parent / "templates"
ACROSS = 4
MOST_ROWS = 60


def write_survey(folder: Path, found: SurveyedData) -> Path:
    """Write `contact-sheet.png` and `report.html`; returns the page's path.

    Raises DataError where they can't be written.
    """
    sheet = cv2.imencode(".png", contact_sheet(found.dataset))[1].tobytes()
    page = (
        environment(TEMPLATES)
        .get_template("survey.html")
        .render(
            name=found.dataset.name,
            lines=list(account_lines(found)),
            kinds=kinds_by_split(found.dataset),
            sheet=f"data:image/png;base64,{base64.b64encode(sheet).decode()}",
        )
    )
    try:
        (folder / SHEET).write_bytes(sheet)
        (folder / PAGE).write_text(page, encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"no report can be written to {folder} ({error.strerror})", fix="give another folder"
        ) from error
    return folder / PAGE


def contact_sheet(dataset: Dataset) -> Pixels:
    """A row for each kind in each split, ACROSS pictures at most, masks outlined; BGR."""
    groups = [
        [s for s in dataset.samples if s.defect == kind and s.split == split]
        for kind in (GOOD, *dataset.classes)
        for split in SPLITS
    ]
    rows = [
        rows_of([_cell(sample) for sample in spread], ACROSS)
        for group in groups
        if (spread := group[:: max(1, len(group) // ACROSS)][:ACROSS])
    ]
    return np.asarray(np.vstack(rows[:MOST_ROWS]), np.uint8)


def _cell(sample: Sample) -> Pixels:
    pixels = decode(sample.image, 3)
    mask = None if sample.mask is None else sample.mask.pixels(*pixels.shape[:2])
    lines = (f"{sample.defect} / {sample.split}", sample.image.name)
    return captioned(framed(pixels, mask=mask), lines)
