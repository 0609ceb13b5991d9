"""Puts an agent together from its settings, starts it, and ends it cleanly."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from functools import partial
from typing import Any, Literal

import cv2

from edge.actuator.base import ACTUATORS, Actuator
from edge.actuator.calls import END_S as ACTUATOR_END_S
from edge.actuator.calls import ActuationQueue
from edge.agent import MAX_OPEN
from edge.camera.base import CAMERAS, Camera, CameraState
from edge.camera.blank_detection import BlankGuard
from edge.camera.freeze_detection import FrozenGuard
from edge.camera.guard import PixelsNow, unchanged
from edge.configuration.settings import EdgeSettings
from edge.identity.transport import CertifiedTransport, open_certified
from edge.inspection.control import ControlSample
from edge.inspection.fields import FieldSources
from edge.inspection.inspector import Inspector, load_head
from edge.inspection.model import LiveModel
from edge.journal.journal import Journal
from edge.journal.picture_ring import RingPolicy
from edge.learning.participation import take_part
from edge.link.presence import Snapshot
from edge.monitoring.end import LEAVE_S, BoxEnd
from edge.monitoring.health import BoxHealth
from edge.monitoring.standstill import Standstill
from edge.monitoring.watchdog import Watchdog, heart
from edge.pictures.service import open_pictures
from edge.updates.service.assembly import Neighbours, Reopening, UpdateAssembly
from edge.updates.service.updater import JOIN_S
from edge.wiring import Around, wire
from shared.bundles.bundle import Bundle
from shared.clock import Clock
from shared.errors import AgentFailed
from shared.log import get_logger
from shared.settings import Settings
from shared.transport.base import Transport
from shared.transport.mqtt import MqttTransport
from shared.worker import Worker

log = get_logger("box")

CONNECT_S = 2.0
STOPPED_DRAIN_S = 3.0
# Stored pictures end while nobody waits: a cloud that is just being started again gets the last
# records. Whoever has not even a broker is alone.
ENDED_DRAIN_S = 60.0
ALONE_DRAIN_S = 10.0
FLUSH_S = 5.0
TICK_S = 0.02
LOOK_S = 1.0


class CameraBox:
    """Everything that runs in one camera box.

    Raises what opening the bundle, the runtime, the journal or the plug-ins raises.
    """

    def __init__(
        self,
        settings: EdgeSettings,
        clock: Clock,
        *,
        transport: Transport | None = None,
        camera: Camera | None = None,
        actuator: Actuator | None = None,
        reopening: Reopening | None = None,
        pulse: Watchdog | None = None,
        look_s: float = LOOK_S,
    ) -> None:
        """transport, camera, actuator: instead of those that the settings name, for tests
        reopening: how the settings can change; None: not from afar
        pulse: hears that parts get verdicts; None: this process's own systemd
        look_s: between two looks at whether they do
        """
        # Pictures are small and the second core decodes: OpenCV's own threads only get in the way.
        cv2.setNumThreads(1)
        self.health = BoxHealth(clock)
        self.clock = clock
        self.reopen: Literal["box", "process"] | None = None
        bay = self._open_bay(settings, reopening)
        model = bay.model if bay else open_model(settings, Bundle.open(settings.bundle))
        self.camera = camera or open_watched_camera(
            settings, clock, lambda: self.agent.model.pixels
        )
        self.actuator = actuator or open_actuator(settings.actuator, clock)
        self._actuations = ActuationQueue(self.actuator, clock, self.health)
        self.journal = open_journal(settings, self.health)
        with ExitStack() as failing:
            # Whoever opens another box instead, as after settings of no use, finds it free.
            failing.callback(self.journal.close)
            if self.journal.unclean and not CAMERAS.of(settings.camera).replays:
                # Parts were open whose numbers no record has. What plays stored pictures shows them
                # again under the same ones; on a line they have passed.
                self.journal.skip(MAX_OPEN + 1)
            address = settings.address
            self.transport = transport or open_transport(settings, clock, self.health)
            wired = wire(
                Around(
                    address=address,
                    model=model,
                    transport=self.transport,
                    camera=self.camera,
                    journal=self.journal,
                    actuations=self._actuations,
                    ring=RingPolicy(settings.journal.ring_keep),
                    clock=clock,
                    health=self.health,
                    deadline_s=settings.deadline_ms / 1000,
                    look=self._look,
                    observer=bay.watch if bay else None,
                    fields=FieldSources.installed(self.health, settings.product.model_dump()),
                    control=ControlSample(settings.control.share),
                    sketched=(settings.sketches.parts, settings.sketches.seconds),
                    recipe=str(settings.product.model_dump().get("recipe", "")),
                )
            )
            self.agent, self.outbox, self.presence = wired.agent, wired.outbox, wired.presence
            self._uplink, self._publisher = wired.uplink, wired.publisher
            self.pictures = open_pictures(
                settings, lambda: self.agent.model, self.transport, clock, self.health
            )
            self.pictures.listen()
            self.rounds = take_part(settings, self.transport, self.journal, clock, self.health)
            # After all that it may have to hold: it knows what the cloud wanted before the start.
            self.updater = bay.open(self._neighbours()) if bay else None
            failing.pop_all()
        self._pulse = pulse or heart()
        self._look_s = look_s
        self._standstill = Standstill(self.agent)
        self._inspection = Worker("inspection", self._inspect, on_death=self.health.worker_died)
        self._end_s = settings.deadline_ms / 1000 + 1.0 + LEAVE_S
        self._given_up: BaseException | None = None
        self._connected = threading.Event()
        self._stopped = threading.Event()
        self._wake = threading.Event()
        self.health.on_death(self._wake.set)

    def run(self) -> None:
        """Inspect until the camera ends or `stop` is called. Returns when all is put away.

        Parts are inspected on a thread of their own; this one sees to it that they are. Raises what
        the camera raises, and AgentFailed where a thread that parts need has ended or stands still.
        """
        try:
            self._start()
            self._inspection.start()
            self._look_after()
        except BaseException:
            self._stopped.set()
            raise
        finally:
            hanging = self._end()
        if self._given_up is not None:
            raise self._given_up
        if self.health.dead is not None:
            name, error = self.health.dead
            raise AgentFailed(f"the thread {name} has ended ({type(error).__name__}: {error})")
        if hanging:
            raise AgentFailed(f"{', '.join(hanging)} did not end")

    def stop(self) -> None:
        """End soon and cleanly. May be called from a signal handler, and twice."""
        self._stopped.set()
        self._connected.set()
        self._wake.set()

    def _inspect(self) -> None:
        try:
            self.agent.run()
        except Exception as error:  # noqa: BLE001 - for who called `run`
            self._given_up = error
            self._stopped.set()
        finally:
            self._wake.set()

    def _look_after(self) -> None:
        """Until there is a reason to end. Raises AgentFailed where parts get no verdicts."""
        while not self._wake.wait(self._look_s):
            stands = self._standstill.look()
            if not stands:
                self._pulse.beat()
                self.health.well("inspection stands")
                continue
            self.health.problem("inspection stands", stands)
            if self._standstill.lasts:
                raise AgentFailed(stands)

    def _start(self) -> None:
        self.journal.start()
        self.agent.deadlines.start()
        self._actuations.start()
        self.transport.on_connection(self._connection_changed)
        self.transport.start(self.presence.will)
        self._publisher.start()
        if self.updater is not None:
            self.updater.start()
        self.rounds.start()
        self.pictures.start()
        # A box without a certificate may have to wait for one for long, and inspects meanwhile.
        if not isinstance(self.transport, CertifiedTransport) or self.transport.certified:
            # Without this the first escalations would miss a broker that is there.
            self._connected.wait(CONNECT_S)
        log.info("agent_started", boot=self.journal.boot, next_part=self.agent.last_part + 1)

    def _end(self) -> list[str]:
        """Put everything away; what did not end in its time, or failed to."""
        ends = BoxEnd()
        if self._inspection.alive:
            ends.end("camera", self.agent.stop)
        if not self._inspection.stop(self._end_s):
            ends.failed.append("inspection")
        if self.updater is not None:
            ends.end("updates", self.updater.stop, JOIN_S + LEAVE_S)
        ends.end("rounds", self.rounds.stop)
        ends.end("pictures", self.pictures.stop)
        ends.end("publisher", self._publisher.stop)
        ends.end("presence", self.presence.stopping)
        self.journal.flush(FLUSH_S)
        ends.end("deadlines", self.agent.deadlines.stop)
        ends.end("outbox", self._drain_outbox, ENDED_DRAIN_S + LEAVE_S)
        ends.end("transport", partial(self.transport.stop, self.presence.will))
        ends.end("actuator", self._actuations.stop, ACTUATOR_END_S)
        left = self.journal.waiting()
        ends.end("journal", self.journal.close, 2 * FLUSH_S)
        if left:
            log.warning("records_left", records=left, do="start the agent again to send them")
        log.info(
            "agent_stopped", inspected=self.agent.inspected, unsent=left, counts=self.health.counts
        )
        return ends.failed

    def _drain_outbox(self) -> None:
        if self.reopen is not None:
            # The next start goes on with what is left; meanwhile the line waits for nobody.
            return
        alone = not (self.outbox.confirmed or self.transport.connected)
        patience_s = ALONE_DRAIN_S if alone else ENDED_DRAIN_S
        if not (self._stopped.is_set() or self.outbox.is_empty):
            log.info("records_wait", records=self.journal.waiting(), at_most_s=patience_s)
        until = self.clock.monotonic() + patience_s
        while not self.outbox.is_empty and self.clock.monotonic() < until:
            # Whoever starts a box again that failed must not wait either.
            if self._stopped.is_set() or self.health.dead is not None:
                if not self.transport.connected:
                    return
                until = min(until, self.clock.monotonic() + STOPPED_DRAIN_S)
            self.outbox.wake.wait(TICK_S)
            self.outbox.wake.clear()
            self.outbox.tick()

    def _open_bay(
        self, settings: EdgeSettings, reopening: Reopening | None
    ) -> UpdateAssembly | None:
        if settings.updates is None:
            return None
        return UpdateAssembly(
            settings,
            settings.updates,
            lambda bundle: open_model(settings, bundle),
            self.clock,
            restart_box=lambda: self._restart("box"),
            restart_process=lambda: self._restart("process"),
            reopening=reopening,
        )

    def _neighbours(self) -> Neighbours:
        return Neighbours(
            agent=self.agent,
            transport=self.transport,
            health=self.health,
            boot=self.journal.boot,
            hold=self._hold,
            waiting=self.journal.waiting,
            camera=lambda: self._camera_state().status,
        )

    def _restart(self, what: Literal["box", "process"]) -> None:
        self.reopen = what
        self.stop()

    def _hold(self, reason: str) -> None:
        """The cloud wants silence: parts are judged here, and what is not sure is diverted."""
        self._uplink.hold(reason)
        self._publisher.hold(bool(reason))
        self.rounds.hold(reason)
        self.pictures.hold(reason)
        if reason:
            self.health.problem("held", reason)
        else:
            self.health.well("held")

    def _look(self) -> Snapshot:
        return Snapshot(
            camera=self._camera_state().describe(self.clock.monotonic()),
            inspected=self.agent.inspected,
            waiting=self.journal.waiting(),
            problems=self.health.problems,
        )

    def _camera_state(self) -> CameraState:
        """Of a camera of another package, too, whose state may raise anything."""
        try:
            return self.camera.state
        except Exception as error:  # noqa: BLE001 - as said
            return CameraState(
                "retrying", f"its state is not known: {type(error).__name__}: {error}"
            )

    def _connection_changed(self, connected: bool) -> None:  # noqa: FBT001 - ConnectionHandler
        if connected:
            self._connected.set()


def open_transport(settings: EdgeSettings, clock: Clock, health: BoxHealth) -> Transport:
    """The connection to the broker. Raises TransportError or IdentityError for unusable files."""
    address = settings.address
    if settings.identity is not None:
        return open_certified(settings.identity, settings.broker, address, clock, health)
    client_id = f"splitsight-{address.site}-{address.line}-{address.device}"
    return MqttTransport(settings.broker, client_id)


def open_model(settings: EdgeSettings, bundle: Bundle) -> LiveModel:
    """A bundle that agrees with its golden outputs here. Raises what `load_head` raises."""
    chosen = load_head(bundle, settings.runtime.name, settings.runtime.options)
    runtime = chosen.runtime
    log.info("runtime_chosen", runtime=runtime.name, reason=chosen.reason)
    inspector = open_inspector(settings, bundle, runtime)
    return LiveModel.of(bundle, inspector, f"{runtime.name} {runtime.device}")


def open_inspector(settings: EdgeSettings, bundle: Bundle, runtime: Any) -> Inspector:
    """The inspector with the bundle's gate, or with the settings' own."""
    spec = bundle.manifest.gate
    if settings.gate is not None:
        spec = settings.gate.applied_to(spec)
        log.warning("gate_overridden", pass_below=spec.pass_below, reject_from=spec.reject_from)
    if not settings.escalates:
        # Whoever would have asked the cloud asks a person: no more pass, and no more are rejected.
        spec = spec.model_copy(update={"escalates": False})
    seen = bundle.manifest.input
    return Inspector(
        runtime, bundle.codec, spec.gate, seen.shape, bundle.novelty, pixels=seen.pixels
    )


def open_journal(settings: EdgeSettings, health: BoxHealth) -> Journal:
    """Raises JournalError."""
    journal = settings.journal
    return Journal.open(
        journal.path,
        max_bytes=journal.max_bytes,
        ring_bytes=journal.ring_bytes,
        label_bytes=journal.label_bytes,
        max_age_s=journal.max_days * 86400,
        health=health,
    )


def open_camera(settings: Settings, clock: Clock) -> Camera:
    """The camera that these settings belong to."""
    opened: Camera = CAMERAS.opened(settings, clock)
    return opened


def open_watched_camera(
    settings: EdgeSettings, clock: Clock, pixels: PixelsNow = unchanged
) -> Camera:
    """The same, guarded against pictures that stand still or show nothing, where it is real.

    pixels   the live bundle's settings
    """
    camera = open_camera(settings.camera, clock)
    watched = settings.frozen_after > 0 and not CAMERAS.of(settings.camera).replays
    after = settings.frozen_after
    return FrozenGuard(BlankGuard(camera, after, pixels), after, pixels) if watched else camera


def open_actuator(settings: Settings, clock: Clock) -> Actuator:
    """The actuator that these settings belong to."""
    opened: Actuator = ACTUATORS.opened(settings, clock)
    return opened
