"""What stands between the broker and all of the cloud that listens: each device has its quota of
messages, and what it sends that can't be read is logged once, then by count."""

from __future__ import annotations

from dataclasses import replace

from cloud.inference.quota import DeviceQuota
from cloud.inference.throttle import LogThrottle
from shared.clock import Clock
from shared.errors import WireError
from shared.log import get_logger
from shared.transport.base import (
    Delivery,
    Handler,
    LeavingTransport,
    TransportView,
    Will,
)

log = get_logger("transport")


class GuardedTransport(TransportView[LeavingTransport]):
    """Another transport, behind quotas; `start` and `stop` are its own."""

    def __init__(self, transport: LeavingTransport, quota: DeviceQuota, clock: Clock) -> None:
        super().__init__(transport)
        self._quota = quota
        self._throttle = LogThrottle(clock)
        self._came: Delivery | None = None
        self._admitted: Delivery | None = None

    def start(self, will: Will | None = None) -> None:
        self._transport.start(will)

    def stop(self, goodbye: Will | None = None) -> None:
        self._transport.stop(goodbye)

    def subscribe(self, topic_filter: str, handler: Handler, *, own: bool = True) -> None:
        def guarded(delivery: Delivery) -> None:
            admitted = self._admit(delivery)
            if admitted is not None:
                handler(admitted)

        self._transport.subscribe(topic_filter, guarded, own=own)

    def unsubscribe(self, topic_filter: str) -> None:
        self._transport.unsubscribe(topic_filter)

    def _admit(self, delivery: Delivery) -> Delivery | None:
        """The same for all who listen to it: it counts once, and is decoded once."""
        if delivery is not self._came:
            self._came = delivery
            admitted = self._quota.admits(delivery.topic)
            self._admitted = replace(delivery, report=self._report) if admitted else None
        return self._admitted

    def _report(self, delivery: Delivery, error: WireError) -> None:
        sender = "/".join(delivery.topic.split("/", 5)[2:5])[:200]
        count = self._throttle.may_tell(sender)
        if count:
            log.warning(
                "bad_message", topic=delivery.topic[:300], reason=str(error), messages=count
            )
