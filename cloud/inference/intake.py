"""MQTT in: what devices send is checked here, once, and handed on."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Collection
from dataclasses import asdict
from functools import partial

from cloud.inference.counters import EventCounters
from cloud.inference.handover import Handover
from cloud.inference.probe import is_probe
from cloud.inference.queue import Job, WorkQueue
from cloud.inference.tail import Tails
from cloud.inference.throttle import LogThrottle
from cloud.inference.unserved import UnservedPairs
from cloud.records.clocks import clock_off, shown_time
from cloud.records.tables import InspectionRow, inspection_row
from cloud.records.writer import RecordsWriter, StorageBatch
from shared.clock import Clock
from shared.errors import TransportError, WireError
from shared.inspection import LARGEST_NUMBER, Inspection, storable_text
from shared.log import get_logger
from shared.topics import NAME, Address, everyone, everyone_handed
from shared.transport.base import Arrival, LeavingTransport, ignore, subscribe
from shared.wire import (
    MAX_BATCH,
    Escalation,
    Inspections,
    Message,
    Probe,
    Receipt,
    StateMessage,
    encode,
)

log = get_logger("intake")

TRACE = ("traceparent", "tracestate")
LONGEST_TEXT = 1024
LONGEST_REMAINING_S = 3600.0
LONGEST_BEAT_S = 3600.0
FIX = "update the older side; until then the device decides by itself"


def of_escalations(group: str) -> str:
    """The filter that all workers of a cloud share."""
    # A name for each: iotcore counts what it has delivered by name, not by name and filter.
    return everyone("escalation", shared_as=f"{group}-escalation")


def of_inspections(group: str) -> str:
    """Alike."""
    return everyone("inspections", shared_as=f"{group}-inspections")


class Intake:
    """Receives escalations, inspections and states from every device.

    Any number of workers share the first two. An escalation whose tail is not served here is handed
    on to the workers that serve it. A payload that is not as agreed is warned of, counted, and has
    no other effect.
    """

    def __init__(
        self,
        *,
        transport: LeavingTransport,
        tails: Tails,
        queue: WorkQueue,
        writer: RecordsWriter,
        counters: EventCounters,
        clock: Clock,
        handover: Handover,
        clocks: Callable[[str, float], object] = lambda _device, _off_s: None,
    ) -> None:
        """clocks: told by how much a box's clock is ahead of ours, just now"""
        self._transport = transport
        self._tails = tails
        self._queue = queue
        self._writer = writer
        self._counters = counters
        self._clock = clock
        self._handover = handover
        self._clocks = clocks
        self._throttle = LogThrottle(clock)
        self._group = ""
        self._handed: dict[str, str] = {}
        self._changing = threading.Lock()
        self.unserved = UnservedPairs(clock)

    def start(self, group: str) -> None:
        """Subscribe. group: the name of the subscriptions that all workers of this cloud share"""
        refused = partial(self._counters.add, "malformed")
        to, self._group = self._transport, group
        asked = (of_escalations(group), self._escalation_or_probe)
        reported = (of_inspections(group), self._inspections_or_probe)
        for topic_filter, handler in (asked, reported):
            subscribe(to, topic_filter, Message, handler, refused=refused)
        self.take_handed(list(self._tails))
        # Not shared: brokers hand retained messages to plain subscriptions only.
        states = everyone("state")
        subscribe(to, states, StateMessage, self.state, cleared=ignore, refused=refused)

    def take_handed(self, pairs: Collection[str]) -> None:
        """Take what other workers hand on of these pairs, and of no others."""
        with self._changing:
            for pair in set(self._handed) - set(pairs):
                self._transport.unsubscribe(self._handed.pop(pair))
            for pair in set(pairs) - set(self._handed):
                name = f"{self._group}-{pair}"
                self._handed[pair] = topic_filter = everyone_handed(pair, shared_as=name)
                refused = partial(self._counters.add, "malformed")
                subscribe(
                    self._transport, topic_filter, Escalation, self.escalation, refused=refused
                )

    def escalation(self, arrival: Arrival[Escalation]) -> None:
        """Queue one escalation. Raises WireError where it is not as agreed."""
        address, message, body = arrival.address, arrival.message, arrival.body
        _check_key(message.boot, message.sequence, message.part)
        if not math.isfinite(message.remaining) or message.remaining > LONGEST_REMAINING_S:
            raise WireError(f"{message.remaining} s remain, a few seconds were wanted", fix=FIX)
        if math.isfinite(message.expires):
            # Both are of the moment when it was sent, one by the box's clock.
            sent = message.expires - message.remaining
            self._clocks(address.device, clock_off(sent, self._clock.utc()))
        trace = {name: arrival.properties[name] for name in TRACE if name in arrival.properties}
        handed = arrival.channel == "handed"
        tail = self._tails.get(message.pair)
        if tail is None:
            given = (address, message, body, message.remaining, trace)
            # Where it was handed here, another round could go on for ever.
            if handed or not self._handover.hand_on(*given):
                self._counters.add("unknown_pair")
                self.unserved.came(message.pair, address.device, sorted(self._tails))
            return
        if message.shape != tail.shape:
            raise WireError(f"features of shape {message.shape} came, {tail.shape} wanted", fix=FIX)
        tail.codec.check(len(body), message.coarseness)
        arrived = self._clock.monotonic()
        self._counters.add("escalations")
        if message.coarseness > 1:
            self._counters.add("escalations_coarser")
        due = arrived + message.remaining
        self._queue.put(Job(address, message, body, arrived, due, trace, handed))

    def inspections(self, arrival: Arrival[Inspections]) -> None:
        """Store one batch, then acknowledge it. Raises WireError where it is not as agreed."""
        address, message, body = arrival.address, arrival.message, arrival.body
        if body or len(message.rows) > MAX_BATCH:
            raise WireError(
                f"{len(message.rows)} inspections and {len(body)} B of body came",
                fix=f"at most {MAX_BATCH} and none were wanted",
            )
        _check_boot(message.boot)
        now = self._clock.utc()
        records = [_record(address, row, now) for row in message.inspections]
        receipt = Receipt(boot=message.boot, batch=message.batch)

        def stored() -> None:
            self._counters.add("inspections", len(records))
            try:
                self._transport.publish(address.topic("receipt"), encode(receipt))
            except TransportError as error:
                # The device sends the batch again, and the same rows change nothing.
                if count := self._throttle.may_tell("receipt_not_sent"):
                    log.warning(
                        "receipt_not_sent",
                        device=address.device,
                        reason=str(error),
                        receipts=count,
                    )

        self._writer.add_batch(StorageBatch(records, stored))

    def state(self, arrival: Arrival[StateMessage]) -> None:
        """Store a device's state. Raises WireError where it is not as agreed."""
        address, message, body = arrival.address, arrival.message, arrival.body
        if body:
            raise WireError(f"a state with {len(body)} B of body came", fix=FIX)
        numbers = (message.inspected, message.waiting)
        if any(not 0 <= n <= LARGEST_NUMBER for n in numbers):
            raise WireError(f"a state with counts {numbers} came", fix=FIX)
        now = self._clock.utc()
        # A will is dated when its device connected, what the broker kept some time in the past.
        live = not arrival.retained and message.state != "offline"
        off = clock_off(message.at, now) if live else None
        if off is not None:
            self._clocks(address.device, off)
        self._writer.add_device(
            {
                **asdict(address),
                "state": message.state,
                "boot": storable_text(message.boot, 64),
                "at": shown_time(message.at, now),
                # What the broker kept is no sign of life from now.
                "seen_at": min(shown_time(message.at, now), now) if arrival.retained else now,
                "beat_s": message.beat_s if 0.0 < message.beat_s <= LONGEST_BEAT_S else 0.0,
                "clock_off_s": off,
                "bundle": storable_text(message.bundle, 128),
                "runtime": storable_text(message.runtime, 128),
                "camera": storable_text(message.camera, 256),
                "inspected": message.inspected,
                "waiting": message.waiting,
                "problems": "\n".join(
                    storable_text(problem, LONGEST_TEXT) for problem in message.problems
                ),
            }
        )

    def _escalation_or_probe(self, arrival: Arrival[Message]) -> None:
        if not self._is_returned(arrival):
            self.escalation(arrival.of(Escalation))

    def _inspections_or_probe(self, arrival: Arrival[Message]) -> None:
        if not self._is_returned(arrival):
            self.inspections(arrival.of(Inspections))

    def _is_returned(self, arrival: Arrival[Message]) -> bool:
        """Whether it was a worker's probe, which then is on its way back."""
        if not isinstance(arrival.message, Probe) or not is_probe(arrival.address):
            return False
        try:
            self._transport.publish(arrival.address.topic("verdict"), encode(arrival.message))
        except TransportError as error:
            log.debug("probe_not_returned", reason=str(error))
        return True


def _record(address: Address, row: Inspection, now: float) -> InspectionRow:
    _check_key(row.boot, row.sequence, row.part)
    return inspection_row(address, row, now)


def _check_boot(boot: str) -> None:
    if not NAME.fullmatch(boot):
        raise WireError(f"the boot is {boot[:80]!r}", fix="63 letters and digits at most")


def _check_key(boot: str, sequence: int, part: int) -> None:
    _check_boot(boot)
    if not 0 < sequence <= LARGEST_NUMBER or not 0 <= part <= LARGEST_NUMBER:
        raise WireError(
            f"sequence {sequence} and part {part} came", fix="positive 64-bit numbers were wanted"
        )
