"""A bundle, written once."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.bundles.bundle import Bundle
from tests.bundles import make_bundle


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Don't write to it: copy it."""
    path = tmp_path_factory.mktemp("bundle") / "tiny"
    make_bundle(path)
    return path


@pytest.fixture
def tiny(tiny_path: Path) -> Bundle:
    return Bundle.open(tiny_path)
