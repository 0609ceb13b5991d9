"""Fresh environments, made once: only where it is asked for by name, since it takes minutes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.install.environments import Environments
from tests.install.journeys import Journeys

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def environments(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Environments]:
    calls = (getattr(item, "callspec", None) for item in request.session.items)
    wanted = [call.params["extras"] for call in calls if call and "extras" in call.params]
    made = Environments(tmp_path_factory.mktemp("environments"), wanted)
    yield made
    made.close()


@pytest.fixture(scope="session")
def journeys(environments: Environments, tmp_path_factory: pytest.TempPathFactory) -> Journeys:
    return Journeys(environments, tmp_path_factory.mktemp("journeys"))


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """`make test-install` names this folder."""
    asked = [Path(str(name).partition("::")[0]).resolve() for name in config.args]
    return None if any(HERE in (path, *path.parents) for path in asked) else True
