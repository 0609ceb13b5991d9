"""The thread that carries batches and the device's state to the broker."""

from __future__ import annotations

import threading

from edge.outbox import BATCH_S, Outbox
from edge.presence import Presence
from shared.log import get_logger

log = get_logger("courier")


class Courier:
    """Ticks the outbox and the presence until it is stopped; then they are the caller's again."""

    def __init__(self, outbox: Outbox, presence: Presence) -> None:
        self._outbox = outbox
        self._presence = presence
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def tick(self) -> None:
        try:
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
