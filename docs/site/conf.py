"""The documentation as a site: `make site`. Nothing in it is loaded from another address."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1]

project = "splitsight"
pyproject = tomllib.loads((DOCS.parent / "pyproject.toml").read_text())
version = release = pyproject["project"]["version"]
extensions = ["myst_parser"]
root_doc = "README"
exclude_patterns = ["site"]
myst_heading_anchors = 4
highlight_language = "none"
html_theme = "furo"
html_title = f"splitsight {version}"
html_copy_source = html_show_sphinx = False
html_static_path: list[str] = []

# The order of the menu; what a pattern names twice stands where it is named first.
MENU = {
    "Guides": ["guides/**", "federated"],
    "Reference": [
        "reference/*",
        "words",
        "rooms",
        "dashboard",
        "data-sets",
        "robustness",
        "reliability",
        "threats",
    ],
    "Measured and decided": ["benchmarks", "decisions/README"],
    "Maintaining": ["releasing"],
}


def _menu(caption: str, patterns: list[str]) -> str:
    lines = "\n".join(patterns)
    return f"\n\n```{{toctree}}\n:glob:\n:hidden:\n:caption: {caption}\n{lines}\n```\n"


def _add_menus(_app: Any, name: str, source: list[str]) -> None:
    """Sphinx's own syntax, which a reader of the plain files would only see as noise."""
    if name == root_doc:
        source[0] += "".join(_menu(*entry) for entry in MENU.items())
    elif name == "decisions/README":
        source[0] += _menu("Decisions", ["[0-9]*"])
    # What is next to the page in the repository is not part of the site.
    source[0] = re.sub(r"<!--.*?-->\n?", "", source[0], flags=re.DOTALL)


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("source-read", _add_menus)
