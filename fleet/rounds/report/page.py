"""What a run came to: one HTML file that needs nothing else, and the same for programs."""

from __future__ import annotations

from pathlib import Path

import msgspec

from fleet.rounds.report.findings import RunFindings
from shared.web.html import environment

PAGE, DATA = "report.html", "report.json"
TEMPLATES = Path(__file__).parent / "templates"


def write_report(folder: Path, findings: RunFindings) -> None:
    """Write `report.html` and `report.json`. Raises OSError where that can't be."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = msgspec.json.format(msgspec.json.encode(findings), indent=2)
    (folder / DATA).write_bytes(rows)
    (folder / PAGE).write_text(render(findings), encoding="utf-8")


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
