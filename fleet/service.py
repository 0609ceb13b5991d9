"""The fleet in the cloud's process: identities, releases and rollouts, each a part of its own."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from fleet.configuration.settings import FleetSettings
from fleet.identity.service import open_identity
from fleet.releases.service import open_releases
from fleet.rollouts.service import open_rollouts
from fleet.storage.database import FleetDatabase
from shared.log import get_logger
from shared.plugins.pages import Page, PageContext
from shared.plugins.services import Service, ServiceKind, Surroundings

log = get_logger("fleet")


class FleetService:
    """All parts of the fleet over one database; a `shared.plugins.services.Service`."""

    def __init__(self, database: FleetDatabase, parts: Sequence[Service]) -> None:
        self._database = database
        self._parts = parts
        self._closing = ExitStack()

    @property
    def routers(self) -> Sequence[Any]:
        return [router for part in self._parts for router in part.routers]

    @property
    def pages(self) -> Sequence[Page[PageContext]]:
        return [page for part in self._parts for page in part.pages]

    def start(self) -> None:
        self._closing.callback(self._database.close)
        self._database.migrate()
        for part in self._parts:
            self._closing.callback(part.stop)
            part.start()
        log.info("fleet_started", database=self._database.url)

    def stop(self) -> None:
        self._closing.close()


def open_fleet(settings: FleetSettings, around: Surroundings) -> FleetService:
    """Raises SplitsightError where the fleet's folder can't be used."""
    database = FleetDatabase.in_folder(settings.folder)
    identity = open_identity(settings, around, database)
    releases = open_releases(settings, around, database)
    rollouts = open_rollouts(settings, around, database, identity.registrar.put_out, releases.look)
    return FleetService(database, [identity, releases, rollouts])


KIND = ServiceKind(FleetSettings, open_fleet)
