"""The socket of a simulated line: boxes watch its camera, and a scenario turns its knobs."""

from __future__ import annotations

import contextlib
import queue
import secrets
import socket
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from hardware_sim.camera.faults import Shot, parse_effect
from hardware_sim.line.ejector import Command
from hardware_sim.line.line import Sight, SimulatedLine
from hardware_sim.line.messages import (
    BEAT_S,
    Actuate,
    Beat,
    Burst,
    ChangeSpeed,
    ClearEffect,
    CommandDone,
    Ended,
    FromLine,
    Hello,
    LineState,
    Missing,
    Picture,
    SetEffect,
    StateQuery,
    ToLine,
    WatchCamera,
    to_line,
)
from hardware_sim.processes.unix_socket import SocketServer, hang_up, send
from shared.clock import Clock

UNREAD = 8
"""Frames kept for a box that does not read; then the oldest goes, as in a camera's buffer."""
SEND_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 2.0
Note = tuple[FromLine, bytes]


class Watcher:
    """A box at the line's camera: what is still to be sent to it."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self._notes: queue.Queue[Note] = queue.Queue(UNREAD)
        self.thread = threading.current_thread()
        self.unread = 0

    def offer(self, note: Note) -> None:
        """Called by the line only. Never waits."""
        while True:
            try:
                self._notes.put_nowait(note)
            except queue.Full:
                with contextlib.suppress(queue.Empty):
                    self._notes.get_nowait()
                    self.unread += 1
            else:
                return

    def hang_up(self) -> None:
        """The box notices at once."""
        hang_up(self._stream)

    def next(self) -> Note:
        """The next note; a beat where there is none for a while."""
        try:
            return self._notes.get(timeout=BEAT_S)
        except queue.Empty:
            return Beat(), b""


class LineServer:
    """Serves one line. `deliver` is what the line is given to hand its shots to."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.run = secrets.token_hex(4)
        self.watched = threading.Event()
        self._path = path
        self._clock = clock
        self._line: SimulatedLine | None = None
        self._watchers: list[Watcher] = []
        self._unread = 0
        self._ended = False
        self._server: SocketServer[ToLine] | None = None
        self._lock = threading.Lock()

    def start(self, line: SimulatedLine) -> None:
        """Listen. Raises ProcessError where the socket can't be had."""
        self._line = line
        self._server = SocketServer(
            self._path, to_line, partial(self._answer, line), setting="--socket"
        )

    def stop(self) -> None:
        """Tell the boxes that it is over, and close. May be called twice."""
        self._ended = True
        watchers = self._take_watchers()
        for watcher in watchers:
            watcher.offer((Ended(), b""))
        for watcher in watchers:
            watcher.thread.join(STOP_TIMEOUT_S)
        if self._server is not None:
            self._server.close()

    def deliver(self, sight: Sight, shots: Sequence[Shot]) -> None:
        """Hand a part's shots to every box that watches."""
        for note in self._notes(sight, shots):
            for watcher in list(self._watchers):
                watcher.offer(note)

    def _notes(self, sight: Sight, shots: Sequence[Shot]) -> list[Note]:
        if not shots:
            gone = self._line is not None and self._line.faults.disconnected is not None
            return [(Missing(sight.part, sight.triggered, sight.deadline, gone), b"")]
        notes: list[Note] = []
        for shot in shots:
            height, width = shot.pixels.shape[:2]
            channels = 1 if shot.pixels.ndim == 2 else shot.pixels.shape[2]
            header = Picture(
                part=sight.part,
                triggered=sight.triggered,
                deadline=sight.deadline,
                height=height,
                width=width,
                channels=channels,
                source=sight.source,
            )
            notes.append((header, shot.pixels.tobytes()))
        return notes

    def _feed(self, stream: socket.socket) -> None:
        """Send parts to a box until it or the line goes."""
        stream.settimeout(SEND_TIMEOUT_S)
        if self._is_dark:
            return
        watcher = Watcher(stream)
        send(stream, Hello(self.run))
        with self._lock:
            self._watchers.append(watcher)
        if self._ended:
            watcher.offer((Ended(), b""))
        self.watched.set()
        try:
            while True:
                header, body = watcher.next()
                send(stream, header, body)
                if isinstance(header, Ended):
                    return
        finally:
            with self._lock:
                self._unread += watcher.unread
                if watcher in self._watchers:
                    self._watchers.remove(watcher)

    def _answer(self, line: SimulatedLine, asked: ToLine, stream: socket.socket) -> FromLine | None:
        match asked:
            case WatchCamera():
                self._feed(stream)
                return None
            case SetEffect(effect):
                line.faults.set(parse_effect(effect), self._clock.monotonic())
                if self._is_dark:
                    for watcher in self._take_watchers():
                        watcher.hang_up()
            case ClearEffect(kind):
                line.faults.clear(kind)
            case Burst(parts, rate):
                line.burst(parts, rate)
            case ChangeSpeed(speed):
                line.change_speed(speed)
            case Actuate(part, verdict, in_ms):
                now = self._clock.monotonic()
                line.tell(Command(part, verdict, now, now + in_ms / 1000))
            case StateQuery():
                return self._state(line)
        return CommandDone()

    def _state(self, line: SimulatedLine) -> LineState:
        return LineState(
            run=self.run,
            speed=line.conveyor.speed,
            photographed=line.photographed,
            ejected=line.ejected,
            over=line.over,
            burst=line.burst_left,
            effects=[effect.model_dump() for effect in line.faults.active],
            cameras=len(self._watchers),
            unread=self.unread,
            table=line.ejector.table,
        )

    @property
    def unread(self) -> int:
        """Frames thrown away since a box did not read fast enough."""
        with self._lock:
            return self._unread + sum(watcher.unread for watcher in self._watchers)

    @property
    def _is_dark(self) -> bool:
        """Whether boxes hear nothing of the line at all."""
        fault = self._line.faults.disconnected if self._line else None
        return fault is not None and not fault.sensor_lives

    def _take_watchers(self) -> list[Watcher]:
        with self._lock:
            taken, self._watchers = self._watchers, []
        return taken
