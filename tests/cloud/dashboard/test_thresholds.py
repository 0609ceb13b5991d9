"""The page on which the gate is moved: what it says, and what saving makes."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cloud.accounts.access import Access
from cloud.app import create_app
from cloud.records.database import Database
from cloud.web.context import Backstage
from shared.bundles.bundle import Bundle
from shared.clock import ManualClock
from shared.plugins.candidates import CandidateShelf, MemoryShelf
from shared.plugins.services import Service
from tests.bundles import make_bundle
from tests.cloud.makers import NOON
from tests.cloud.thresholds.certified import certified
from tests.cloud.web.caller import Caller, access_to
from tests.cloud.web.test_access import OURS, ROOT, SECRET, sign_in
from tests.cloud.web.test_api import healthy

BASE = "http://127.0.0.1"


@dataclass
class Shelves:
    """A service that keeps candidates and does nothing else."""

    shelf: CandidateShelf
    routers: tuple[Any, ...] = ()
    pages: tuple[Any, ...] = ()

    def start(self) -> None:
        """There is nothing to start."""

    def stop(self) -> None:
        """Nor to stop."""


@dataclass
class Rig:
    caller: Caller
    shelf: MemoryShelf
    bundle: Bundle
    access: Access


@pytest.fixture
def rig(database: Database, tmp_path: Path) -> Rig:
    bundle = certified(make_bundle(tmp_path / "tiny"), tmp_path / "certified")
    shelf = MemoryShelf(tmp_path / "candidates")
    clock = ManualClock(NOON)
    access = access_to(database, clock)
    return Rig(_caller(database, clock, access, bundle, [Shelves(shelf)]), shelf, bundle, access)


def _caller(
    database: Database, clock: ManualClock, access: Access, bundle: Bundle, services: list[Service]
) -> Caller:
    app = create_app(
        Backstage(
            database,
            healthy,
            clock=clock,
            services=services,
            access=access,
            bundles=lambda: [bundle],
        )
    )
    return Caller(app, BASE)


def saved(rig: Rig, changes: dict[str, str]) -> Any:
    form = {"version": "1.0.1", "why": "fewer reviews", "by": "ada", **changes}
    return rig.caller.post("/thresholds", data=form, headers=OURS)


def test_the_page_tells_what_the_gate_means_and_that_its_promise_holds(rig: Rig) -> None:
    page = rig.caller.get("/thresholds").text
    assert "The promise holds with these marks" in page
    assert "These 160 parts are the ones that the certificate was tested on" in page
    found = re.search(r'<script type="application/json" id="known-parts">(.*?)</script>', page)
    assert found is not None
    data = json.loads(found.group(1))
    assert len(data["part"]) == 160
    assert data["places"] == data["present"]


def test_a_mark_that_reaches_too_far_breaks_the_promise_by_name(rig: Rig) -> None:
    page = rig.caller.get("/thresholds?pass_below=0.9&reject_from=0.95").text
    assert "The promise does not hold with these marks" in page
    assert "The head passes too much." in page
    fragment = rig.caller.get("/thresholds/outcome?pass_below=0.9&reject_from=0.95").text
    assert "The head passes too much." in fragment
    assert "<html" not in fragment


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("pass_belov=0.5", "pass_belov"),
        ("pass_below=0.9&reject_from=0.1", "must not lie above"),
        ("pass_below=7", "pass_below"),
        ("bundle=ffffffffffffffff", "is not served here"),
        ("parts=mine", "parts"),
        ("days=0", "days"),
    ],
)
def test_what_can_not_be_asked_is_refused_with_its_name(rig: Rig, query: str, told: str) -> None:
    answer = rig.caller.get(f"/thresholds?{query}")
    assert answer.status_code == 422
    assert told in answer.text


def test_a_form_sends_empty_fields_and_they_mean_any(rig: Rig) -> None:
    answer = rig.caller.get("/thresholds?bundle=&parts=labelled&site=&line=&days=")
    assert answer.status_code == 200
    assert "They are no fair sample" in answer.text
    assert "No such part is known yet" in answer.text


def test_the_page_proposes_the_next_version_that_nobody_has(rig: Rig) -> None:
    def proposed() -> str:
        found = re.search(r'name="version"[^>]*value="([^"]*)"', rig.caller.get("/thresholds").text)
        assert found is not None
        return found.group(1)

    assert proposed() == "1.0.1"
    assert saved(rig, {"pass_below": "0.01"}).status_code == 303
    assert proposed() == "1.0.2"
    assert saved(rig, {"pass_below": "0.02", "version": "1.0.3"}).status_code == 303
    assert proposed() == "1.0.2"
    assert saved(rig, {"pass_below": "0.03", "version": "1.0.2"}).status_code == 303
    assert proposed() == "1.0.4"


def test_saving_makes_a_certified_candidate_and_changes_nothing_else(rig: Rig) -> None:
    gate = rig.bundle.manifest.gate
    answer = saved(rig, {"pass_below": str(gate.pass_below / 2)})
    assert answer.status_code == 303
    assert "saved=tiny-1.0.1" in answer.headers["location"]
    (offered,) = rig.shelf.offered
    assert (offered.by, offered.why, offered.certified) == ("ada", "fewer reviews", True)
    made = Bundle.open(rig.shelf.folder / "tiny-1.0.1").manifest
    assert made.gate.pass_below == pytest.approx(gate.pass_below / 2, rel=0.01)
    assert made.certificate is not None
    assert made.pair == rig.bundle.manifest.pair
    assert made.training.options["parent"] == rig.bundle.id
    assert Bundle.open(rig.bundle.path).id == rig.bundle.id
    entry = next(e for e in rig.access.audit.newest(9) if e.what == "gate candidate")
    assert entry.who == "ada"
    assert entry.after is not None
    assert entry.after["why"] == "fewer reviews"


def test_a_gate_that_breaks_the_promise_goes_on_the_shelf_without_a_certificate(rig: Rig) -> None:
    assert saved(rig, {"pass_below": "0.6", "reject_from": "0.95"}).status_code == 303
    (offered,) = rig.shelf.offered
    assert not offered.certified
    assert "nothing shows that the promise" in offered.certificate
    assert Bundle.open(rig.shelf.folder / "tiny-1.0.1").manifest.certificate is None


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"why": "  ", "pass_below": "0.01"}, "nobody said why"),
        ({}, "these are the thresholds that the bundle has"),
        ({"version": "one", "pass_below": "0.01"}, "version"),
    ],
)
def test_what_can_not_be_saved_is_told_and_what_was_typed_stays(
    rig: Rig, changes: dict[str, str], told: str
) -> None:
    answer = saved(rig, changes)
    assert answer.status_code == 409
    assert told in answer.text
    assert rig.shelf.offered == []
    if changes.get("why") is None:
        assert "fewer reviews" in answer.text


def test_only_an_engineer_saves(rig: Rig) -> None:
    rig.access.accounts.add("vera", "inspector", SECRET, ROOT)
    assert sign_in(rig.caller, "vera").status_code == 303
    assert "Save as a candidate" not in rig.caller.get("/thresholds").text
    assert saved(rig, {"pass_below": "0.01"}).status_code == 403
    assert rig.shelf.offered == []


def test_without_a_fleet_marks_move_and_nothing_is_saved(
    database: Database, tmp_path: Path
) -> None:
    bundle = certified(make_bundle(tmp_path / "tiny"), tmp_path / "certified")
    clock = ManualClock(NOON)
    caller = _caller(database, clock, access_to(database, clock), bundle, [])
    assert "keeps no fleet" in caller.get("/thresholds").text
    assert caller.post("/thresholds", data={"pass_below": "0.01"}).status_code == 422
