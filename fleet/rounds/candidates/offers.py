"""Candidates that nobody trained: the present bundle with another gate, offered by a person."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from pathlib import Path

from fleet.releases.catalogue import Catalogue
from fleet.rounds.candidates.candidate_store import RECORD, CandidateStore
from fleet.rounds.report.findings import CandidateRecord, FleetStanding, RunFindings
from shared.errors import FederationError
from shared.log import get_logger
from shared.plugins.candidates import OfferedCandidate, Standing, WriteBundle

log = get_logger("candidates")

BUNDLE = "bundle"
ORIGIN = "thresholds"


class OfferedCandidates:
    """A `shared.plugins.candidates.CandidateShelf` over a fleet's candidates.

    releases   those of the fleet: their versions are taken
    """

    def __init__(self, root: Path, releases: Catalogue) -> None:
        self._store = CandidateStore(root)
        self._releases = releases

    def taken(self, model: str) -> Collection[str]:
        """Raises ReleaseError."""
        named = re.compile(re.escape(model) + r"-([0-9]+(?:\.[0-9]+){0,2})-[0-9a-f]+")
        found = map(named.fullmatch, self._store.names())
        return {*self._releases.versions(model), *(name[1] for name in found if name)}

    def offer(self, candidate: OfferedCandidate, write: WriteBundle) -> str:
        """Raises FederationError where it was offered already, BundleError where it can't be."""
        name = _name(candidate)
        folder = self._store.folder(name)
        if (folder / RECORD).exists():
            raise FederationError(
                f"{name} is among the candidates already",
                fix=f"`splitsight fleet candidate show {name}` tells who offered it; another gate "
                "needs a higher version",
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write(folder / BUNDLE)
            self._store.put(_record(name, candidate), _findings(name, candidate))
        except OSError as error:
            raise FederationError(
                f"{folder} can't be written ({error.strerror})", fix="free some space, or its owner"
            ) from error
        log.info(
            "candidate_offered", candidate=name, by=candidate.by, certified=candidate.certified
        )
        return name


def _name(candidate: OfferedCandidate) -> str:
    gate = hashlib.sha256(candidate.gate.encode()).hexdigest()[:8]
    return f"{candidate.model}-{candidate.version}-{gate}"


def _record(name: str, candidate: OfferedCandidate) -> CandidateRecord:
    return CandidateRecord(
        name=name,
        status="candidate",
        bundle=BUNDLE,
        created=candidate.created,
        run="",
        certified=candidate.certified,
        doubt=candidate.doubt,
        asked_by=candidate.by,
        asked_why=candidate.why,
    )


def _findings(name: str, candidate: OfferedCandidate) -> RunFindings:
    remarks = [f"{candidate.by} asked for this gate: {candidate.why}"]
    if candidate.doubt:
        remarks.append(f"Look at this first: {candidate.doubt}")
    return RunFindings(
        name=name,
        run="",
        strategy=ORIGIN,
        created=candidate.created,
        parent=candidate.parent,
        bundle=BUNDLE,
        rounds=[],
        sites=[],
        before=_standing(candidate.before),
        after=_standing(candidate.after),
        aside=[],
        epsilon=None,
        seen=[],
        bytes_down=0,
        bytes_up=0,
        minutes=0.0,
        certified=candidate.certified,
        certificate=candidate.certificate,
        gate=candidate.gate,
        reasons=[],
        remarks=remarks,
    )


def _standing(one: Standing) -> FleetStanding:
    return FleetStanding(
        auroc=None,
        escapes=one.escapes,
        overkill=one.overkill,
        good=one.good,
        defective=one.defective,
    )
