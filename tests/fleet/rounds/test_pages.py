"""Models and rounds as pages: what lies in folders is shown, and a person's word is kept."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
from fastapi import FastAPI

from cloud.web.problems import handle_problems
from fleet.releases.tails import TailState
from fleet.rounds.candidates.candidate_store import CandidateStore
from fleet.rounds.candidates.model_pages import models_page
from fleet.rounds.coordination.journal import RunJournal, RunProgress, Terms
from fleet.rounds.report.findings import (
    CandidateRecord,
    Contribution,
    Exclusion,
    FleetStanding,
    RoundRecord,
    RunFindings,
)
from fleet.rounds.report.page import write_report
from fleet.rounds.report.round_pages import QUIET_S, rounds_page, state_of
from fleet.rounds.report.runs import RunFolders
from shared.bundles.bundle import amend_bundle
from shared.web.access import Caller as Identity
from shared.web.access import FixedAccess
from shared.web.audit import RecordingTrail
from tests.bundles import make_bundle
from tests.cloud.web.caller import Caller, include
from tests.fleet.releases.rigs import Yard

ADA = Identity("ada", "engineer")
ORIGIN = {"origin": "http://cloud.example"}
TERMS = Terms("0123456789abcdef", "fedavg", 3, 0, "b" * 64, "l" * 64, "s" * 64)


def record_of(number: int, **more: Any) -> RoundRecord:
    facts: dict[str, Any] = {
        "round": number,
        "outcome": "finished",
        "took_part": [Contribution("north", 40, 0.5 / number), Contribution("south", 60, 0.4)],
        "aside": [Exclusion("west", "not there: it did not answer")],
        "late": [],
        "bytes_down": 1_000,
        "bytes_up": 2_000,
        "seconds": 3.0,
        "epsilon": 0.5 * number,
    }
    return RoundRecord(**{**facts, **more})


class House:
    """A fleet's folder with its pages."""

    def __init__(self, folder: Path, caller: Identity = ADA) -> None:
        self.yard = Yard(folder)
        self.store = CandidateStore(folder / "fleet" / "candidates")
        self.runs = folder / "runs"
        self.running: dict[str, str] = {}
        self.tails: list[TailState] = []
        self.trail = RecordingTrail()
        self.caller = caller
        self.app = app = FastAPI()
        handle_problems(app)
        models = models_page(
            self.yard.catalogue,
            self.yard.drafts,
            self.store,
            lambda: self.tails,
            lambda: self.running,
        )
        for page in (models, rounds_page(RunFolders(self.runs))):
            include(app, page, self.yard.clock)
        app.add_middleware(FixedAccess, caller=caller, trail=self.trail)
        self._caller = Caller(app, "http://cloud.example")

    def get(self, path: str) -> httpx.Response:
        return self._caller.get(path)

    def post(self, path: str, **fields: str) -> httpx.Response:
        return self._caller.post(path, data=fields, headers=ORIGIN)

    def candidate(self, name: str = "tiny-1.1.0-0123", **more: Any) -> CandidateRecord:
        """One that waits, with a bundle."""
        findings = RunFindings.of_rounds(TERMS.run, "fedavg", [record_of(1), record_of(2)])
        standing = FleetStanding(0.9, 3, 2, 40, 20)
        findings = msgspec.structs.replace(
            findings,
            name=name,
            parent="tiny 1.0.0",
            before=standing,
            after=msgspec.structs.replace(standing, auroc=0.95, escapes=1),
        )
        facts: dict[str, Any] = {
            "name": name,
            "status": "candidate",
            "bundle": "bundle",
            "created": "2026-11-25T22:39:30Z",
            "run": TERMS.run,
        }
        record = CandidateRecord(**{**facts, **more})
        made = make_bundle(self.store.folder(name) / "bundle")
        amend_bundle(made, {"version": "1.1.0"})
        self.store.put(record, findings)
        return record

    def run(self, name: str, *records: RoundRecord) -> Path:
        """One that has come as far as these rounds."""
        folder = self.runs / name
        progress = RunProgress(TERMS, np.zeros(9), {"m": np.ones(3)}, list(records))
        RunJournal(folder).keep(progress)
        return folder


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


# ---- models


