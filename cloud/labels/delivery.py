"""What inspectors say, to the devices that hold the pictures: again until each has said that it
is on its disk, or that the picture is gone."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from shared.clock import Clock
from shared.contracts import InspectionKey
from shared.errors import RecordsError, TransportError, WireError
from shared.log import get_logger
from shared.storage.database import UnstorableRecord
from shared.topics import Address, everyone
from shared.transport.base import Arrival, Transport, subscribe
from shared.wire import (
    MAX_BATCH,
    MAX_HEADER,
    LabelReceipt,
    LabelReceipts,
    Labels,
    PartLabel,
    StateMessage,
    Withdrawal,
    decode,
    encode,
)
from shared.worker import OnDeath, Worker

log = get_logger("labels")

AGAIN_S = 30.0
RETRY_S = 5.0
AT_ONCE = 2000
MOST_ANSWERS = 10_000
# Bytes of masks in a message: the rest of its header is for a hundred labels.
MOST_DRAWN = MAX_HEADER - 36 * 1024


class WaitingLabel(NamedTuple):
    """A label that its device has not confirmed, or that it is to forget."""

    address: Address
    row: PartLabel | Withdrawal

    @property
    def said_at(self) -> float:
        """UTC seconds; what a device answers with."""
        return self.row.at if isinstance(self.row, Withdrawal) else self.row.labelled_at


class WaitingLabels(Protocol):
    """What the post needs of the records. Both raise RecordsError."""

    def waiting_labels(self, devices: Sequence[str], limit: int) -> list[WaitingLabel]:
        """Labels for these devices that none has confirmed, oldest first, so many of each."""

    def label_delivered(self, key: InspectionKey, row: LabelReceipt, at: float) -> None:
        """What became of a label; nothing where there is a newer one meanwhile."""


class LabelDelivery:
    """Sends labels to devices that are there. Any number of workers may do it: a device that gets
    a label twice keeps it once.
    """

    def __init__(
        self, records: WaitingLabels, transport: Transport, clock: Clock, on_death: OnDeath
    ) -> None:
        self._records = records
        self._transport = transport
        self._clock = clock
        self._lock = threading.Lock()
        self._online: dict[str, str] = {}
        self._sent: dict[tuple[str, str, int], tuple[float, float]] = {}
        self._answers: deque[tuple[str, LabelReceipt]] = deque(maxlen=MOST_ANSWERS)
        self._came: deque[str] = deque(maxlen=MOST_ANSWERS)
        # Without this thread no label would ever leave again.
        self._worker = Worker("labels", self._deliver, on_death=on_death, retry_s=RETRY_S)

    def listen(self) -> None:
        """Subscribe."""
        to, states = self._transport, everyone("state")
        subscribe(to, everyone("labelled"), LabelReceipts, self._answered)
        subscribe(to, states, StateMessage, self._state_changed, cleared=self._gone)

    def start(self) -> None:
        """Send whatever is due, on a thread of its own."""
        self._worker.start()

    def stop(self) -> None:
        self._worker.stop()

    def hurry(self) -> None:
        """There is a new label."""
        self._worker.wake()

    def tick(self) -> None:
        """Note what devices have answered, then send what is due. Raises RecordsError."""
        while self._came:
            self._forget(self._came.popleft())
        self._note_answers()
        with self._lock:
            online = sorted(self._online)
        if not online or not self._transport.connected:
            return
        due: dict[Address, list[WaitingLabel]] = defaultdict(list)
        for label in self._records.waiting_labels(online, AT_ONCE):
            if not _can_be_read(label.row):
                self._refuse(label)
            elif self._is_due(label):
                due[label.address].append(label)
        for address, labels in due.items():
            for batch in _batches(labels):
                self._send(address, batch)

    def _note_answers(self) -> None:
        """Each by itself: one that can't be stored holds up nobody else's."""
        stored, failed, why = 0, [], None
        for device, row in [self._answers.popleft() for _ in range(len(self._answers))]:
            key = InspectionKey(device, row.boot, row.sequence)
            try:
                self._records.label_delivered(key, row, self._clock.utc())
            except UnstorableRecord as error:
                log.warning(
                    "label_answer_dropped", device=device, part=row.sequence, reason=error.message
                )
                continue
            except RecordsError as error:
                failed.append((device, row))
                why = error
                continue
            stored += 1
            self._sent.pop(key, None)
        if why is not None and not stored:
            # The database is away for all alike: they are stored when it is back.
            self._answers.extendleft(reversed(failed))
            raise why
        for device, row in failed:
            log.warning("label_answer_dropped", device=device, part=row.sequence, reason=str(why))

    def _is_due(self, label: WaitingLabel) -> bool:
        known = self._sent.get((label.address.device, label.row.boot, label.row.sequence))
        if known is None or known[0] != label.said_at:
            return True
        return self._clock.monotonic() - known[1] >= AGAIN_S

    def _refuse(self, label: WaitingLabel) -> None:
        """No device could read it, nor what travels with it: it is told once, and no more sent."""
        device, row = label.address.device, label.row
        log.warning("label_refused", device=device, part=row.sequence, boot=row.boot[:64])
        key = InspectionKey(device, row.boot, row.sequence)
        receipt = LabelReceipt(row.boot, row.sequence, label.said_at, kept=False)
        self._records.label_delivered(key, receipt, self._clock.utc())

    def _send(self, address: Address, labels: Sequence[WaitingLabel]) -> None:
        now = self._clock.monotonic()
        for label in labels:
            row = label.row
            self._sent[address.device, row.boot, row.sequence] = (label.said_at, now)
        try:
            message = _message([label.row for label in labels])
            self._transport.publish(address.topic("label"), encode(message))
        except TransportError as error:
            log.debug("labels_unsent", device=address.device, error=error.message)
            self._forget(address.device)

    def _forget(self, device: str) -> None:
        for key in [key for key in self._sent if key[0] == device]:
            del self._sent[key]

    def _answered(self, arrival: Arrival[LabelReceipts]) -> None:
        device = arrival.address.device
        self._answers.extend((device, row) for row in arrival.message.rows[:MAX_BATCH])
        self._worker.wake()

    def _state_changed(self, arrival: Arrival[StateMessage]) -> None:
        device, state = arrival.address.device, arrival.message
        if state.state != "online":
            self._gone(arrival.address)
            return
        with self._lock:
            known = self._online.get(device)
            self._online[device] = state.boot
        if known != state.boot:
            self._came.append(device)
            self._worker.wake()

    def _gone(self, address: Address) -> None:
        with self._lock:
            self._online.pop(address.device, None)

    def _deliver(self) -> float:
        try:
            self.tick()
        except RecordsError as error:
            log.warning("labels_wait", reason=error.message, next_try_s=RETRY_S)
            return RETRY_S
        return AGAIN_S


def _batches(labels: Sequence[WaitingLabel]) -> Iterator[list[WaitingLabel]]:
    """As many as fit into a message, with what was drawn."""
    batch: list[WaitingLabel] = []
    size = 0
    for label in labels:
        row = label.row
        drawn = 0 if isinstance(row, Withdrawal) else len(row.mask)
        if batch and (len(batch) == MAX_BATCH or size + drawn > MOST_DRAWN):
            yield batch
            batch, size = [], 0
        batch.append(label)
        size += drawn
    if batch:
        yield batch


def _message(rows: Sequence[PartLabel | Withdrawal]) -> Labels:
    return Labels(
        [row for row in rows if isinstance(row, PartLabel)],
        [row for row in rows if isinstance(row, Withdrawal)],
    )


def _can_be_read(row: PartLabel | Withdrawal) -> bool:
    """Whether its device can, by the bounds of the wire."""
    try:
        decode(encode(_message([row])), Labels)
    except WireError:
        return False
    return True
