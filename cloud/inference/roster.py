"""Which workers of this cloud are there, what each can answer, and what one of them lacks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from cloud.inference.registry import TailRegistry
from cloud.records.workers import WorkerEntry
from shared.clock import Clock
from shared.errors import RecordsError
from shared.log import get_logger
from shared.plugins.services import ServedTail
from shared.worker import OnDeath, Worker

log = get_logger("roster")

EVERY_S = 2.0
# A worker that has said nothing for so long counts as gone. Storing may be slow, so not at once.
GONE_S = 10.0
# After a release is published, each worker opens its tail within seconds.
GRACE_S = 10.0


class Announcements(Protocol):
    """What the roster needs of the records. All raise RecordsError."""

    def announce(
        self, worker: str, name: str, pairs: Collection[str], *, connected: bool
    ) -> None: ...

    def live(self, within_s: float) -> list[WorkerEntry]: ...

    def leave(self, worker: str) -> None: ...


class WorkerRoster:
    """Says what this worker serves, and keeps what the others said. Safe to share between threads.

    A word holds for GONE_S: a worker that is killed or stands still is no longer counted on.
    """

    def __init__(
        self,
        *,
        store: Announcements,
        worker: str,
        name: str,
        serves: Callable[[], Collection[str]],
        connected: Callable[[], bool],
        clock: Clock,
        on_death: OnDeath,
    ) -> None:
        """worker: its id, as at the broker; name: for people"""
        self.worker = worker
        self.name = name
        self._store = store
        self._serves = serves
        self._connected = connected
        self._clock = clock
        self._entries: Sequence[WorkerEntry] = ()
        self._read_at = float("-inf")
        self._lacked_since: Mapping[tuple[str, str], float] = {}
        self._unreadable = False
        self._keeper = Worker("roster", self._keep, on_death=on_death, retry_s=EVERY_S)

    def start(self) -> None:
        self._keeper.start()

    def stop(self) -> None:
        """Leave, so that nobody counts on this worker. May be called twice, and without `start`."""
        self._keeper.stop()
        try:
            self._store.leave(self.worker)
        except RecordsError as error:
            log.warning("not_left", reason=error.message)

    def look(self) -> None:
        """Say what is served here and read what the others said. Raises RecordsError."""
        self._store.announce(self.worker, self.name, self._serves(), connected=self._connected())
        self._entries = self._store.live(GONE_S)
        now = self._read_at = self._clock.monotonic()
        before = self._lacked_since
        self._lacked_since = {
            (one.name, pair): before.get((one.name, pair), now)
            for one in self._entries
            for pair in self._lacked_by(one)
        }

    @property
    def entries(self) -> Sequence[WorkerEntry]:
        """Every worker that is there, this one among them, as they last said."""
        return self._entries

    def others_serve(self, pair: str) -> bool:
        """Whether another worker said that it can answer this pair."""
        return any(
            pair in one.pairs and one.connected and one.worker != self.worker
            for one in self._entries
        )

    def lacking(self, pair: str) -> Sequence[str]:
        """Why not every worker that takes escalations answers this pair, one sentence each; empty
        where all do. Without evidence it is not empty."""
        if self._clock.monotonic() - self._read_at > GONE_S:
            return ["it is not known what the workers of this cloud serve: its database is away"]
        taking = [one for one in self._entries if one.connected]
        if not taking:
            return ["no worker of this cloud is connected to the broker"]
        return [
            f"worker {one.name} does not serve the tail of pair {pair}"
            for one in taking
            if pair not in one.pairs
        ]

    def _lacked_by(self, one: WorkerEntry) -> Collection[str]:
        if not one.connected:
            return ()
        every = [other.pairs for other in self._entries if other.connected]
        return sorted(frozenset().union(*every) - one.pairs)

    @property
    def problems(self) -> list[str]:
        """One sentence for each pair that a worker lacks and others have, for people."""
        now = self._clock.monotonic()
        return [
            f"Worker {name} lacks the tail of pair {pair}, which another one serves: it hands "
            "these escalations on. Add the bundle to its `bundles`, or give it the same `fleet` "
            "folder."
            for (name, pair), since in self._lacked_since.items()
            if now - since >= GRACE_S
        ]

    def changed(self) -> None:
        """What is served here has changed: say so at once, or soon where the database is away."""
        try:
            self.look()
        except RecordsError as error:
            log.warning("roster_not_kept", reason=error.message, next_try_s=EVERY_S)

    def _keep(self) -> float:
        try:
            self.look()
        except RecordsError as error:
            if not self._unreadable:
                log.warning("roster_not_kept", reason=error.message, next_try_s=EVERY_S)
            self._unreadable = True
        else:
            self._unreadable = False
        return EVERY_S


class RosteredTails:
    """A worker's tails for services: a `shared.plugins.services.ServedTails` that knows of the
    other workers too."""

    def __init__(self, registry: TailRegistry, roster: WorkerRoster) -> None:
        self._registry = registry
        self._roster = roster

    def served(self) -> Sequence[ServedTail]:
        return self._registry.served()

    def serve(self, path: Path) -> ServedTail:
        served = self._registry.serve(path)
        self._roster.changed()
        return served

    def drop(self, pair: str) -> None:
        self._registry.drop(pair)
        self._roster.changed()

    def lacking(self, pair: str) -> Sequence[str]:
        return self._roster.lacking(pair)
