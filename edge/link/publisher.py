"""The thread that carries batches, sketches and the device's state to the broker."""

from __future__ import annotations

from edge.link.outbox import Outbox
from edge.link.presence import Presence
from edge.link.sketch_outbox import SketchOutbox
from shared.worker import OnDeath, Worker

# What fails each time is logged each time.
RETRY_S = 1.0


class LinkPublisher:
    """Ticks the outboxes and the presence until it is stopped; then they are the caller's again."""

    def __init__(
        self, outbox: Outbox, sketches: SketchOutbox, presence: Presence, on_death: OnDeath
    ) -> None:
        self._outbox = outbox
        self._sketches = sketches
        self._presence = presence
        self._held = False
        # What is not sent now is sent later; without this thread it never would be.
        self._worker = Worker(
            "publisher", self._carry, on_death=on_death, retry_s=RETRY_S, unblock=outbox.wake.set
        )

    def hold(self, held: bool) -> None:  # noqa: FBT001 - as it is said
        """Keep batches and sketches back; the device's state goes on."""
        self._held = held

    def tick(self) -> None:
        if not self._held:
            self._outbox.tick()
            self._sketches.tick()
        self._presence.tick()

    def start(self) -> None:
        self._worker.start()

    def stop(self) -> None:
        self._worker.stop()

    def _carry(self) -> float:
        self._outbox.wake.wait(self._outbox.due_s)
        self._outbox.wake.clear()
        self.tick()
        return 0.0
