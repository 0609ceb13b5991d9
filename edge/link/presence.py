"""The device's state, retained at the broker, with a will for the case that it vanishes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import msgspec

from shared.clock import Clock
from shared.contracts import DeviceState
from shared.errors import TransportError
from shared.log import get_logger
from shared.topics import Address
from shared.transport.base import Arrival, Transport, Will, ignore, subscribe
from shared.transport.problems import LinkProblems
from shared.wire import StateMessage, encode

log = get_logger("presence")

EVERY_S = 2.0
# A state of some 200 B, once in BEAT_S at the latest: 3,000 boxes that stand still are 100 messages
# a second for the broker, and 0.8 MB a day each on its link.
BEAT_S = 30.0
MAX_PROBLEMS = 8
MAX_TEXT = 300
# Words of `edge.camera.base.CameraStatus`.
TROUBLED = ("frozen", "blank", "retrying")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What changes while an agent runs; see `wire.StateMessage`."""

    camera: str = ""
    inspected: int = 0
    waiting: int = 0
    problems: tuple[str, ...] = ()

    def clipped(self) -> Snapshot:
        """Texts of others' errors, at a length that a message can carry."""
        problems = tuple(text[:MAX_TEXT] for text in self.problems[:MAX_PROBLEMS])
        return replace(self, camera=self.camera[:MAX_TEXT], problems=problems)


class Presence:
    """Publishes the state when it changed, every EVERY_S seconds at most; every BEAT_S at least.

    It reads its own topic too: who else writes there has the name of this box.
    """

    def __init__(
        self,
        transport: Transport,
        address: Address,
        *,
        boot: str,
        bundle: str,
        runtime: str,
        clock: Clock,
        look: Callable[[], Snapshot],
    ) -> None:
        """look: how the agent is now, called by the thread that ticks."""
        self._transport = transport
        self._topic = address.topic("state")
        self._fixed = StateMessage(
            state="offline", boot=boot, at=0.0, bundle=bundle, runtime=runtime, beat_s=BEAT_S
        )
        self._clock = clock
        self._look = look
        self._shown: tuple[DeviceState, Snapshot] | None = None
        self._shown_at = float("-inf")
        self._since: dict[str, float] = {}
        self._found = LinkProblems(clock.monotonic)
        self._connections = 0

    @property
    def will(self) -> Will:
        return Will(self._topic, self._payload("offline", Snapshot()))

    def listen(self) -> None:
        topic = self._topic
        subscribe(self._transport, topic, StateMessage, self._heard, cleared=ignore, own=False)
        self._transport.on_connection(self._connection_changed)

    def changed(self, bundle: str, runtime: str) -> None:
        """Another model is live; published with the next tick."""
        self._fixed = msgspec.structs.replace(self._fixed, bundle=bundle, runtime=runtime)
        self._shown = None

    def tick(self) -> None:
        """Publish `online` where something changed since the last time, or that was long ago."""
        now = self._clock.monotonic()
        if now - self._shown_at < EVERY_S and self._shown is not None:
            return
        self._show("online", self._now())

    def stopping(self) -> None:
        self._show("stopping", self._now())

    def _now(self) -> Snapshot:
        """How the agent and its link are; the link's troubles first, since they are few."""
        seen = self._look()
        link = {**self._transport.problems, **self._found.now}
        if seen.camera.startswith(TROUBLED):
            link["camera"] = seen.camera
        found = tuple(f"{about}: {text}" for about, text in link.items())
        return replace(seen, problems=found + seen.problems).clipped()

    def _show(self, state: DeviceState, snapshot: Snapshot) -> None:
        beats = self._clock.monotonic() - self._shown_at >= BEAT_S
        told = self._shown == (state, snapshot) and not beats
        if told or not self._transport.connected:
            return
        try:
            self._transport.publish(self._topic, self._payload(state, snapshot), retain=True)
        except TransportError as error:
            log.debug("state_unsent", error=str(error))
            return
        self._shown, self._shown_at = (state, snapshot), self._clock.monotonic()

    def _payload(self, state: DeviceState, snapshot: Snapshot) -> bytes:
        now = self._clock.utc()
        since = self._begun(snapshot, now)
        return encode(
            msgspec.structs.replace(
                self._fixed, state=state, at=now, since=since, **asdict(snapshot)
            )
        )

    def _begun(self, snapshot: Snapshot, now: float) -> tuple[float, ...]:
        """Since when each problem holds. Its text may change meanwhile; what it is about not."""
        abouts = [text.partition(": ")[0] for text in snapshot.problems]
        moment = self._clock.monotonic()
        self._since = {about: self._since.get(about, moment) for about in abouts}
        # Counted on the clock that never jumps: the other one may have been set since.
        return tuple(now - (moment - self._since[about]) for about in abouts)

    def _heard(self, arrival: Arrival[StateMessage]) -> None:
        """What was kept at the first connection is our own, from before this start."""
        said = arrival.message
        earlier = arrival.retained and self._connections <= 1
        if (
            said.boot == self._fixed.boot
            or earlier
            or (not arrival.retained and said.state == "offline")
        ):
            return
        where = arrival.address
        self._found.meet(
            "name",
            f"another client uses the name {where.site}/{where.line}/{where.device}",
            fix="give each box a `device` of its own",
        )

    def _connection_changed(self, connected: bool) -> None:  # noqa: FBT001 - ConnectionHandler
        # The broker may have published the will meanwhile: say again that we are here.
        if connected:
            self._connections += 1
        else:
            self._shown = None
