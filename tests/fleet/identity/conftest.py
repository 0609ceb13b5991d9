"""A fleet whose time the test moves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.clock import ManualClock, SystemClock
from tests.fleet.identity.rigs import Office, open_gateway, open_office


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def office(tmp_path: Path, clock: ManualClock) -> Iterator[Office]:
    with open_office(tmp_path / "fleet", clock) as opened:
        yield opened


@pytest.fixture
def real_office(tmp_path: Path) -> Iterator[Office]:
    """By the machine's clock, which TLS goes by."""
    with open_office(tmp_path / "fleet", SystemClock()) as opened:
        yield opened


@pytest.fixture
def gateway(real_office: Office) -> Iterator[str]:
    with open_gateway(real_office) as address:
        yield address
