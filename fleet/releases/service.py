"""Releases in the cloud's process: kept fresh, their tails served, their registry shown."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from fleet.configuration.settings import FleetSettings
from fleet.releases.catalogue import Catalogue
from fleet.releases.drafts import Drafts
from fleet.releases.publisher import Publisher
from fleet.releases.routes import elsewhere, release_page, release_routes
from fleet.releases.store import ReleaseStore
from fleet.releases.tails import Running, RunningModels, Tails
from fleet.storage.database import FleetDatabase
from shared.errors import SplitsightError
from shared.log import get_logger
from shared.plugins.pages import Page, PageContext
from shared.plugins.services import Surroundings
from shared.worker import Worker

log = get_logger("releases")

EVERY_S = 2.0
STOP_S = 10.0


class ReleasesService:
    """One thread that looks every EVERY_S whether something is due.

    running     the bundle that each device runs; without it, what devices say of themselves
    publisher   signs again what is due; None: somebody else does
    """

    def __init__(
        self,
        store: ReleaseStore,
        around: Surroundings,
        running: Running | None = None,
        publisher: Publisher | None = None,
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._listening = RunningModels() if running is None else None
        self._transport = around.transport
        self.running: Running = running or self._listening or dict
        self.catalogue = Catalogue(store)
        self.tails = Tails(self.catalogue, around.tails, self.running)
        self.drafts = Drafts(store, around.clock)
        self._looking = threading.Lock()
        self._worker = Worker("releases", self._keep, on_death=around.on_death)
        self._seen: object = None

    @property
    def routers(self) -> Sequence[Any]:
        return [release_routes(self.drafts, self.catalogue, self.tails)]

    @property
    def pages(self) -> Sequence[Page[PageContext]]:
        return [release_page(self.drafts, self.catalogue, self.tails)]

    def start(self) -> None:
        if self._listening:
            self._listening.listen(self._transport)
        self.look()
        self._worker.start()

    def stop(self) -> None:
        self._worker.stop(STOP_S)

    def look(self) -> None:
        """Sign again what is due, and open tails that are newly needed. From any thread."""
        if not self._store.exists:
            return
        with self._looking:
            try:
                if self._publisher is not None:
                    self._publisher.refresh()
                seen = (self._store.stamp(), frozenset(self.running().values()))
                if seen != self._seen:
                    self.tails.serve()
                    self._seen = seen
            except SplitsightError as error:
                log.warning("releases_not_kept", error=str(error))

    def _keep(self) -> float:
        self.look()
        return EVERY_S


class FollowedReleases(ReleasesService):
    """Serves the tails of releases that another process keeps, and signs nothing.

    keeper   that process, for people who ask here what only it can answer
    """

    def __init__(self, store: ReleaseStore, around: Surroundings, keeper: str) -> None:
        super().__init__(store, around)
        self._keeper = keeper

    @property
    def routers(self) -> Sequence[Any]:
        return [elsewhere(self._keeper)]

    @property
    def pages(self) -> Sequence[Page[PageContext]]:
        return []


def open_releases(
    settings: FleetSettings,
    around: Surroundings,
    database: FleetDatabase,
    running: Running | None = None,
) -> ReleasesService:
    """What was released lies in files, not in the database: any static host can serve them."""
    del database
    store = ReleaseStore(settings.folder)
    return ReleasesService(store, around, running, Publisher(store, around.clock))
