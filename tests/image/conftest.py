"""Where the image test keeps its logs, and what it needs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.image.rigs import ROOT, Plant

HERE = Path(__file__).parent
KEPT = Path(os.environ.get("SPLITSIGHT_IMAGE_LOGS", ROOT / "runs" / "image"))


@pytest.fixture
def plant() -> Iterator[Plant]:
    shutil.rmtree(KEPT, ignore_errors=True)
    KEPT.mkdir(parents=True)
    made = Plant(KEPT, ROOT / "bundles" / "elpv")
    yield made
    made.stop()


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Only where it is asked for by name: it takes many minutes."""
    asked = any(
        HERE in Path(str(name).partition("::")[0]).resolve().parents
        or Path(str(name).partition("::")[0]).resolve() == HERE
        for name in config.args
    )
    return None if asked else True
