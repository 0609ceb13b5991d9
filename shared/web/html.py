"""HTML from templates: the same rules for pages that are served and for reports in files."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from shared.format import FILTERS

BASE = Path(__file__).parent / "templates"


def environment(*folders: Path, **words: object) -> Environment:
    """Templates of these folders, the first first, over our own `base.html`.

    words   what every template knows, beside the filters of `shared.format`

    Values are escaped, and a name that nobody gave is an error.
    """
    made = Environment(
        loader=FileSystemLoader([*folders, BASE]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= FILTERS
    made.globals |= words
    return made
