"""HTML from templates: the same rules for pages that are served and for reports in files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.ext import Extension

from shared.format import FILTERS
from shared.web.navigation import navigation

BASE = Path(__file__).parent / "templates"
ASSET = re.compile(r'(?<=\ssrc="|href=")/static/[^"?#{}]+(?=")')


class MarkedAssets(Extension):
    """Writes the address of an asset with the mark of its content, when a template is read."""

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        del name, filename
        known: Mapping[str, str] = getattr(self.environment, "assets", {})
        return ASSET.sub(lambda found: known.get(found.group(), found.group()), source)


def environment(
    *folders: Path, assets: Mapping[str, str] | None = None, **words: object
) -> Environment:
    """Templates of these folders, the first first, over our own `base.html`.

    assets  under which address each `/static/...` is served that a template names; None: as it is
    words   what every template knows, beside the filters of `shared.format` and `navigation`;
            of a page `here`, its path, marks it in the navigation

    Values are escaped, and a name that nobody gave is an error.
    """
    made = Environment(
        loader=FileSystemLoader([*folders, BASE]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[MarkedAssets],
    )
    made.extend(assets=assets or {})
    made.filters |= FILTERS
    made.globals |= {"navigation": navigation, **words}
    return made
