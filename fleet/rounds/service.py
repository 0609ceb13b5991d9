"""Federated rounds and their models in the cloud's process: pages over what lies in folders.

Rounds themselves run elsewhere: `splitsight fleet federate` needs torch, and hours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fleet.configuration.settings import FleetSettings
from fleet.releases.service import ReleasesService
from fleet.rounds.candidates.candidate_store import CANDIDATES, CandidateStore
from fleet.rounds.candidates.model_pages import models_page
from fleet.rounds.report.round_pages import rounds_page
from fleet.rounds.report.runs import RunFolders
from shared.plugins.pages import Page, PageContext


class RoundsService:
    """Nothing of it runs: each page reads what is there."""

    def __init__(self, settings: FleetSettings, releases: ReleasesService) -> None:
        self._candidates = CandidateStore(settings.folder / CANDIDATES)
        self._runs = RunFolders(settings.runs)
        self._releases = releases

    @property
    def routers(self) -> Sequence[Any]:
        return []

    @property
    def pages(self) -> Sequence[Page[PageContext]]:
        releases = self._releases
        models = models_page(
            releases.catalogue,
            releases.drafts,
            self._candidates,
            releases.tails.states,
            releases.running,
        )
        return [models, rounds_page(self._runs)]

    def start(self) -> None:
        return

    def stop(self) -> None:
        return
