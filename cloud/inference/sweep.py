"""What devices leave at the broker for ever: retained messages, bounded."""

from __future__ import annotations

import threading
from collections import Counter

from cloud.inference.quota import MOST_PLACES
from shared.errors import TransportError
from shared.log import get_logger
from shared.topics import PREFIX
from shared.transport.base import Delivery, LeavingTransport
from shared.worker import OnDeath, Worker

log = get_logger("sweep")

EVERY_S = 300.0
# Brokers send what is retained as fast as it is read; a pause as long as this is its end.
LISTEN_S = 5.0
EVERYTHING = f"{PREFIX}/#"
KEPT = frozenset({"state", "command", "reply"})
"""Channels whose last message is kept on purpose."""
LARGEST = 64 * 1024
MOST_CLEARED = 10_000


class RetainedSweep:
    """Every EVERY_S reads what the broker has retained below our prefix, on a connection of its
    own, and clears what no device has to leave there: other topics, large ones, too many of a name.
    """

    def __init__(self, transport: LeavingTransport, on_death: OnDeath) -> None:
        """transport: for this alone, and started"""
        self._transport = transport
        self._lock = threading.Lock()
        self._found: list[tuple[str, int]] = []
        self._places: Counter[tuple[str, str]] = Counter()
        self._worker = Worker("sweep", self._keep, on_death=on_death, retry_s=EVERY_S)
        self.cleared = 0

    def start(self) -> None:
        self._worker.start()

    def stop(self) -> None:
        self._worker.stop()

    def sweep(self) -> int:
        """Look once, for LISTEN_S; how many were cleared."""
        with self._lock:
            self._found, self._places = [], Counter()
        self._transport.subscribe(EVERYTHING, self._take)
        self._worker.stopping.wait(LISTEN_S)
        self._transport.unsubscribe(EVERYTHING)
        return self.clear()

    def clear(self) -> int:
        """Clear what was found to be too much; how many that were."""
        with self._lock:
            found, self._found = self._found, []
        cleared = 0
        for topic, _ in found:
            try:
                self._transport.publish(topic, b"", retain=True)
            except TransportError as error:
                log.debug("not_cleared", topic=topic[:300], reason=str(error))
                break
            cleared += 1
        if found:
            senders = Counter(topic.split("/")[4] for topic, _ in found if topic.count("/") >= 4)
            log.warning(
                "retained_cleared",
                messages=cleared,
                of=len(found),
                bytes=sum(size for _, size in found),
                devices=dict(senders.most_common(5)),
            )
        self.cleared += cleared
        return cleared

    def _take(self, delivery: Delivery) -> None:
        if not delivery.retained or not delivery.payload:
            return
        with self._lock:
            if len(self._found) < MOST_CLEARED and not self._may_stay(delivery):
                self._found.append((delivery.topic, len(delivery.payload)))

    def _may_stay(self, delivery: Delivery) -> bool:
        steps = delivery.topic.split("/")
        if len(steps) != 6 or steps[5] not in KEPT or len(delivery.payload) > LARGEST:
            return False
        self._places[steps[4], steps[5]] += 1
        return self._places[steps[4], steps[5]] <= MOST_PLACES

    def _keep(self) -> float:
        if not self._transport.connected:
            return 1.0
        self.sweep()
        return EVERY_S
