"""Escalations that this worker can't answer go on to one that can."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

import msgspec

from cloud.inference.counters import EventCounters
from shared.errors import SplitsightError
from shared.log import get_logger
from shared.topics import Address
from shared.transport.base import Transport
from shared.wire import Escalation, encode

log = get_logger("handover")

# What comes too late for the ejector is still stored, as a late answer.
SHORTEST_S = 1.0


class Serving(Protocol):
    """What is known of the other workers; see `cloud.inference.roster.WorkerRoster`."""

    def others_serve(self, pair: str) -> bool: ...


class Alone:
    """There is no other worker."""

    def others_serve(self, pair: str) -> bool:
        del pair
        return False


class Handover:
    """Hands an escalation on, once: whoever takes it there hands nothing on."""

    def __init__(self, transport: Transport, others: Serving, counters: EventCounters) -> None:
        self._transport = transport
        self._others = others
        self._counters = counters

    def hand_on(
        self,
        address: Address,
        escalation: Escalation,
        body: bytes,
        remaining: float,
        properties: Mapping[str, str],
    ) -> bool:
        """Whether another worker serves its pair and it is on its way there.

        remaining   seconds to its deadline, now
        """
        if not self._others.others_serve(escalation.pair):
            return False
        try:
            self._transport.publish(
                address.handed(escalation.pair),
                encode(msgspec.structs.replace(escalation, remaining=remaining), body),
                expires_s=max(SHORTEST_S, math.ceil(remaining)),
                properties=properties,
            )
        except SplitsightError as error:
            self._counters.add("not_handed_on")
            log.debug("not_handed_on", device=address.device, reason=str(error))
            return False
        self._counters.add("handed_on")
        return True
