"""What a run came to as one HTML file that needs nothing else."""

from __future__ import annotations

from pathlib import Path

from fleet.rounds.report.findings import RunFindings
from shared.web.html import environment

PAGE = "report.html"
TEMPLATES = Path(__file__).parent / "templates"


def write_report(folder: Path, findings: RunFindings) -> Path:
    """Write `report.html`. Raises OSError where it can't be."""
    path = folder / PAGE
    path.write_text(render(findings), encoding="utf-8")
    return path


def render(findings: RunFindings) -> str:
    finished = [record for record in findings.rounds if record.outcome == "finished"]
    return (
        environment(TEMPLATES)
        .get_template("report.html")
        .render(
            f=findings,
            finished=len(finished),
            dropped=[(record.round, one) for record in findings.rounds for one in record.aside],
            late=[(record.round, device) for record in findings.rounds for device in record.late],
        )
    )
