"""Puts a simulated line together from its settings, runs it in real time, and reports."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from pydantic import Field

from hardware_sim.camera.faults import CameraFaults, Shot
from hardware_sim.line.conveyor import Conveyor, LineSettings
from hardware_sim.line.drawing.parts import DrawingSettings, DrawnParts, PartSource
from hardware_sim.line.ejector import Ejector, EjectorSettings, TruthTable, parse_command
from hardware_sim.line.line import Settled, Sight, SimulatedLine
from hardware_sim.line.replay import replay
from hardware_sim.line.rtsp import RtspServer
from hardware_sim.line.server import LineServer
from shared.clock import Clock
from shared.errors import WireError
from shared.log import get_logger
from shared.settings import Settings
from shared.transport.base import Delivery, Transport
from shared.transport.mqtt import BrokerSettings, MqttTransport

log = get_logger("line")

LEAD_S = 0.5
"""From the belt's start to the earliest sensor: boxes that connect at once miss no part."""
DEFAULT_TOPIC = "plant/ejector"


class CommandSettings(Settings):
    """Where the ejector listens to what agents publish with `actuator.kind: mqtt`."""

    broker: BrokerSettings = BrokerSettings()  # type: ignore[call-arg]
    topic: str = Field(
        default=DEFAULT_TOPIC, pattern=r"^[^+#\x00]+$", description="as in actuator.topic"
    )


class LineRunSettings(Settings):
    """One simulated line: what comes by, how fast, and who listens."""

    seed: int = Field(default=0, ge=0, description="same seed, same parts")
    parts: int | None = Field(default=None, ge=1, description="end after so many; empty: never")
    first_part: int = Field(default=1, ge=1, description="number of the first part")
    drawing: DrawingSettings = DrawingSettings()
    data: str | None = Field(
        default=None, description="replay a data set, as training names it, instead of drawing"
    )
    split: Literal["train", "calibrate", "test"] | None = Field(
        default=None, description="replay only these pictures of the data set"
    )
    once: bool = Field(default=False, description="end after the data set's last picture")
    line: LineSettings = LineSettings()
    ejector: EjectorSettings = EjectorSettings()
    commands: CommandSettings | None = None


class LineReport(msgspec.Struct):
    """What a run came to.

    deadline_ms     what an agent had to keep, trigger to verdict, at the line's first speed
    frames_unread   thrown away since a box did not read fast enough
    """

    seed: int
    deadline_ms: float
    seconds: float
    frames_unread: int
    table: TruthTable


class LineRun:
    """A line with its socket and its ejector's ear. `stop` may be called from anywhere."""

    def __init__(
        self,
        settings: LineRunSettings,
        clock: Clock,
        *,
        socket: Path | None = None,
        rtsp: tuple[str, int] | None = None,
        transport: Transport | None = None,
    ) -> None:
        """socket: serves boxes with `camera.kind: line`; rtsp: host and port, serves all others
        transport: instead of the one that the settings name, for tests

        Raises DataError for a data set that can't be read.
        """
        self.settings = settings
        self._clock = clock
        self._source = part_source(settings)
        self._server = LineServer(socket, clock) if socket else None
        self.stream = RtspServer(rtsp, clock) if rtsp else None
        self._eyes = [eye for eye in (self._server, self.stream) if eye is not None]
        self._ejector = Ejector(settings.ejector)
        self._transport = transport
        if transport is None and settings.commands is not None:
            self._transport = MqttTransport(settings.commands.broker, "")
        self._stopped = threading.Event()
        self._line: SimulatedLine | None = None
        self._started = clock.monotonic()

    def settled(self, *, await_camera: bool = False) -> Iterator[Settled]:
        """Run, and yield each part as it leaves the line; ends with the last one, or by `stop`.

        await_camera   the belt does not start before a box watches
        Raises ProcessError where the socket or the stream's port can't be had.
        """
        line = self._line = self._built()
        try:
            self._open(line)
            if await_camera:
                self._await_camera()
            self._start_belt(line)
            while not self._stopped.is_set():
                line.changed.clear()
                wait_s, settled = line.step()
                yield from settled
                if wait_s is None:
                    return
                line.changed.wait(wait_s)
        finally:
            self._close()

    def stop(self) -> None:
        """End soon. May be called from a signal handler."""
        self._stopped.set()
        for eye in self._eyes:
            eye.watched.set()
        if self._line is not None:
            self._line.changed.set()

    def report(self) -> LineReport:
        return LineReport(
            seed=self.settings.seed,
            deadline_ms=round(self.settings.line.deadline_s * 1000, 1),
            seconds=round(self._clock.monotonic() - self._started, 2),
            frames_unread=self._server.unread if self._server else 0,
            table=self._ejector.table,
        )

    def hear(self, delivery: Delivery) -> None:
        """What an agent's actuator published."""
        try:
            command = parse_command(delivery.payload, self._clock.monotonic())
        except WireError as error:
            log.warning("command_refused", error=str(error))
            return
        self._ejector.tell(command)

    def _built(self) -> SimulatedLine:
        settings = self.settings
        conveyor = Conveyor(
            settings.line,
            seed=settings.seed,
            started=self._clock.monotonic() + LEAD_S,
            first_part=settings.first_part,
        )
        return SimulatedLine(
            conveyor=conveyor,
            source=self._source,
            faults=CameraFaults(settings.seed),
            ejector=self._ejector,
            clock=self._clock,
            deliver=self._deliver,
            first_part=settings.first_part,
            parts=settings.parts,
        )

    def _open(self, line: SimulatedLine) -> None:
        if self._transport is not None:
            topic = self.settings.commands.topic if self.settings.commands else DEFAULT_TOPIC
            self._transport.subscribe(topic, self.hear)
            self._transport.start()
        if self._server is not None:
            self._server.start(line)
        if self.stream is not None:
            empty = np.zeros_like(self._source.part(self.settings.first_part).pixels)
            self.stream.start(line, empty)
            log.info("stream_opened", url=self.stream.url)

    def _await_camera(self) -> None:
        for eye in self._eyes:
            eye.watched.wait()

    def _deliver(self, sight: Sight, shots: Sequence[Shot]) -> None:
        """Without anybody who watches parts come by all the same."""
        for eye in self._eyes:
            eye.deliver(sight, shots)

    def _start_belt(self, line: SimulatedLine) -> None:
        self._started = self._clock.monotonic()
        line.conveyor.start(self._started + LEAD_S)

    def _close(self) -> None:
        for eye in self._eyes:
            eye.stop()
        if self._transport is not None:
            self._transport.stop()


def part_source(settings: LineRunSettings) -> PartSource:
    """Raises DataError for a data set that can't be read."""
    if settings.data is not None:
        return replay(settings.data, settings.seed, once=settings.once, split=settings.split)
    return DrawnParts(settings.drawing, settings.seed)
