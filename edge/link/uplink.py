"""Escalations out at once, the cloud's verdicts in."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edge.inspection.model import LiveModel
from edge.inspection.open_part import OpenPart
from edge.monitoring.health import BoxHealth
from shared.clock import Clock
from shared.errors import TransportError
from shared.log import get_logger
from shared.topics import Address
from shared.transport.base import Arrival, Transport, subscribe
from shared.wire import CloudVerdict, Escalation, encode

log = get_logger("uplink")

# The box goes on without the cloud; its deadline decides.
VerdictHandler = Callable[[CloudVerdict], None]


class Uplink:
    """The live path to the cloud: nothing waits here, what can't be sent now is not sent."""

    def __init__(
        self,
        transport: Transport,
        address: Address,
        *,
        boot: str,
        clock: Clock,
        health: BoxHealth,
    ) -> None:
        self._transport = transport
        self._topic = address.topic("escalation")
        self._verdicts = address.topic("verdict")
        self._boot = boot
        self._clock = clock
        self._health = health
        self._handler: VerdictHandler | None = None
        self._cut_off = False
        self._held = ""

    def hold(self, reason: str) -> None:
        """Send nothing while there is a reason; empty: send again."""
        self._held, self._cut_off = reason, False

    def listen(self, handler: VerdictHandler) -> None:
        """Call `handler` for each verdict on an escalation of this boot."""
        self._handler = handler
        refused = self._health.payload_refused
        subscribe(self._transport, self._verdicts, CloudVerdict, self._arrived, refused=refused)
        self._transport.on_connection(self._connection_changed)

    def escalate(
        self,
        part: OpenPart,
        model: LiveModel,
        symbols: NDArray[np.int8],
        score: float,
        frame_bytes: int,
    ) -> None:
        """Send a part's features, as `model` made them.

        Where that can't be done the deadline will decide.
        """
        if self._held:
            self._unsent(self._held)
            return
        if not self._transport.connected:
            self._unsent("the broker is not connected")
            return
        remaining = part.deadline - self._clock.monotonic()
        if remaining <= 0:
            self._health.count("escalations_too_late")
            return
        body, coarseness = model.codec.encode_within(symbols, model.cap_bytes)
        header = Escalation(
            boot=self._boot,
            sequence=part.sequence,
            part=part.part,
            pair=model.pair,
            shape=model.codec.shape,
            remaining=remaining,
            expires=self._clock.utc() + remaining,
            score=score,
            frame_bytes=frame_bytes,
            coarseness=coarseness,
        )
        payload = encode(header, body)
        # Set before publishing: the answer may be here before `publish` returns.
        part.escalated_bytes = len(payload)
        try:
            self._transport.publish(
                self._topic,
                payload,
                expires_s=remaining,
                properties={"traceparent": new_traceparent()},
            )
        except TransportError as error:
            part.escalated_bytes = 0
            self._unsent(error.message)
            return
        self._health.count("escalations_sent")
        if coarseness > 1:
            self._health.count("escalations_coarser")

    def _unsent(self, reason: str) -> None:
        self._health.count("escalations_unsent")
        if not self._cut_off:
            self._cut_off = True
            log.warning("escalations_unsent", reason=reason, verdict="reject by the deadline")

    def _connection_changed(self, connected: bool) -> None:  # noqa: FBT001 - ConnectionHandler
        if connected:
            self._cut_off = False

    def _arrived(self, arrival: Arrival[CloudVerdict]) -> None:
        verdict = arrival.message
        if verdict.boot != self._boot:
            self._health.count("verdicts_of_another_boot")
            return
        if self._handler is not None:
            self._handler(verdict)


def new_traceparent() -> str:
    """A fresh trace context (W3C Trace Context, version 00), sampled."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
