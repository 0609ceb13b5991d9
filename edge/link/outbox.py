"""Decided inspections to the cloud, in batches, until it says that it has them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from edge.monitoring.health import BoxHealth
from shared.clock import Clock
from shared.errors import TransportError, WireError
from shared.inspection import Inspection
from shared.log import get_logger
from shared.topics import Address
from shared.transport.base import Arrival, Transport, subscribe
from shared.wire import MAX_BATCH, Inspections, Receipt, encode

log = get_logger("outbox")

BATCH_S = 0.2
RESEND_S = 5.0


class UnsentInspections(Protocol):
    """Where the outbox reads; the journal is one."""

    boot: str

    def unsent(self, limit: int) -> list[tuple[int, Inspection]]: ...

    def waiting(self) -> int: ...

    def acknowledge(self, row_ids: Sequence[int], committed: Callable[[], None]) -> None: ...


@dataclass(slots=True, eq=False)
class _Batch:
    number: int
    row_ids: list[int]
    payload: bytes
    sent_at: float | None = None


class Outbox:
    """At most one batch is under way; it is sent again until its receipt comes.

    The cloud may see a batch twice, and stores each inspection once.
    """

    def __init__(
        self,
        journal: UnsentInspections,
        transport: Transport,
        address: Address,
        *,
        clock: Clock,
        health: BoxHealth,
    ) -> None:
        self._journal = journal
        self._transport = transport
        self._topic = address.topic("inspections")
        self._receipts = address.topic("receipt")
        self._clock = clock
        self._health = health
        self._lock = threading.Lock()
        self._batch: _Batch | None = None
        self._numbers = 0
        self._last_sent = float("-inf")
        self.wake = threading.Event()

    def listen(self) -> None:
        refused = self._health.payload_refused
        subscribe(self._transport, self._receipts, Receipt, self._arrived, refused=refused)
        self._transport.on_connection(self._connection_changed)

    def tick(self) -> None:
        """Send what is due. Called by one thread, every BATCH_S and whenever `wake` is set."""
        if not self._transport.connected:
            return
        with self._lock:
            batch = self._batch
        if batch is None:
            batch = self._next_batch()
        if batch is not None and self._is_due(batch):
            self._send(batch)

    @property
    def is_empty(self) -> bool:
        """Whether the cloud has acknowledged everything. For the thread that ticks."""
        return self._batch is None and self._journal.waiting() == 0

    def _is_due(self, batch: _Batch) -> bool:
        return batch.sent_at is None or self._clock.monotonic() - batch.sent_at >= RESEND_S

    def _next_batch(self) -> _Batch | None:
        rows = self._journal.unsent(MAX_BATCH)
        full = len(rows) == MAX_BATCH
        if not rows or (not full and self._clock.monotonic() - self._last_sent < BATCH_S):
            return None
        self._numbers += 1
        batch = _pack(self._journal.boot, self._numbers, rows)
        with self._lock:
            self._batch = batch
        return batch

    def _send(self, batch: _Batch) -> None:
        now = self._clock.monotonic()
        if batch.sent_at is not None:
            self._health.count("batches_resent")
        # Set before publishing: the receipt may be here before `publish` returns.
        batch.sent_at = self._last_sent = now
        try:
            self._transport.publish(self._topic, batch.payload)
        except TransportError as error:
            batch.sent_at = None
            log.debug("batch_unsent", error=str(error))

    def _connection_changed(self, connected: bool) -> None:  # noqa: FBT001 - ConnectionHandler
        with self._lock:
            if self._batch is not None and not connected:
                self._batch.sent_at = None
        self.wake.set()

    def _arrived(self, arrival: Arrival[Receipt]) -> None:
        receipt = arrival.message
        with self._lock:
            batch = self._batch
        if batch is None or receipt.boot != self._journal.boot or receipt.batch != batch.number:
            self._health.count("receipts_of_another_batch")
            return
        self._journal.acknowledge(batch.row_ids, lambda: self._acknowledged(batch))

    def _acknowledged(self, batch: _Batch) -> None:
        """The receipt is on disk: the next batch may be read from there."""
        with self._lock:
            if self._batch is batch:
                self._batch = None
        self._health.well("outbox")
        self.wake.set()


def _pack(boot: str, number: int, rows: list[tuple[int, Inspection]]) -> _Batch:
    """As many of the rows as one message can carry."""
    while True:
        message = Inspections.of(boot, number, [row for _, row in rows])
        try:
            payload = encode(message)
        except WireError:
            if len(rows) == 1:
                raise
            rows = rows[: len(rows) // 2]
            continue
        return _Batch(number, [row_id for row_id, _ in rows], payload)
