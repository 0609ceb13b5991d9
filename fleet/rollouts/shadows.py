"""The shadow documents of all devices: heard, kept, and what is wanted published.

What is wanted is stored before it is published, and published again after each connect: a broker
may have lost what it retained, and a device takes the highest serial only.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection

from fleet.rollouts import store
from fleet.rollouts.reports import checked_report, checked_state
from fleet.rollouts.shadow import DeviceShadow
from fleet.rollouts.store import Told
from fleet.storage.database import FleetDatabase
from shared.clock import Clock
from shared.errors import SettingsError, TransportError
from shared.log import get_logger
from shared.topics import Address, everyone
from shared.transport.base import Arrival, Transport, ignore, subscribe
from shared.wire import Desired, Reported, StateMessage, encode

log = get_logger("shadows")

MOST_HEARD = 100_000
# What changes with every part is not worth a write each time.
FLUSH_S = 5.0


class DesiredState(NamedTuple):
    """What is to be wanted of a device; `desired.serial` is given when it is saved."""

    address: Address
    desired: Desired
    what: str
    by: str


class _Heard(NamedTuple):
    address: Address
    message: StateMessage | Reported
    at: float
    live: bool


class Shadows:
    """For one thread at a time, but for what arrives from the transport."""

    def __init__(self, database: FleetDatabase, transport: Transport, clock: Clock) -> None:
        self._database = database
        self._transport = transport
        self._clock = clock
        self._shadows: dict[Address, DeviceShadow] = {}
        self._heard: deque[_Heard] = deque(maxlen=MOST_HEARD)
        self._unwritten: dict[Address, DeviceShadow] = {}
        self._untold: list[Told] = []
        self._written_at = float("-inf")
        self._unsent: dict[Address, None] = {}
        self._connected_at = clock.utc()
        self._connects = 0
        self._connects_served = 0
        self.arrived = threading.Event()

    def start(self) -> None:
        """Read what is known, then listen."""
        with self._database.begin() as connection:
            self._shadows = store.read_shadows(connection)
        self._transport.on_connection(self._connection_changed)
        to = self._transport
        subscribe(to, everyone("state"), StateMessage, self._on_state, cleared=ignore)
        subscribe(to, everyone("reply"), Reported, self._on_reply, cleared=ignore)

    @property
    def listening_since(self) -> float:
        """UTC seconds before which a device that spoke may not have been heard."""
        return self._connected_at if self._transport.connected else self._clock.utc()

    def all(self) -> Mapping[Address, DeviceShadow]:
        return self._shadows

    def of(self, address: Address) -> DeviceShadow:
        """The device's, an empty one where it was never heard of."""
        return self._shadows.get(address) or DeviceShadow(address)

    def find(self, name: str) -> DeviceShadow:
        """By `device`, or `site/line/device`. Raises SettingsError for none or several."""
        found = [
            shadow
            for address, shadow in self._shadows.items()
            if name in {address.device, f"{address.site}/{address.line}/{address.device}"}
        ]
        if len(found) != 1:
            raise SettingsError(
                f"{len(found) or 'no'} devices are called {name[:80]}",
                fix="`splitsight fleet devices` lists them; SITE/LINE/DEVICE names one for sure",
                missing=not found,
            )
        return found[0]

    def history(self, address: Address) -> list[Told]:
        """What was wanted of a device and what it said of it, newest first."""
        with self._database.begin() as connection:
            return store.read_changes(connection, address)

    def take(self) -> set[Address]:
        """Take in what was heard since the last time; who it was. Raises RecordsError."""
        changed = set()
        urgent = False
        while self._heard:
            heard = self._heard.popleft()
            before = self.of(heard.address)
            match heard.message:
                case StateMessage():
                    after = before.heard_state(heard.message, heard.at, live=heard.live)
                case Reported():
                    after = before.heard_reported(heard.message, heard.at, live=heard.live)
                    self._untold += _told(before, after, heard.at)
            urgent = urgent or _differs(before, after)
            self._shadows[heard.address] = self._unwritten[heard.address] = after
            changed.add(heard.address)
        if urgent or self._clock.monotonic() - self._written_at >= FLUSH_S:
            self.flush()
        return changed

    def flush(self) -> None:
        """Write what was heard. Raises RecordsError; then it is tried again the next time."""
        self._written_at = self._clock.monotonic()
        if self._unwritten or self._untold:
            with self._database.begin() as connection:
                store.write_shadows(connection, self._unwritten.values())
                store.add_changes(connection, self._untold)
            self._unwritten, self._untold = {}, []

    def save(
        self, wishes: Sequence[DesiredState], also: Callable[[Connection], None] = lambda _: None
    ) -> None:
        """Store what is wanted, and something else in the same transaction; then publish it.

        Raises RecordsError, and then nothing has changed.
        """
        now = self._clock.utc()
        after = {w.address: self.of(w.address).wants(w.desired) for w in wishes}
        told = [
            Told(w.address, now, "desired", after[w.address].serial, w.what, w.by) for w in wishes
        ]
        with self._database.begin() as connection:
            store.write_shadows(connection, after.values())
            store.add_changes(connection, told)
            also(connection)
        self._shadows.update(after)
        for address in after:
            self._unwritten.pop(address, None)
        self._unsent.update(dict.fromkeys(after))
        self.send()

    def send(self) -> None:
        """Publish what was not yet; the rest stays where the broker takes no more now."""
        if self._connects_served != self._connects:
            self._connects_served = self._connects
            self._unsent.update(
                dict.fromkeys(a for a, shadow in self._shadows.items() if shadow.desired)
            )
        while self._unsent and self._transport.connected:
            address = next(iter(self._unsent))
            desired = self.of(address).desired
            if desired is not None:
                try:
                    self._transport.publish(address.topic("command"), encode(desired), retain=True)
                except TransportError as error:
                    log.debug("desired_unsent", waiting=len(self._unsent), reason=str(error))
                    return
            del self._unsent[address]

    def _connection_changed(self, connected: bool) -> None:  # noqa: FBT001 - ConnectionHandler
        if connected:
            self._connected_at = self._clock.utc()
            self._connects += 1
            self.arrived.set()

    def _on_state(self, arrival: Arrival[StateMessage]) -> None:
        self._keep(arrival, checked_state(arrival))

    def _on_reply(self, arrival: Arrival[Reported]) -> None:
        self._keep(arrival, checked_report(arrival))

    def _keep(self, arrival: Arrival[Any], message: StateMessage | Reported) -> None:
        now = self._clock.utc()
        self._heard.append(_Heard(arrival.address, message, now, not arrival.retained))
        self.arrived.set()


def _differs(before: DeviceShadow, after: DeviceShadow) -> bool:
    """Whether more has changed than what changes with every part and every minute."""
    return _essence(before) != _essence(after)


def _essence(shadow: DeviceShadow) -> tuple[object, ...]:
    said, state = shadow.reported, shadow.state
    told = (said.serial, said.running, said.phase, said.target, said.failed) if said else None
    return told, (state.state, state.boot) if state else None, shadow.why_offline


def _told(before: DeviceShadow, after: DeviceShadow, at: float) -> list[Told]:
    """What of a report belongs into the history."""
    was, now = before.reported, after.reported
    if now is None:
        return []
    told = [
        f"{kind}: {path or 'as it was flashed'}"
        for kind, path in now.running.items()
        if was is None or was.running.get(kind) != path
    ]
    told += [
        f"gave {path} up: {why}"
        for path, why in now.failed.items()
        if was is None or was.failed.get(path) != why
    ]
    return [Told(after.address, at, "reported", now.serial, what) for what in told]


def changed(shadow: DeviceShadow, **fields: object) -> Desired:
    """What is wanted of a device, with some fields replaced."""
    base = shadow.desired or Desired(serial=0)
    return msgspec.structs.replace(base, **fields)
