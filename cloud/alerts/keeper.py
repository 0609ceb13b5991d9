"""Looks at what is wrong, again and again: of all workers of a cloud one at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cloud.alerts.conditions import AlertCondition, AlertName, Source
from cloud.alerts.store import AlertChange, AlertStore
from shared.clock import Clock
from shared.errors import RecordsError
from shared.log import get_logger
from shared.worker import OnDeath, Worker

log = get_logger("alerts")

LEASE_S = 15.0
"""After a worker has vanished another one looks within this time."""
RETRY_S = 5.0
FORGET_S = 3600.0


@dataclass(frozen=True, slots=True)
class Watch:
    """Where conditions of these names come from. `every_s`: between two looks, at least."""

    names: frozenset[AlertName]
    look: Source
    every_s: float = 0.0


class AlertKeeper:
    """Brings alerts up to date with what every source says. Safe to share between threads."""

    def __init__(
        self,
        store: AlertStore,
        watches: Sequence[Watch],
        clock: Clock,
        on_death: OnDeath,
        *,
        worker: str,
        every_s: float,
        told: Callable[[], None] = lambda: None,
    ) -> None:
        """worker: the name of this one; told: called when somebody has to be told something"""
        self._store = store
        self._watches = watches
        self._clock = clock
        self._worker_name = worker
        self._every_s = every_s
        self._told = told
        self._leads_until = float("-inf")
        self._seen: dict[Watch, tuple[float, Sequence[AlertCondition]]] = {}
        self._forgot = float("-inf")
        self._worker = Worker("alerts", self._keep, on_death=on_death, retry_s=RETRY_S)

    @property
    def leads(self) -> bool:
        """Whether this worker is the one that looks after alerts."""
        return self._clock.monotonic() < self._leads_until

    def start(self) -> None:
        self._worker.start()

    def stop(self) -> None:
        """Another worker may go on at once."""
        if not self._worker.stop() or not self.leads:
            return
        self._leads_until = float("-inf")
        try:
            self._store.release(self._worker_name)
        except RecordsError as error:
            log.debug("lease_kept", reason=error.message)

    def hurry(self) -> None:
        """Look now."""
        self._worker.wake()

    def tick(self) -> list[AlertChange]:
        """Look once, where this worker is the one. Raises RecordsError."""
        begun = self._clock.monotonic()
        lease_s = max(LEASE_S, 5 * self._every_s)
        if not self._store.hold(self._worker_name, lease_s):
            self._leads_until = float("-inf")
            return []
        # Counted from before it was asked for: nobody else has it any earlier.
        self._leads_until = begun + lease_s
        found: list[AlertCondition] = []
        looked: set[AlertName] = set()
        for watch in self._watches:
            try:
                found += self._look(watch)
            except RecordsError as error:
                log.warning("not_looked", names=sorted(watch.names), reason=error.message)
                continue
            looked |= watch.names
        happened = self._store.advance(found, looked, self._clock.utc())
        for alert, event in happened:
            facts = {"name": alert.name, "site": alert.site, "line": alert.line}
            log.info("alert", what=event.what, **facts, device=alert.device, says=alert.says)
        if happened:
            self._told()
        if begun - self._forgot >= FORGET_S:
            self._forgot = begun
            self._store.forget(self._clock.utc())
        return happened

    def _look(self, watch: Watch) -> Sequence[AlertCondition]:
        now = self._clock.monotonic()
        known = self._seen.get(watch)
        if known is None or now - known[0] >= watch.every_s:
            self._seen[watch] = known = (now, watch.look())
        return known[1]

    def _keep(self) -> float:
        self.tick()
        return self._every_s
