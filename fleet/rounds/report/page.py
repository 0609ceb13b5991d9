"""What a run came to as one HTML file that needs nothing else."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from fleet.rounds.report.findings import RunFindings

PAGE = "report.html"


def write_report(folder: Path, findings: RunFindings) -> Path:
    """Write `report.html`. Raises OSError where it can't be."""
    path = folder / PAGE
    path.write_text(render(findings), encoding="utf-8")
    return path


def render(findings: RunFindings) -> str:
    environment = Environment(
        loader=PackageLoader("fleet.rounds.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["ratio"] = _ratio
    environment.filters["megabytes"] = _megabytes
    finished = [record for record in findings.rounds if record.outcome == "finished"]
    return environment.get_template("report.html").render(
        f=findings,
        finished=len(finished),
        dropped=[(record.round, one) for record in findings.rounds for one in record.aside],
        late=[(record.round, device) for record in findings.rounds for device in record.late],
    )


def _ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.2f} MB"
