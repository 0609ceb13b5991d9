"""What README and the guides show works where it says so: each page from a fresh environment of
just the extras that it names, its commands word for word and in its order."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.install.journeys import Journeys
from tests.support.documented import ROOT, blocks, pages

WAYS = list(dict.fromkeys((p, b.extras) for p in pages() for b in blocks(p) if b.extras))


@pytest.mark.parametrize(
    ("page", "extras"),
    [pytest.param(p, e, id=f"{p.relative_to(ROOT)}:{','.join(e)}") for p, e in WAYS],
)
def test_the_commands_of_a_page_end_as_it_shows(
    journeys: Journeys, page: Path, extras: tuple[str, ...]
) -> None:
    walked = journeys.of(page, *extras)
    assert walked.given
    for step, ended in walked.given:
        where = f"{page.name}:{step.line}: {ended.command}\n{ended.said[-3000:]}"
        assert (ended.code != 0) == step.fails, where
        assert "mistake in splitsight" not in ended.said, where
        assert "Traceback" not in ended.said, where