def test_a_released_model_is_shown_with_lineage_promise_and_who_runs_it(house: House) -> None:
    facts = house.yard.release("1.0.0")
    house.running = {"box-1": facts.bundle, "box-2": facts.bundle, "box-3": "another"}
    house.tails = [TailState(facts.pair, facts.bundle, ("box-1",), facts.path, droppable=False)]
    page = house.get("/models").text
    for told in (
        "tiny 1.0.0",
        "no certificate",
        "not measured",
        "2 boxes",
        "A. Rossi",
        "published",
    ):
        assert told in page
    one = house.get(f"/models/bundle/{facts.bundle}").text
    for told in ("box-1, box-2", "on golden inputs", "int8 within", "served"):
        assert told in one
    assert "No comparison with its parent" in one


def test_a_cloud_without_releases_shows_what_it_serves(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.tails = [TailState("pair", "elpv 1.0.0", (), "", droppable=True)]
    page = house.get("/models").text
    assert "No model was released yet" in page
    assert "elpv 1.0.0" in page


def test_a_candidate_shows_its_report_before_anybody_decides(house: House) -> None:
    house.candidate()
    assert "waits for a person" in house.get("/models").text
    page = house.get("/models/candidates/tiny-1.1.0-0123").text
    for told in ("3 of 20", "1 of 20", "0.900", "0.950", "has no certificate"):
        assert told in page


def test_what_lacks_certificate_or_measurement_goes_out_with_a_reason_only(house: House) -> None:
    house.candidate()
    path = "/models/candidates/tiny-1.1.0-0123"
    refused = house.post(path, do="approve")
    assert (refused.status_code, "has no certificate" in refused.text) == (409, True)
    assert house.store.get("tiny-1.1.0-0123").status == "candidate"
    assert house.post(path, do="approve", why="a trial on one line").status_code == 303
    record = house.store.get("tiny-1.1.0-0123")
    assert (record.status, record.by, record.why) == ("approved", "ada", "a trial on one line")
    page = house.get("/models").text
    assert ">tiny 1.1.0</a>" in page
    assert "draft" in page
    entry = house.trail.entries[-1]
    assert (entry.who, entry.what, entry.after) == (
        "ada",
        "candidate approve",
        {"why": "a trial on one line"},
    )
    # What it was compared on stays with the model that came of it.
    bundle = re.findall(r'/models/bundle/([^"]+)"', page)[0]
    assert "Before and after, on the same parts" in house.get(f"/models/bundle/{bundle}").text


@pytest.mark.parametrize("do", ["approve", "reject"])
def test_a_reason_that_is_too_long_is_told_so_and_decides_nothing(house: House, do: str) -> None:
    house.candidate()
    path = "/models/candidates/tiny-1.1.0-0123"
    refused = house.post(path, do=do, why="x" * 501)
    assert refused.status_code == 409
    assert "the reason has 501 characters, and at most 500 are kept" in refused.text
    assert house.store.get("tiny-1.1.0-0123").status == "candidate"
    assert house.post(path, do=do, why="x" * 500).status_code == 303


def test_nobody_decides_twice(house: House) -> None:
    house.candidate()
    path = "/models/candidates/tiny-1.1.0-0123"
    assert house.post(path, do="reject", why="too many escapes").status_code == 303
    record = house.store.get("tiny-1.1.0-0123")
    assert (record.status, record.by, record.why) == ("rejected", "ada", "too many escapes")
    again = house.post(path, do="approve", why="please")
    assert (again.status_code, "was rejected by ada" in again.text) == (409, True)
    assert "<form" not in house.get(path).text.partition("<main")[2]


def test_what_was_refused_may_be_rejected_and_not_approved(house: House) -> None:
    house.candidate(status="refused", reasons=["north loses by it"])
    path = "/models/candidates/tiny-1.1.0-0123"
    page = house.get(path).text
    assert "north loses by it" in page
    assert 'value="approve"' not in page
    assert house.post(path, do="approve", why="all the same").status_code == 409
    assert house.post(path, do="reject").status_code == 303


def test_who_is_not_known_says_a_name_and_a_viewer_decides_nothing(tmp_path: Path) -> None:
    nameless = House(tmp_path / "a", Identity("this machine", "admin", means="machine"))
    nameless.candidate()
    path = "/models/candidates/tiny-1.1.0-0123"
    assert "Your name" in nameless.get(path).text
    assert "nobody says who it is" in nameless.post(path, do="approve", why="x").text
    viewer = House(tmp_path / "b", Identity("vic", "viewer"))
    viewer.candidate()
    assert "<form" not in viewer.get(path).text.partition("<main")[2]
    assert viewer.post(path, do="reject").status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "/models/candidates/none",
        "/models/candidates/..%2f..",
        "/models/candidates/%00",
        "/models/bundle/none",
        "/rounds/run/none",
        "/rounds/run/%2e%2e",
    ],
)
def test_what_is_not_there_is_said_and_is_no_error_of_the_cloud(house: House, path: str) -> None:
    assert house.get(path).status_code == 404


