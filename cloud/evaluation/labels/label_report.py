"""What is known of a set's labels as one HTML file that needs nothing else."""

from __future__ import annotations

from pathlib import Path

from cloud.disputes.label_quality import LabelQuality
from cloud.evaluation.label_tables import SHEET, label_headline, label_sheet, label_tables
from cloud.evaluation.report import PAGE, TEMPLATES, png_address, write_or_remove
from shared.web.html import environment


def write_label_report(folder: Path, found: LabelQuality) -> Path:
    """Write `report.html` and `disputed.png`, the disputed side by side.

    Without a dispute the PNG is not there, nor that of an earlier report. Returns the page's path;
    raises DataError where it can't be written, or a picture can't be read.
    """
    png = label_sheet(found.disputed)
    page = (
        environment(TEMPLATES)
        .get_template("labels.html")
        .render(
            found=found,
            headline=label_headline(found),
            labels=label_tables(found).filled,
            sheet=None if png is None else png_address(png),
        )
    )
    write_or_remove(folder / SHEET, png)
    return write_or_remove(folder / PAGE, page.encode())
