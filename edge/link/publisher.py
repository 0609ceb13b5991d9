"""The thread that carries batches and the device's state to the broker."""

from __future__ import annotations

import threading

from edge.link.outbox import BATCH_S, Outbox
from edge.link.presence import Presence
from edge.monitoring.watchdog import Watchdog, heart
from shared.log import get_logger

log = get_logger("courier")


class LinkPublisher:
    """Ticks the outbox and the presence until it is stopped; then they are the caller's again."""

    def __init__(self, outbox: Outbox, presence: Presence, pulse: Watchdog | None = None) -> None:
        """pulse: shows that this thread runs; None: to the process's own systemd"""
        self._pulse = pulse or heart()
        self._outbox = outbox
        self._presence = presence
        self._stopped = threading.Event()
        self._held = False
        self._thread: threading.Thread | None = None

    def hold(self, held: bool) -> None:  # noqa: FBT001 - as it is said
        """Keep batches back; the device's state goes on."""
        self._held = held

    def tick(self) -> None:
        try:
            if not self._held:
                self._outbox.tick()
            self._presence.tick()
        except Exception:
            # What is not sent now is sent later; without this thread it never would be.
            log.exception("courier_failed")

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._outbox.wake.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._outbox.wake.wait(BATCH_S)
            self._outbox.wake.clear()
            self.tick()
            self._pulse.beat()
