"""`splitsight fleet candidate approve --rollout`: what speaks against it is said before anybody has
decided, and what goes wrong afterwards says how to go on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cloud.app import create_app
from cloud.records.database import Database
from cloud.web.context import Backstage
from cloud.web.http_server import HttpServer
from fleet.releases.creation import found_repository
from fleet.releases.store import ReleaseStore
from fleet.rounds.candidates.candidate_store import RECORD, CandidateStore
from fleet.rounds.report.findings import CandidateRecord
from shared.clock import SystemClock
from shared.loopback import free_port
from shared.web.access import Caller
from shared.worker import DeadWorkers
from tests.bundles import make_bundle
from tests.cloud.web.caller import access_to
from tests.cloud.web.test_api import healthy
from tests.fleet.rollouts.plant import Plant
from tests.fleet.rollouts.test_routes import app_of
from tests.support.commands import splitsight
from tests.support.databases import place_migrated

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

    def approve(self, *words: str | Path, token: str = "") -> Any:
        told = ("approve", NAME, "--by", "A. Rossi", "--why", "a trial", "--folder", self.fleet)
        return splitsight("fleet", "candidate", *told, *words, token=token)

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


def test_who_approves_is_whose_token_it_is_and_not_who_they_say(
    home: FleetFolder, tmp_path: Path
) -> None:
    records = Database(f"sqlite:///{place_migrated(Database, tmp_path / 'records.db')}")
    access = access_to(records, SystemClock())
    root = Caller("root", "admin", means="command")
    access.accounts.add("ada", "engineer", "correct horse battery staple", root)
    token = access.tokens.add("ada", "a test", ["read"], root)
    server = HttpServer(
        create_app(Backstage(records, healthy, access=access)), "127.0.0.1", 0, DeadWorkers()
    )
    server.start()
    stranger = home.approve("--cloud", server.url, token="sst_of_nobody")  # noqa: S106
    assert ("answered 401" in stranger.stderr, home.status) == (True, "candidate")
    known = home.approve("--cloud", server.url, token=token)
    server.stop()
    records.close()
    assert known.code == 0, known.stderr
    assert home.store.get(NAME).by == "ada"
