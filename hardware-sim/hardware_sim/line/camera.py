"""A camera over a simulated line: the agent opens it like any other (`kind: line`).

The line runs in its own process (`splitsight sim line --socket`) and hands over each part's
picture with its number and its trigger time. Both processes run on one machine and so share its
monotonic clock: the times need no translation, and mean nothing over a network.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from edge.camera.base import CameraEvent, CameraKind, CameraState, MissedFrame
from edge.camera.grabber import BACKOFF_S
from hardware_sim.line.messages import (
    Ended,
    FromLine,
    Hello,
    Missing,
    Picture,
    WatchCamera,
    from_line,
)
from hardware_sim.processes.unix_socket import RequestRefused, connect, hang_up, receive, send
from shared.clock import Clock
from shared.contracts import Frame
from shared.errors import CameraError, WireError
from shared.log import get_logger
from shared.settings import Settings

log = get_logger("camera")

SILENT_S = 5.0
MAX_GAP = 1000
"""Parts that came by unseen get a verdict each, but no more than this after one gap."""


class LineCameraSettings(Settings):
    """A camera over a simulated line on this machine."""

    kind: Literal["line"] = "line"
    socket: Path = Field(description="that `splitsight sim line --socket` serves")


class LineCamera:
    """Parts as the line's sensor and camera report them, with the line's own numbers.

    A part whose picture did not come is a part without a picture. So are those that came by
    while the line could not be heard: each is told once, afterwards.
    """

    def __init__(self, settings: LineCameraSettings, clock: Clock) -> None:
        self._path = settings.socket
        self._clock = clock
        self._state = CameraState("opening")
        self._backoff_s = BACKOFF_S[0]
        self._stopped = threading.Event()
        self._stream: socket.socket | None = None
        self._run = ""
        self._last = 0
        self._last_times = (0.0, 0.0)

    @property
    def state(self) -> CameraState:
        return self._state

    def probe(self) -> None:
        with self._watching() as stream:
            self._hear(stream)

    def frames(self, first_part: int, deadline_s: float) -> Iterator[CameraEvent]:  # noqa: ARG002 - numbers are the line's
        while not self._stopped.is_set():
            try:
                with self._watching() as self._stream:
                    yield from self._watch(self._stream, deadline_s)
                break
            except CameraError as error:
                self._stopped.wait(self._lost(error))
        self._state = CameraState("ended")

    def stop(self) -> None:
        self._stopped.set()
        stream = self._stream
        if stream is not None:
            # Wakes the thread that waits for the next part.
            hang_up(stream)

    def _watch(self, stream: socket.socket, deadline_s: float) -> Iterator[CameraEvent]:
        """Parts of one connection, until the line ends. Raises CameraError where it is lost."""
        while not self._stopped.is_set():
            try:
                message, body = self._hear(stream)
            except CameraError:
                if self._stopped.is_set():
                    return
                raise
            match message:
                case Hello(run):
                    # Another run counts from its own first part again.
                    self._last, self._run = (self._last if run == self._run else 0), run
                    self._backoff_s = BACKOFF_S[0]
                    self._well()
                case Picture() | Missing():
                    yield from self._events(message, body, deadline_s)
                case Ended():
                    return
                case _:
                    continue

    def _events(
        self, message: Picture | Missing, body: bytearray, deadline_s: float
    ) -> Iterator[CameraEvent]:
        if message.part <= self._last:
            log.info("frame_came_twice", part=message.part)
            return
        # A broken picture ends the connection before its part counts as seen.
        pixels = _pixels(message, body) if isinstance(message, Picture) else None
        part, triggered = message.part, message.triggered
        deadline = min(triggered + deadline_s, message.deadline)
        yield from self._unseen(message, deadline)
        self._last, self._last_times = part, (triggered, deadline)
        if isinstance(message, Missing):
            why = "the camera is disconnected" if message.gone else "the frame was dropped"
            error = CameraError(f"{why}: no picture of part {part}", fix=_SEE)
            if message.gone:
                self._state = CameraState("retrying", error.message)
            yield MissedFrame(part, triggered, deadline, str(self._path), error)
        elif pixels is not None:
            self._well()
            yield Frame(pixels, part, triggered, deadline, message.source)

    def _unseen(self, message: Picture | Missing, deadline: float) -> Iterator[MissedFrame]:
        """Parts between the last one and this; none before the first."""
        if not self._last:
            return
        before, due = self._last_times
        for part in range(max(self._last + 1, message.part - MAX_GAP), message.part):
            error = CameraError(f"part {part} came by while the line was not heard", fix=_SEE)
            # When it triggered is not known: as if they had come evenly spaced. One that has passed
            # by then is told to no ejector.
            share = (part - self._last) / (message.part - self._last)
            triggered = before + share * (message.triggered - before)
            by = due + share * (deadline - due)
            yield MissedFrame(part, triggered, by, str(self._path), error)

    def _well(self) -> None:
        if self._state.status != "live":
            log.info("camera_live", camera=str(self._path))
            self._state = CameraState("live")

    def _watching(self) -> socket.socket:
        try:
            stream = connect(self._path, SILENT_S)
            send(stream, WatchCamera())
        except OSError as error:
            raise CameraError(
                f"no line answers at {self._path} ({error.strerror or error})", fix=_START
            ) from error
        return stream

    def _hear(self, stream: socket.socket) -> tuple[FromLine, bytearray]:
        try:
            heard = receive(stream, from_line)
        except TimeoutError as error:
            raise CameraError(
                f"the line at {self._path} is silent for {SILENT_S:.0f} s", fix=_START
            ) from error
        except (OSError, WireError) as error:
            raise CameraError(
                f"the line at {self._path} can't be heard ({error})", fix=_START
            ) from error
        if heard is None:
            raise CameraError(f"the line at {self._path} is gone", fix=_START)
        if isinstance(heard[0], RequestRefused):
            raise CameraError(heard[0].message, fix=heard[0].fix)
        return heard

    def _lost(self, error: CameraError) -> float:
        """Seconds until the next attempt."""
        wait_s = self._backoff_s
        self._backoff_s = min(2 * wait_s, BACKOFF_S[1])
        if error.message != self._state.error:
            log.warning("camera_lost", error=str(error), next_try_s=wait_s)
        self._state = CameraState("retrying", error.message, self._clock.monotonic() + wait_s)
        return wait_s


def _pixels(message: Picture, body: bytearray) -> np.ndarray:
    shape = (message.height, message.width, message.channels)
    if message.channels not in {1, 3} or len(body) != int(np.prod(shape)):
        raise CameraError(
            f"{len(body)} B came for a picture of {' × '.join(map(str, shape))}", fix=_START
        )
    pixels = np.frombuffer(body, np.uint8).reshape(shape)
    return pixels[:, :, 0] if message.channels == 1 else pixels


_START = "start it with `splitsight sim line --socket`; it is tried again until it answers"
_SEE = "see the camera's state; parts get the fail-safe verdict until pictures come again"

KIND = CameraKind("line", LineCameraSettings, LineCamera)
