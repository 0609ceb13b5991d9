"""From a candidate to a release in the draft: by a person's word, or by a policy's."""

from __future__ import annotations

from pathlib import Path

from fleet.releases.drafts import Drafts
from fleet.releases.release_builder import Adding, ReleaseNote
from fleet.releases.store import ReleaseStore
from fleet.rounds.candidates.candidate_store import CandidateStore
from fleet.rounds.configuration.settings import ReleaseSettings
from fleet.rounds.report.findings import CandidateRecord
from shared.clock import SystemClock
from shared.errors import FederationError
from shared.releases import ANY_HARDWARE, ReleaseFacts

POLICY = "policy: certified"


def approve(store: CandidateStore, name: str, by: str, drafts: Drafts) -> ReleaseFacts:
    """Add a candidate's bundle to the draft, and write down who wanted it.

    Raises FederationError where it may not go out or nobody said so, ReleaseError where the
    repository does not take it.
    """
    store.waiting(name, "approve")
    if not by.strip():
        raise FederationError("nobody decided: a decision needs a name", fix="give --by WHO")
    bundle = store.bundle(name)
    facts = Adding(drafts).add_model(bundle.path, ReleaseNote((ANY_HARDWARE,), by.strip()))
    store.decide(name, "approved", by)
    return facts


def by_policy(record: CandidateRecord, release: ReleaseSettings) -> str:
    """The release that the settings' policy made of a candidate; empty where a person decides.

    Raises ReleaseError where there is no repository beside the candidates.
    """
    sure = record.certified and not record.doubt
    if release.policy != "certified" or record.status != "candidate" or not sure:
        return ""
    drafts = drafts_of(release.candidates.parent)
    return approve(CandidateStore(release.candidates), record.name, POLICY, drafts).path


def drafts_of(folder: Path) -> Drafts:
    """Of the repository in a fleet's folder. Raises ReleaseError where there is none."""
    releases = ReleaseStore(folder)
    releases.require()
    return Drafts(releases, SystemClock())
