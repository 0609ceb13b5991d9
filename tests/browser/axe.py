"""What axe-core finds of a page that keeps people from using it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

AXE = Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js"
SERIOUS = frozenset({"serious", "critical"})
OF_COLOUR = ("color-contrast", "link-in-text-block")
"""All rules of which the answer is another one in other colours."""


def serious_findings(page: Page, only: Sequence[str] = ()) -> list[str]:
    """Each serious finding of the page as it is shown now: the rule, what it wants, and where.

    only   these rules; none: all
    The script goes in through the browser's own tools, which the page's policy does not stop.
    """
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(AXE.read_text())
    found: list[dict[str, Any]] = page.evaluate(
        """async (rules) => (await axe.run(document, {
            resultTypes: ['violations'],
            ...(rules.length ? {runOnly: {type: 'rule', values: rules}} : {}),
        })).violations""",
        list(only),
    )
    return [
        f"{one['id']}: {one['help']}: {[node['html'][:120] for node in one['nodes'][:3]]}"
        for one in found
        if one["impact"] in SERIOUS
    ]
