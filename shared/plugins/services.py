"""Services that other packages plug into the cloud's process, found by entry points.

The cloud knows none of them by name: a service's key in the cloud's configuration is the name of
its entry point in the group `splitsight.services`, which leads to a `ServiceKind`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

from shared.clock import Clock
from shared.log import get_logger
from shared.plugins.group import PluginGroup
from shared.settings import Settings
from shared.transport.base import Transport
from shared.worker import OnDeath

if TYPE_CHECKING:
    # Settings are read where nothing is served, too: without FastAPI.
    from shared.plugins.pages import Page, PageContext

log = get_logger("services")

S = TypeVar("S", bound=Settings)


class ServedTail(NamedTuple):
    """A tail that runs here: the pair id of its bundle, and the bundle for people."""

    pair: str
    bundle: str


class ServedTails(Protocol):
    """The tails that the cloud runs. Safe to call from any thread."""

    def served(self) -> Sequence[ServedTail]:
        """Every tail that answers escalations now."""

    def serve(self, path: Path) -> ServedTail:
        """Open, check and serve a bundle's tail beside the others.

        Raises BundleError, ParityError or RuntimeUnavailable; then nothing has changed.
        """

    def drop(self, pair: str) -> None:
        """Serve this pair no longer. Unknown pairs are no error."""

    def lacking(self, pair: str) -> Sequence[str]:
        """Why not every worker of the cloud that takes escalations answers this pair, one sentence
        each; empty where all do. Where that is not known, it says so."""


class NoTails:
    """None are served: for tests, and where routes are described only."""

    def served(self) -> Sequence[ServedTail]:
        return ()

    def serve(self, path: Path) -> ServedTail:
        raise RuntimeError(f"{path} is not served: nothing is here")

    def drop(self, pair: str) -> None:
        del pair

    def lacking(self, pair: str) -> Sequence[str]:
        return [f"nothing is here to serve pair {pair}"]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the cloud lends to a service.

    transport  connected to the broker; subscribe before `start` returns
    tails      the tails that run here
    token      of the configuration, with which callers may do everything; None: there is none
    stopping   set when the process ends
    on_death   of a service's thread: the cloud's health tells of it
    """

    transport: Transport
    clock: Clock
    tails: ServedTails
    token: str | None
    stopping: threading.Event
    on_death: OnDeath


class Service(Protocol):
    """Something that runs in the cloud's process beside intake and tails."""

    @property
    def routers(self) -> Sequence[Any]:
        """FastAPI routers; each route says whom it serves, by `shared.web.roles.needs`."""

    @property
    def pages(self) -> Sequence[Page[PageContext]]:
        """What people look at."""

    def start(self) -> None:
        """Returns when it works. Raises SplitsightError."""

    def stop(self) -> None:
        """May be called twice, and without `start`."""


@dataclass(frozen=True, slots=True)
class ServiceKind(Generic[S]):
    """How a service is configured and opened."""

    settings: type[S]
    open: Callable[[S, Surroundings], Service]


SERVICES: PluginGroup[ServiceKind[Any]] = PluginGroup(
    "splitsight.services", "service", ServiceKind, Service
)


def service_kinds() -> dict[str, ServiceKind[Any]]:
    """Every service that can be plugged in here, by its key in the configuration."""
    kinds: dict[str, ServiceKind[Any]] = {}
    for loaded in SERVICES.load_all():
        if loaded.kind is not None:
            kinds[loaded.name] = loaded.kind
        else:
            log.info("service_not_usable", service=loaded.name, error=loaded.error)
    return kinds
