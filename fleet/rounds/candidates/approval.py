"""From a candidate to a release in the draft: by a person's word, or by a policy's."""

from __future__ import annotations

from pathlib import Path

from fleet.releases.drafts import Drafts
from fleet.releases.evidence import how_to_show, lacking
from fleet.releases.release_builder import Adding, ReleaseNote
from fleet.releases.store import ReleaseStore
from fleet.rounds.candidates.candidate_store import CandidateStore
from fleet.rounds.configuration.settings import ReleaseSettings
from fleet.rounds.report.findings import CandidateRecord
from shared.clock import SystemClock
from shared.errors import FederationError
from shared.log import get_logger
from shared.releases import ANY_HARDWARE, ReleaseFacts

log = get_logger("rounds")

POLICY = "policy: certified"


def approve(
    store: CandidateStore, name: str, by: str, drafts: Drafts, why: str = ""
) -> ReleaseFacts:
    """Add a candidate's bundle to the draft, and write down who wanted it, and why.

    why   a person's reason, without which nothing goes out that lacks certificate or measurement
    Raises FederationError where it may not go out or nobody said so, ReleaseError where the
    repository does not take it.
    """
    record = store.waiting(name, "approve")
    if not by.strip():
        raise FederationError("nobody decided: a decision needs a name", fix="give --by WHO")
    bundle = store.bundle(name)
    missing = lacking(bundle, certified=record.certified)
    if missing and not why.strip():
        raise FederationError(
            f"{name} {' and '.join(missing)}",
            fix=f"{how_to_show(bundle)}; rounds with more parts held out end in a certificate; or "
            "say with --why why it goes out without, which is kept with your name",
        )
    note = ReleaseNote((ANY_HARDWARE,), by.strip(), why=why.strip())
    facts = Adding(drafts).add_model(bundle, note)
    store.decide(name, "approved", by, why)
    return facts


def by_policy(record: CandidateRecord, release: ReleaseSettings) -> str:
    """The release that the settings' policy made of a candidate; empty where a person decides.

    Raises ReleaseError where there is no repository beside the candidates.
    """
    sure = record.certified and not record.doubt
    if release.policy != "certified" or record.status != "candidate" or not sure:
        return ""
    store = CandidateStore(release.candidates)
    if missing := lacking(store.bundle(record.name), certified=record.certified):
        log.info("policy_leaves_it_to_a_person", candidate=record.name, lacks=missing)
        return ""
    return approve(store, record.name, POLICY, drafts_of(release.candidates.parent)).path


def drafts_of(folder: Path) -> Drafts:
    """Of the repository in a fleet's folder. Raises ReleaseError where there is none."""
    releases = ReleaseStore(folder)
    releases.require()
    return Drafts(releases, SystemClock())
