"""A scenario's report as one HTML file that needs nothing else."""

from __future__ import annotations

from pathlib import Path

import msgspec
from markupsafe import Markup

from hardware_sim.scenario.chart import CELLS, chart
from hardware_sim.scenario.records import RecordedParts
from hardware_sim.scenario.run import Observed
from hardware_sim.scenario.settings import Scenario
from hardware_sim.scenario.verdict import ScenarioReport
from shared.errors import DataError
from shared.web.html import environment

TEMPLATES = Path(__file__).parent / "templates"


def write_report(
    folder: Path,
    scenario: Scenario,
    observed: Observed,
    found: RecordedParts,
    report: ScenarioReport,
) -> Path:
    """Write report.html and report.json; returns the page's path. Raises DataError."""
    page = (
        environment(TEMPLATES)
        .get_template("scenario.html")
        .render(
            scenario=scenario,
            report=report,
            cells={cell: label for cell, (label, _, _) in CELLS.items()},
            # Our own drawing: its texts are escaped by matplotlib.
            chart=Markup(chart(observed, found)),  # noqa: S704
        )
    )
    path = folder / "report.html"
    try:
        path.write_text(page, encoding="utf-8")
        (folder / "report.json").write_bytes(msgspec.json.encode(report))
    except OSError as error:
        raise DataError(
            f"the report can't be written to {folder} ({error.strerror})",
            fix="give --report a folder that may be written to",
        ) from error
    return path
