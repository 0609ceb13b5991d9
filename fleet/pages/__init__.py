"""Pages of the fleet: their templates, in the look of the cloud's own pages."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

TEMPLATES = Path(__file__).parent / "templates"


class Pages:
    """Renders templates. They load only what the cloud serves under /static."""

    def __init__(self) -> None:
        self._templates = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters["size"] = size

    def render(self, name: str, status: int = 200, **facts: object) -> HTMLResponse:
        html = self._templates.get_template(name).render(facts)
        return HTMLResponse(html, status_code=status, headers={"cache-control": "no-store"})


def size(count: int) -> str:
    """Bytes for people, in powers of ten."""
    if count < 1000:
        return f"{count} B"
    if count < 999_500:
        return f"{count / 1000:.0f} kB"
    return f"{count / 1e6:.1f} MB"
