"""Escalations out at once, the cloud's verdicts in."""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable

from edge.inspection.model import LiveModel
from edge.inspection.open_part import OpenPart
from edge.link.circuit import CircuitBreaker
from edge.monitoring.health import BoxHealth
from shared.clock import Clock
from shared.contracts import Finding
from shared.errors import TransportError
from shared.log import get_logger
from shared.topics import Address
from shared.transport.base import Arrival, Transport, subscribe
from shared.wire import CloudVerdict, Escalation, encode

log = get_logger("uplink")

SILENCE_S = 30.0
SILENT = 5

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
        circuit: CircuitBreaker | None = None,
    ) -> None:
        """circuit: whether the cloud is asked at all; None: one that is closed at first"""
        self._circuit = circuit or CircuitBreaker(clock, random.Random())  # noqa: S311 - jitter
        self._unanswered = 0
        self._silent_since = clock.monotonic()
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
        finding: Finding,
        score: float,
        frame_bytes: int,
    ) -> bool:
        """Send a part's features, as `model` found them.

        Where that can't be done the deadline will decide. False: the cloud's answers come too
        late at present, and the part need not wait for its own.
        """
        if self._held:
            self._unsent(self._held)
        elif not self._transport.connected:
            self._unsent("the broker is not connected")
        elif not self._circuit.admits():
            self._health.count("escalations_spared")
            self._tell_of_the_cloud()
            return False
        elif part.deadline <= self._clock.monotonic():
            self._health.count("escalations_too_late")
        else:
            self._send(part, model, finding, score, frame_bytes)
        return True

    def _send(
        self,
        part: OpenPart,
        model: LiveModel,
        finding: Finding,
        score: float,
        frame_bytes: int,
    ) -> None:
        remaining = part.deadline - self._clock.monotonic()
        body, coarseness = model.codec.encode_within(finding.symbols, model.cap_bytes)
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
            tile=finding.tile or (),
        )
        payload = encode(header, body)
        # Set before publishing: the answer may be here before `publish` returns.
        part.escalated_bytes = len(payload)
        part.sent = self._clock.monotonic()
        self._circuit.asked(part.sequence, part.deadline)
        try:
            self._transport.publish(
                self._topic,
                payload,
                expires_s=remaining,
                properties={"traceparent": new_traceparent()},
            )
        except TransportError as error:
            part.escalated_bytes = 0
            part.sent = 0.0
            self._circuit.unsent(part.sequence)
            self._unsent(error.message)
            return
        if not self._unanswered:
            self._silent_since = self._clock.monotonic()
        self._unanswered += 1
        self._tell_of_the_cloud()
        self._health.count("escalations_sent")
        if coarseness > 1:
            self._health.count("escalations_coarser")

    def _unsent(self, reason: str) -> None:
        self._health.count("escalations_unsent")
        if not self._cut_off:
            self._cut_off = True
            log.warning("escalations_unsent", reason=reason, verdict="reject by the deadline")

    def _tell_of_the_cloud(self) -> None:
        """Whether it answers, and in time, by what has come: a broker grants what its ACL denies,
        and takes what nobody reads.
        """
        silent_s = self._clock.monotonic() - self._silent_since
        if self._unanswered >= SILENT and silent_s >= SILENCE_S:
            text = (
                f"the broker takes escalations, but no answer has come for {SILENCE_S:.0f} s: "
                "check that the cloud runs, and the broker's ACL"
            )
        elif self._circuit.state == "closed":
            self._health.well("cloud")
            return
        else:
            text = "its answers come too late: most uncertain parts are diverted without asking"
        self._health.problem("cloud", text)

    def _heard(self) -> None:
        self._unanswered = 0

    def _connection_changed(self, connected: bool) -> None:  # noqa: FBT001 - ConnectionHandler
        self._circuit.reset()
        self._heard()
        if connected:
            self._cut_off = False

    def _arrived(self, arrival: Arrival[CloudVerdict]) -> None:
        verdict = arrival.message
        if verdict.boot != self._boot:
            self._health.count("verdicts_of_another_boot")
            return
        self._circuit.answered(verdict.sequence)
        self._heard()
        self._tell_of_the_cloud()
        if self._handler is not None:
            self._handler(verdict)


def new_traceparent() -> str:
    """A fresh trace context (W3C Trace Context, version 00), sampled."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
