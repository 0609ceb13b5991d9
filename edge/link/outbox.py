"""Decided inspections to the cloud, in batches, until it says that it has them."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from edge.link.throttle import BatchThrottle
from edge.monitoring.health import BoxHealth
from shared.clock import Clock
from shared.errors import TransportError, WireError
from shared.inspection import Inspection
from shared.log import get_logger
from shared.topics import Address
from shared.transport.base import Arrival, Transport, subscribe
from shared.wire import Inspections, Receipt, encode

log = get_logger("outbox")

BATCH_S = 0.2
SILENCE_S = 30.0
# Inspections that the cloud does not take, passed over until the agent starts again.
MOST_PASSED_OVER = 1000
STRIKES = 2
WITNESSES = 20
EARLIER = 16


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

    The cloud may see an inspection twice, and stores it once. One that the cloud never confirms is
    found by halving the batch, and is passed over: it does not hold back the others.

    confirmed  whether the cloud has confirmed anything since the start
    """

    def __init__(
        self,
        journal: UnsentInspections,
        transport: Transport,
        address: Address,
        *,
        clock: Clock,
        health: BoxHealth,
        throttle: BatchThrottle | None = None,
    ) -> None:
        self._journal = journal
        self._transport = transport
        self._topic = address.topic("inspections")
        self._receipts = address.topic("receipt")
        self._clock = clock
        self._health = health
        self._throttle = throttle or BatchThrottle(clock)
        self._lock = threading.Lock()
        self._batch: _Batch | None = None
        self._numbers = 0
        self._last_sent = float("-inf")
        self._lost = False
        self._silent_since: float | None = None
        self._earlier: deque[_Batch] = deque(maxlen=EARLIER)
        self._suspect: int | None = None
        self._strikes: Counter[int] = Counter()
        self._passed_over: set[int] = set()
        self.confirmed = False
        self.wake = threading.Event()

    def listen(self) -> None:
        refused = self._health.payload_refused
        subscribe(self._transport, self._receipts, Receipt, self._arrived, refused=refused)
        self._transport.on_connection(self._connection_changed)

    def tick(self) -> None:
        """Send what is due. Called by one thread, every `due_s` and whenever `wake` is set."""
        if not self._transport.connected or self._throttle.wait_s > 0:
            return
        with self._lock:
            batch = self._batch
        if batch is not None and self._is_hopeless(batch):
            self._divide(batch)
            batch = None
        if batch is not None and len(batch.row_ids) > 1 and self._is_too_large(batch):
            # The broker takes less than it did, or has told it only now.
            with self._lock:
                self._batch = batch = None
        if batch is None:
            batch = self._next_batch()
        if batch is not None and self._is_due(batch):
            self._send(batch)

    @property
    def due_s(self) -> float:
        """Seconds, BATCH_S at most, until `tick` may have something to do."""
        wait = self._throttle.wait_s
        return min(wait, BATCH_S) if wait > 0 else BATCH_S

    @property
    def is_empty(self) -> bool:
        """Whether the cloud has acknowledged everything. For the thread that ticks."""
        return self._batch is None and self._journal.waiting() == 0

    def _is_due(self, batch: _Batch) -> bool:
        since = batch.sent_at
        return since is None or self._clock.monotonic() - since >= self._throttle.resend_s

    def _is_hopeless(self, batch: _Batch) -> bool:
        return self._throttle.exhausted and batch.sent_at is not None and self._is_due(batch)

    def _is_too_large(self, batch: _Batch) -> bool:
        return len(batch.payload) > self._transport.max_payload

    def _divide(self, batch: _Batch) -> None:
        """A cloud that is away confirms nothing, and one that can't take one inspection nothing
        that comes with it: half of them may do, and in the end this one is left out."""
        self._throttle.split()
        if len(batch.row_ids) == 1:
            # Where another one alone fares no better, it is the cloud.
            self._suspect = batch.row_ids[0] if self._suspect is None else None
        with self._lock:
            self._earlier.append(batch)
            self._batch = None

    def _next_batch(self) -> _Batch | None:
        wanted, suspect = self._throttle.rows, self._suspect
        aside = self._passed_over if suspect is None else self._passed_over | {suspect}
        rows = self._journal.unsent(max(wanted, WITNESSES) + len(aside))
        rows = [row for row in rows if row[0] not in aside]
        if suspect is not None:
            # From far away: what is wrong with it may be wrong with its neighbours.
            rows, wanted = rows[-1:], 1
            self._suspect = suspect if rows else None
        rows = rows[:wanted]
        full = len(rows) == wanted
        if not rows or (not full and self._clock.monotonic() - self._last_sent < BATCH_S):
            return None
        self._numbers += 1
        batch = self._pack(rows)
        with self._lock:
            self._batch = batch
        return batch

    def _pack(self, rows: list[tuple[int, Inspection]]) -> _Batch | None:
        """As many of the rows as one message can carry; None where it can't carry the first."""
        while True:
            message = Inspections.of(self._journal.boot, self._numbers, [row for _, row in rows])
            try:
                payload = encode(message)
            except WireError as error:
                if len(rows) > 1:
                    rows = rows[: len(rows) // 2]
                    continue
                self._pass_over([rows[0][0]], error.message)
                return None
            batch = _Batch(self._numbers, [row_id for row_id, _ in rows], payload)
            if len(rows) > 1 and self._is_too_large(batch):
                rows = rows[: len(rows) // 2]
                continue
            return batch

    def _pass_over(self, row_ids: list[int], why: str) -> None:
        """They stay in the journal, and the others go on."""
        if len(self._passed_over) + len(row_ids) > MOST_PASSED_OVER:
            return
        self._passed_over.update(row_ids)
        self._health.count("inspections_not_taken", len(row_ids))
        log.error("inspections_not_taken", rows=row_ids, reason=why)
        self._health.problem(
            "not taken",
            f"the cloud does not take {len(self._passed_over)} of this box's inspections ({why}): "
            "update the older side; they stay in the journal until then",
        )

    def _send(self, batch: _Batch) -> None:
        now = self._clock.monotonic()
        if batch.sent_at is not None:
            self._health.count("batches_resent")
        # Set before publishing: the receipt may be here before `publish` returns.
        batch.sent_at = self._last_sent = now
        self._throttle.sent()
        try:
            self._transport.publish(self._topic, batch.payload)
        except TransportError as error:
            batch.sent_at = None
            log.debug("batch_unsent", error=str(error))
            return
        if self._silent_since is None:
            self._silent_since = now
        elif now - self._silent_since >= SILENCE_S:
            self._health.problem(
                "receipts",
                f"the broker takes inspections, but no receipt has come for {SILENCE_S:.0f} s: "
                "check that the cloud runs, and the broker's ACL",
            )

    def _connection_changed(self, connected: bool) -> None:  # noqa: FBT001 - ConnectionHandler
        with self._lock:
            if self._batch is not None and not connected:
                self._batch.sent_at = None
        self._silent_since = None
        if connected and self._lost:
            self._throttle.reconnected()
        self._lost = not connected
        self.wake.set()

    def _arrived(self, arrival: Arrival[Receipt]) -> None:
        receipt = arrival.message
        with self._lock:
            known = [*self._earlier, self._batch] if receipt.boot == self._journal.boot else []
        batch = next((one for one in known if one and one.number == receipt.batch), None)
        if batch is None:
            self._health.count("receipts_of_another_batch")
            return
        self._silent_since = None
        self.confirmed = True
        self._health.well("receipts")
        if batch.sent_at is not None:
            self._throttle.received(self._clock.monotonic() - batch.sent_at)
        self._journal.acknowledge(batch.row_ids, lambda: self._acknowledged(batch))

    def _acknowledged(self, batch: _Batch) -> None:
        """The receipt is on disk: the next batch may be read from there."""
        with self._lock:
            if self._batch is batch:
                self._batch = None
            suspect, self._suspect = self._suspect, None
        if suspect is not None and suspect not in batch.row_ids:
            self._strikes[suspect] += 1
            # The first time the cloud may have come back just then.
            if self._strikes[suspect] >= STRIKES:
                self._pass_over([suspect], "it confirms others, and these never")
        self._health.well("outbox")
        self.wake.set()
