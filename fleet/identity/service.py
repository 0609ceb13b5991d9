"""Identities in the cloud's process: the API, the gateway, and an eye on copies."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fleet.configuration.settings import FleetSettings
from fleet.identity.authority import Authority
from fleet.identity.certificates import FOUNDED
from fleet.identity.copies import CopyWatch
from fleet.identity.device_gateway import DeviceGateway
from fleet.identity.registrar import Registrar
from fleet.identity.routes import identity_routes
from fleet.storage.database import FleetDatabase
from shared.errors import IdentityError, SplitsightError
from shared.format import date
from shared.log import get_logger
from shared.plugins.pages import Page, PageContext
from shared.plugins.services import Surroundings
from shared.topics import everyone
from shared.transport.base import Arrival, ignore, subscribe
from shared.wire import StateMessage
from shared.worker import Worker

log = get_logger("identity")

REFRESH_S = 12 * 3600.0
LOOK_S = 60.0
TWO_PLACES = "it spoke from two places at once: its disk may have been copied"


class IdentityService:
    """Opens the gateway, keeps the list of revoked certificates fresh, holds copies."""

    def __init__(self, registrar: Registrar, gateway: DeviceGateway, around: Surroundings) -> None:
        self.registrar = registrar
        self.gateway = gateway
        self._around = around
        self._copies = CopyWatch()
        self._refreshed = around.clock.monotonic()
        self._reason = ""
        self._in_two_places: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._keeper = Worker(
            "identity",
            self._keep,
            on_death=around.on_death,
            unblock=lambda: self._in_two_places.put(None),
        )
        self._routes = identity_routes(registrar, self._copies.forget)

    @property
    def routers(self) -> Sequence[Any]:
        return [self._routes]

    @property
    def pages(self) -> Sequence[Page[PageContext]]:
        return []

    def start(self) -> None:
        self.refresh()
        transport = self._around.transport
        subscribe(transport, everyone("state"), StateMessage, self.state, cleared=ignore)
        self.gateway.start()
        self._keeper.start()

    def stop(self) -> None:
        self.gateway.stop()
        self._keeper.stop()

    def refresh(self) -> None:
        """Renew what this side shows, where it ends soon. Raises SplitsightError.

        The broker reads its certificate again whenever the list changes.
        """
        authority, clock = self.registrar.authority, self._around.clock
        if clock.utc() < FOUNDED.timestamp():
            log.error(
                "clock_not_set",
                clock=date(clock.utc()),
                fix="set it and switch on time synchronisation: until then no device connects",
            )
        if authority.renew_own():
            log.warning(
                "authority_began_in_the_future",
                fix=f"give devices whose clock is right {authority.files.certificate} as "
                "identity.ca, if they do not connect",
            )
        if authority.renew_server():
            self.gateway.reload()
            log.info("server_certificate_renewed")
        self.registrar.publish()
        self._refreshed = clock.monotonic()

    def state(self, arrival: Arrival[StateMessage]) -> None:
        """A device's state: hold it where it shows that there are two of it."""
        device, said = arrival.address.device, arrival.message
        if self._copies.seen(device, said.boot, said.state):
            # Not here: this is the transport's thread, and holding writes to the disk.
            self._in_two_places.put(device)

    def _keep(self) -> float:
        try:
            device = self._in_two_places.get(timeout=LOOK_S)
        except queue.Empty:
            self.look()
        else:
            if device is not None:
                self._hold(device)
        return 0.0

    def _hold(self, device: str) -> None:
        try:
            self.registrar.hold(device, TWO_PLACES)
        except IdentityError:
            # Without a certificate of ours nothing can be held.
            log.warning("two_devices_of_one_name", device=device)
        except SplitsightError as error:
            log.warning("not_held", device=device, reason=str(error))

    def look(self) -> None:
        """Refresh where that is due, or where a clock that was set made void what is shown."""
        due = self._around.clock.monotonic() >= self._refreshed + REFRESH_S
        if not due and self.registrar.authority.is_current():
            return
        try:
            self.refresh()
        except SplitsightError as error:
            if str(error) != self._reason:
                log.warning("not_refreshed", reason=str(error))
            self._reason = str(error)
        else:
            self._reason = ""


def open_identity(
    settings: FleetSettings, around: Surroundings, database: FleetDatabase
) -> IdentityService:
    """Raises IdentityError where the folder's authority can't be used."""
    identity = settings.identity
    phrase = read_passphrase(identity.passphrase_file)
    authority = Authority.open(settings.folder, around.clock, phrase)
    registrar = Registrar(authority, database, around.clock, identity.certificate_days)
    repository = settings.folder / "repository"
    gateway = DeviceGateway(settings.gateway, registrar, repository, around.clock, around.on_death)
    return IdentityService(registrar, gateway, around)


def read_passphrase(path: Path | None) -> bytes | None:
    """The first line of a file. Raises IdentityError where it can't be read or is empty."""
    if path is None:
        return None
    try:
        phrase = path.read_bytes().splitlines()[:1]
    except OSError as error:
        raise IdentityError(f"{path} can't be read ({error})", fix="check its owner") from error
    if not phrase or not phrase[0]:
        raise IdentityError(f"{path} is empty", fix="write the passphrase into its first line")
    return phrase[0]
