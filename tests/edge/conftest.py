"""What the tests of the agent share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.bundles.bundle import Bundle
from tests.bundles import make_bundle
from tests.edge.rigs import Rig


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


@pytest.fixture
def rig(tmp_path: Path, bundle: Bundle) -> Iterator[Rig]:
    rig = Rig(tmp_path, bundle)
    yield rig
    rig.close()
