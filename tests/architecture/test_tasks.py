"""Each task of the guide is done by a browser in a test of its name, and no test does another."""

from __future__ import annotations

import ast
import re

from tests.architecture.product import ROOT

GUIDE = ROOT / "docs" / "guides" / "tasks.md"
MOST_STEPS = 5


def tasks() -> dict[str, str]:
    """Each task's text by its heading."""
    _, *parts = re.split(r"^## (.+)$", GUIDE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def browsed() -> set[str]:
    return {
        node.name
        for path in ROOT.glob("tests/browser/test_tasks*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def test_each_task_of_the_guide_is_a_test_of_its_name_and_each_test_a_task() -> None:
    named = {"test_" + re.sub(r"\W+", "_", heading.lower()) for heading in tasks()}
    assert named == browsed()
    assert len(named) == 16


def test_a_task_says_whose_it_is_and_takes_one_to_five_steps() -> None:
    for heading, text in tasks().items():
        assert re.search(r"^\*An? .+\.\*$", text, re.MULTILINE), heading
        steps = re.findall(r"^\d\. ", text, re.MULTILINE)
        assert 1 < len(steps) <= MOST_STEPS, heading
