"""What inspectors say of parts, from the cloud to the journal that holds the pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from edge.monitoring.health import BoxHealth
from shared.errors import TransportError, WireError
from shared.log import get_logger
from shared.topics import Address
from shared.transport.base import Arrival, Transport, subscribe
from shared.wire import (
    MAX_BATCH,
    LabelReceipt,
    LabelReceipts,
    Labels,
    PartLabel,
    Withdrawal,
    encode,
)

log = get_logger("labels")


class KeepsLabels(Protocol):
    """Where labels are written; the journal is one."""

    def label(
        self,
        rows: Sequence[PartLabel],
        domain: str,
        committed: Callable[[list[LabelReceipt]], None],
        withdrawn: Sequence[Withdrawal] = (),
    ) -> None: ...


class LabelReceiver:
    """Takes labels, and says what became of each once it is on disk. The cloud sends again what it
    has not heard of, so the same label may come twice.

    domain   the lighting, line or plant that this device's pictures belong to
    """

    def __init__(
        self,
        journal: KeepsLabels,
        transport: Transport,
        address: Address,
        *,
        domain: str,
        health: BoxHealth,
    ) -> None:
        self._journal = journal
        self._transport = transport
        self._come_in = address.topic("label")
        self._answers = address.topic("labelled")
        self._domain = domain
        self._health = health

    def listen(self) -> None:
        refused = self._health.payload_refused
        subscribe(self._transport, self._come_in, Labels, self._arrived, refused=refused)

    def _arrived(self, arrival: Arrival[Labels]) -> None:
        rows, withdrawn = arrival.message.rows, arrival.message.withdrawn
        if arrival.body or len(rows) + len(withdrawn) > MAX_BATCH:
            raise WireError(
                f"{len(rows) + len(withdrawn)} labels and {len(arrival.body)} B of body came",
                fix=f"at most {MAX_BATCH} and none are taken",
            )
        taken_back = len(withdrawn)
        self._journal.label(
            rows, self._domain, lambda became: self._committed(became, taken_back), withdrawn
        )

    def _committed(self, rows: list[LabelReceipt], taken_back: int) -> None:
        gone = sum(not row.kept for row in rows) - taken_back
        self._health.count("labels_kept", len(rows) - gone - taken_back)
        if taken_back:
            self._health.count("labels_taken_back", taken_back)
        if gone:
            self._health.count("labels_without_picture", gone)
        try:
            self._transport.publish(self._answers, encode(LabelReceipts(rows)))
        except TransportError as error:
            log.debug("labels_unanswered", error=str(error))