def test_a_broken_candidate_keeps_no_other_from_being_seen(house: House) -> None:
    house.candidate()
    folder = house.store.folder("broken")
    folder.mkdir(parents=True)
    (folder / "candidate.json").write_text("{")
    page = house.get("/models")
    assert page.status_code == 200
    assert "tiny-1.1.0-0123" in page.text
    assert "can&#39;t be read" in page.text
    assert house.get("/models/candidates/broken").status_code == 404


# ---- rounds


def test_a_run_that_goes_on_shows_how_far_it_is_and_what_it_has_spent(house: House) -> None:
    house.run("plants", record_of(1), record_of(2))
    page = house.get("/rounds").text
    for told in ("plants", "2 of 3", "fedavg"):
        assert told in page
    one = house.get("/rounds/run/plants").text
    for told in ("ε spent: 1", "north, south", "west: not there", 'data-loss="0.', "Loss by round"):
        assert told in one


def test_a_run_is_read_anew_after_each_round(house: House) -> None:
    house.run("plants", record_of(1))
    assert "1 of 3" in house.get("/rounds").text
    house.run("plants", record_of(1), record_of(2, outcome="void", took_part=[], epsilon=None))
    assert "void" in house.get("/rounds/run/plants").text


def test_a_run_that_has_ended_shows_what_it_came_to(house: House) -> None:
    records = [record_of(1), record_of(2), record_of(3)]
    folder = house.run("plants", *records)
    findings = RunFindings.of_rounds(TERMS.run, "fedavg", records)
    write_report(folder, msgspec.structs.replace(findings, reasons=["no candidate was asked for"]))
    assert "ended" in house.get("/rounds").text
    assert "no candidate was asked for" in house.get("/rounds/run/plants").text


def test_a_report_of_a_run_that_was_gone_on_with_speaks_for_it_no_longer(house: House) -> None:
    folder = house.run("plants", record_of(1), record_of(2))
    write_report(folder, RunFindings.of_rounds(TERMS.run, "fedavg", [record_of(1)]))
    assert RunFolders(house.runs).find("plants").findings is None


def test_a_run_without_noise_says_that_nothing_bounds_it_and_one_without_loss_has_none(
    house: House,
) -> None:
    house.run("plain", record_of(1, epsilon=None, took_part=[]))
    page = house.get("/rounds/run/plain").text
    assert "no ε bounds what the rounds tell" in page
    assert 'data-loss=""' in page
    assert "nan" not in page


def test_a_folder_that_the_cloud_does_not_see_is_named_with_what_is_needed(house: House) -> None:
    page = house.get("/rounds").text
    assert str(house.runs) in page
    assert "share that folder with this one" in page


def test_a_broken_run_keeps_no_other_from_being_seen(house: House) -> None:
    house.run("good", record_of(1))
    for name, content in (("cut", b"PK\x03\x04"), ("none", b"")):
        folder = house.runs / name
        folder.mkdir()
        (folder / "journal.npz").write_bytes(content)
    (house.runs / "odd").mkdir()
    (house.runs / "odd" / "report.json").write_text("[]")
    page = house.get("/rounds")
    assert page.status_code == 200
    assert page.text.count("can&#39;t be read") >= 3
    assert house.get("/rounds/run/cut").status_code == 200
    assert house.get("/rounds/rounds.js").status_code == 200


def test_a_run_that_wrote_nothing_for_long_has_stopped(house: House) -> None:
    house.run("plants", record_of(1))
    run = RunFolders(house.runs).find("plants")
    assert state_of(run, run.changed_at + 60) == "under way: round 2 of 3"
    assert "goes on from there" in state_of(run, run.changed_at + QUIET_S + 1)
