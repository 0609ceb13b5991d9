"""`splitsight fleet candidate approve --rollout`: what speaks against it is said before anybody has
decided, and what goes wrong afterwards says how to go on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cloud.web.http_server import HttpServer
from fleet.releases.creation import found_repository
from fleet.releases.store import ReleaseStore
from fleet.rounds.candidates.candidate_store import RECORD, CandidateStore
from fleet.rounds.report.findings import CandidateRecord
from shared.clock import SystemClock
from shared.loopback import free_port
from shared.worker import DeadWorkers
from tests.bundles import make_bundle
from tests.fleet.rollouts.plant import Plant
from tests.fleet.rollouts.test_routes import app_of
from tests.support.commands import splitsight

pytestmark = pytest.mark.process

NAME = "tiny-1.0.0-0123"


class FleetFolder:
    """A fleet's folder with a candidate in its store, and the key that signs models."""

    def __init__(self, folder: Path) -> None:
        self.fleet, self.key = folder / "fleet", folder / "stick/models.pem"
        found_repository(ReleaseStore(self.fleet), folder / "stick", SystemClock())
        self.store = CandidateStore(self.fleet / "candidates")
        make_bundle(self.store.folder(NAME) / "bundle")
        record = CandidateRecord(NAME, "candidate", "bundle", "2026-01-01T00:00:00Z", "0123")
        (self.store.folder(NAME) / RECORD).write_bytes(msgspec.json.encode(record))

    def approve(self, *words: str | Path) -> Any:
        told = ("approve", NAME, "--by", "A. Rossi", "--folder", self.fleet)
        return splitsight("fleet", "candidate", *told, *words)

    @property
    def status(self) -> str:
        return self.store.get(NAME).status


@pytest.fixture
def home(tmp_path: Path) -> FleetFolder:
    return FleetFolder(tmp_path)


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[HttpServer]:
    """Of another fleet: it has not heard of our release."""
    server = HttpServer(app_of(Plant(tmp_path / "elsewhere", 2)), "127.0.0.1", 0, DeadWorkers())
    server.start()
    yield server
    server.stop()


def test_only_what_is_published_is_rolled_out(home: FleetFolder) -> None:
    ended = home.approve("--rollout")
    assert (ended.code, "only a published release can be rolled out" in ended.stderr) == (90, True)
    assert home.status == "candidate"


def test_a_plan_without_a_rollout_is_refused(home: FleetFolder, tmp_path: Path) -> None:
    ended = home.approve("--plan", tmp_path / "plan.yaml")
    assert (ended.code, "only a rollout has a plan" in ended.stderr) == (90, True)
    assert home.status == "candidate"


def test_a_plan_that_can_not_be_is_told_before_anything_is_decided(
    home: FleetFolder, tmp_path: Path
) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text("rings: []\n")
    ended = home.approve("--rollout", "--key", home.key, "--plan", plan)
    assert (ended.code, "plan.yaml" in ended.stderr) == (10, True)
    assert home.status == "candidate"


def test_a_cloud_that_is_away_is_told_before_anything_is_decided(home: FleetFolder) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    ended = home.approve("--rollout", "--key", home.key, "--cloud", away)
    assert ended.code != 0
    assert "can't be read" in ended.stderr
    assert home.status == "candidate"


def test_a_release_that_does_not_get_on_its_way_stays_published_and_says_how_to_go_on(
    home: FleetFolder, cloud: HttpServer
) -> None:
    ended = home.approve("--rollout", "--key", home.key, "--cloud", cloud.url)
    assert ended.code == 90
    said = " ".join(ended.stderr.split())
    assert "models/tiny/1.0.0.zip is published, but not on its way" in said
    assert "splitsight fleet rollout start models/tiny/1.0.0.zip" in said
    assert home.status == "approved"
