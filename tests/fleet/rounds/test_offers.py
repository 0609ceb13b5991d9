"""A gate that a person offers: kept like what rounds end in, and let out only by a person."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fleet.releases.catalogue import Catalogue
from fleet.releases.evidence import lacking
from fleet.releases.store import ReleaseStore
from fleet.rounds.candidates.candidate_store import CANDIDATES, CandidateStore
from fleet.rounds.candidates.offers import OfferedCandidates
from fleet.rounds.report.page import DATA, PAGE
from shared.bundles.bundle import Bundle, amend_bundle
from shared.errors import BundleError, FederationError
from shared.plugins.candidates import OfferedCandidate, Standing
from tests.bundles import make_bundle
from tests.fleet.releases.rigs import Yard
from tests.support.commands import splitsight

WISH = OfferedCandidate(
    model="tiny",
    version="1.0.1",
    parent="0123456789abcdef",
    by="ada",
    why="too much <b>review</b> on line 2",
    certificate="no certificate: nothing shows that the promise still holds",
    certified=False,
    gate="pass below 0.3, reject from 0.8",
    before=Standing(escapes=1, overkill=2, good=80, defective=80),
    after=Standing(escapes=4, overkill=2, good=80, defective=80),
    doubt="control parts contradict it",
    created="2026-11-30T10:00:00Z",
)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return make_bundle(tmp_path / "tiny")


def shelf_of(folder: Path) -> OfferedCandidates:
    return OfferedCandidates(folder / CANDIDATES, Catalogue(ReleaseStore(folder)))


def offered(folder: Path, bundle: Bundle) -> str:
    gate = {**bundle.manifest.gate.model_dump(), "pass_below": 0.3}
    changes = {"version": "1.0.1", "gate": gate}
    shelf = shelf_of(folder)
    return shelf.offer(WISH, lambda path: amend_bundle(bundle, changes, path))


def test_an_offer_waits_among_the_candidates_with_who_wants_it_and_why(
    tmp_path: Path, bundle: Bundle
) -> None:
    name = offered(tmp_path, bundle)
    store = CandidateStore(tmp_path / CANDIDATES)
    record = store.waiting(name, "approve")
    assert (record.asked_by, record.asked_why) == ("ada", WISH.why)
    assert (record.certified, record.doubt) == (False, WISH.doubt)
    assert store.bundle(name).manifest.gate.pass_below == 0.3
    report = (store.folder(name) / PAGE).read_text()
    assert "too much &lt;b&gt;review&lt;/b&gt; on line 2" in report
    assert "4 of 80" in report
    assert "Rounds" not in report
    assert json.loads((store.folder(name) / DATA).read_text())["strategy"] == "thresholds"


@pytest.mark.process
def test_the_command_shows_an_offer_and_approves_it_only_with_a_reason(
    tmp_path: Path, bundle: Bundle
) -> None:
    name = offered(tmp_path, bundle)
    told = splitsight("fleet", "candidate", "show", name, "--folder", str(tmp_path))
    assert f"asked for by ada: {WISH.why}" in told.stdout
    record = CandidateStore(tmp_path / CANDIDATES).get(name)
    assert "has no certificate" in lacking(bundle, certified=record.certified)


def test_the_same_offer_twice_is_refused_and_the_first_one_stays(
    tmp_path: Path, bundle: Bundle
) -> None:
    name = offered(tmp_path, bundle)
    with pytest.raises(FederationError, match="among the candidates already"):
        offered(tmp_path, bundle)
    assert CandidateStore(tmp_path / CANDIDATES).names() == [name]


def test_an_offer_whose_bundle_can_not_be_written_leaves_no_candidate(
    tmp_path: Path, bundle: Bundle
) -> None:
    shelf = shelf_of(tmp_path)
    with pytest.raises(BundleError):
        shelf.offer(WISH, lambda path: amend_bundle(bundle, {"version": "one"}, path))
    assert CandidateStore(tmp_path / CANDIDATES).names() == []


def test_a_version_is_taken_once_it_is_drafted_published_or_a_candidates(
    tmp_path: Path, bundle: Bundle
) -> None:
    yard = Yard(tmp_path)
    shelf = shelf_of(yard.folder)
    assert shelf.taken("tiny") == set()
    offered(yard.folder, bundle)
    yard.release("1.0.2")
    yard.add("1.0.3")
    assert shelf.taken("tiny") == {"1.0.1", "1.0.2", "1.0.3"}
    assert shelf.taken("tin") == set()


def test_without_a_repository_the_candidates_versions_are_taken_alone(
    tmp_path: Path, bundle: Bundle
) -> None:
    offered(tmp_path, bundle)
    assert shelf_of(tmp_path).taken("tiny") == {"1.0.1"}
