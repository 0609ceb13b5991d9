"""The fleet in the cloud's process: identities, releases and rollouts, each a part of its own.

Of several processes on one fleet's folder, one has it all. The others serve the tails of what is
released, so that a box that is given a new model is answered whichever worker it comes to.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from fleet.configuration.settings import FleetSettings
from fleet.identity.service import open_identity
from fleet.releases.service import FollowedReleases, open_releases
from fleet.releases.store import ReleaseStore
from fleet.rollouts.service import open_rollouts
from fleet.rounds.candidates.candidate_store import CANDIDATES
from fleet.rounds.candidates.offers import OfferedCandidates
from fleet.rounds.service import RoundsService
from fleet.storage.database import FleetDatabase
from shared.log import get_logger
from shared.plugins.candidates import CandidateShelf
from shared.plugins.pages import Page, PageContext
from shared.plugins.services import Service, Surroundings
from shared.storage.lock import ProcessLock

log = get_logger("fleet")

LOCK = "fleet.lock"


class FleetService:
    """All parts of the fleet over one database; a `shared.plugins.services.Service`."""

    def __init__(
        self,
        database: FleetDatabase,
        parts: Sequence[Service],
        lock: ProcessLock,
        shelf: CandidateShelf,
    ) -> None:
        self._database = database
        self._parts = parts
        self._lock = lock
        self._closing = ExitStack()
        self._shelf = shelf

    @property
    def routers(self) -> Sequence[Any]:
        return [router for part in self._parts for router in part.routers]

    @property
    def pages(self) -> Sequence[Page[PageContext]]:
        return [page for part in self._parts for page in part.pages]

    @property
    def shelf(self) -> CandidateShelf:
        """Where candidates wait; a `shared.plugins.candidates.HasShelf`."""
        return self._shelf

    def start(self) -> None:
        self._closing.callback(self._database.close)
        self._database.migrate()
        for part in self._parts:
            self._closing.callback(part.stop)
            part.start()
        log.info("fleet_started", database=self._database.url)

    def stop(self) -> None:
        self._closing.close()
        self._lock.release()


def open_fleet(settings: FleetSettings, around: Surroundings) -> Service:
    """All of it, or its tails alone where another process has the folder.

    Raises SplitsightError where the fleet's folder can't be used.
    """
    database = FleetDatabase.in_folder(settings.folder)
    try:
        lock = ProcessLock(settings.folder / LOCK)
    except BlockingIOError:
        keeper = (settings.folder / LOCK).read_text(errors="replace")[:100]
        does = "serves its tails; enrolment, releases and rollouts are the other process's"
        log.info("fleet_kept_elsewhere", folder=str(settings.folder), keeper=keeper, does=does)
        return FollowedReleases(ReleaseStore(settings.folder), around, keeper)
    identity = open_identity(settings, around, database)
    releases = open_releases(settings, around, database)
    rollouts = open_rollouts(settings, around, database, identity.registrar.put_out, releases.look)
    shelf = OfferedCandidates(settings.folder / CANDIDATES, releases.catalogue)
    rounds = RoundsService(settings, releases)
    return FleetService(database, [identity, releases, rollouts, rounds], lock, shelf)
