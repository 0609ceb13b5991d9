"""Whether what devices send on the shared subscriptions really comes to a worker of this cloud.

A client that joins the group takes its share of every escalation, and a broker's ACL may refuse
what it reads, but not that it joins. So each worker sends itself a message where devices speak,
and whichever worker takes it sends it back.
"""

from __future__ import annotations

import threading
from collections import deque

from shared.clock import Clock
from shared.errors import TransportError
from shared.log import get_logger
from shared.topics import Address, Channel
from shared.transport.base import Arrival, Transport, subscribe
from shared.wire import Probe, encode
from shared.worker import OnDeath, Worker

log = get_logger("probe")

SITE, LINE = "cloud", "workers"
"""Where no device is: names of devices are certified, and no worker's is given away."""
EVERY_S = 5.0
# A broker that is busy may take its time; a deadline is over by then.
ANSWERED_WITHIN_S = 4.0
KEPT = 12
# One may be lost with a worker that is killed.
LOST_TOLD = 2
CHANNELS: tuple[Channel, ...] = ("escalation", "inspections")


class GroupProbe:
    """Sends probes every EVERY_S and keeps of the last KEPT of each channel which came back."""

    def __init__(self, transport: Transport, worker: str, clock: Clock, on_death: OnDeath) -> None:
        self._transport = transport
        self._address = Address(SITE, LINE, worker)
        self._clock = clock
        self._lock = threading.Lock()
        self._sent: dict[tuple[str, int], float] = {}
        self._came_back: dict[str, deque[bool]] = {}
        self._number = 0
        self._forget()
        self._worker = Worker("probe", self._keep, on_death=on_death, retry_s=EVERY_S)

    def listen(self) -> None:
        """Subscribe."""
        subscribe(self._transport, self._address.topic("verdict"), Probe, self._returned)
        self._transport.on_connection(lambda _connected: self._forget())

    def start(self) -> None:
        self._worker.start()

    def stop(self) -> None:
        self._worker.stop()

    def send(self) -> None:
        """Note which probes are lost, and send the next ones where the broker takes any."""
        now = self._clock.monotonic()
        with self._lock:
            lost = [key for key, at in self._sent.items() if now - at > ANSWERED_WITHIN_S]
            for key in lost:
                del self._sent[key]
                self._came_back[key[0]].append(False)
            self._number += 1
        if not self._transport.connected:
            return
        for channel in CHANNELS:
            key = (channel, self._number)
            with self._lock:
                self._sent[key] = now
            try:
                self._transport.publish(self._address.topic(channel), encode(Probe(*key)))
            except TransportError as error:
                # Nobody has taken it: health tells of the broker.
                log.debug("probe_not_sent", reason=str(error))
                with self._lock:
                    self._sent.pop(key, None)

    @property
    def problems(self) -> list[str]:
        """One sentence for each channel on which probes get lost, for people."""
        with self._lock:
            lost = {name: list(kept).count(False) for name, kept in self._came_back.items()}
        return [
            f"{count} of the last {KEPT} messages that the cloud sent itself on `{name}` did not "
            "come: somebody else in the shared group takes them, or a worker that stands still. "
            "See who subscribes at the broker: docs/guides/workers.md."
            for name, count in lost.items()
            if count >= LOST_TOLD
        ]

    def _returned(self, arrival: Arrival[Probe]) -> None:
        key = (arrival.message.channel, arrival.message.number)
        with self._lock:
            if self._sent.pop(key, None) is not None:
                self._came_back[key[0]].append(True)

    def _forget(self) -> None:
        """The connection came or went: what was under way with it says nothing."""
        with self._lock:
            self._sent = {}
            self._came_back = {name: deque(maxlen=KEPT) for name in CHANNELS}

    def _keep(self) -> float:
        self.send()
        return EVERY_S


def is_probe(address: Address) -> bool:
    """Whether a probe may come from here."""
    return (address.site, address.line) == (SITE, LINE)
