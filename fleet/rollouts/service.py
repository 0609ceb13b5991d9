"""Rollouts in the cloud's process: shadows kept, rollouts carried out, the API and the pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tuf.api.metadata import Targets

from fleet.configuration.settings import FleetSettings
from fleet.releases.pairs import is_delta
from fleet.releases.roles import HOLDERS
from fleet.releases.store import ReleaseStore
from fleet.rollouts.controller import PutOut, Releases, RolloutController
from fleet.rollouts.pages import fleet_page
from fleet.rollouts.plan_form import Published
from fleet.rollouts.routes import device_routes, rollout_routes
from fleet.rollouts.shadows import Shadows
from fleet.storage.database import FleetDatabase
from shared.errors import ReleaseError
from shared.plugins.pages import Page, PageContext
from shared.plugins.services import Surroundings
from shared.releases import ReleaseFacts


class RolloutsService:
    """The conductor's thread, and what people see of it."""

    def __init__(
        self, conductor: RolloutController, around: Surroundings, published: Published = tuple
    ) -> None:
        """published: the releases that can be rolled out"""
        self.conductor = conductor
        self._clock = around.clock
        self._published = published

    @property
    def routers(self) -> Sequence[Any]:
        return [
            rollout_routes(self.conductor),
            device_routes(self.conductor, self._clock),
        ]

    @property
    def pages(self) -> Sequence[Page[PageContext]]:
        return [fleet_page(self.conductor, self._published)]

    def start(self) -> None:
        self.conductor.start()
        self.conductor.run()

    def stop(self) -> None:
        self.conductor.stop()


def open_rollouts(
    settings: FleetSettings,
    around: Surroundings,
    database: FleetDatabase,
    put_out: PutOut = dict,
    look: Callable[[], None] = lambda: None,
) -> RolloutsService:
    """put_out: devices that are held or revoked, and why
    look: takes in what has just been published, tails included
    """
    conductor = RolloutController(
        database=database,
        shadows=Shadows(database, around.transport, around.clock),
        releases=published(ReleaseStore(settings.folder), look),
        tails=around.tails,
        clock=around.clock,
        put_out=put_out,
        on_death=around.on_death,
        people=settings.approvals,
    )
    return RolloutsService(conductor, around, lambda: list(listed(ReleaseStore(settings.folder))))


def listed(store: ReleaseStore) -> Iterator[ReleaseFacts]:
    """Every published release."""
    if store.exists:
        for role in HOLDERS:
            for path, target in store.published(role, Targets).signed.targets.items():
                if not is_delta(target.custom):
                    yield ReleaseFacts.of(path, target.custom)


def published(store: ReleaseStore, look: Callable[[], None] = lambda: None) -> Releases:
    """What the repository says of a target.

    look   called before, so that a release can be rolled out in the moment that it is published
    """

    def facts(path: str) -> ReleaseFacts:
        look()
        for role in HOLDERS:
            target = store.published(role, Targets).signed.targets.get(path)
            if target is not None:
                return ReleaseFacts.of(path, target.custom)
        raise ReleaseError(
            f"{path} is not a published release",
            fix="`splitsight fleet release list` lists them; publish it first",
        )

    return facts
