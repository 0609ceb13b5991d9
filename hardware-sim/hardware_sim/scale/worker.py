"""A process that plays many devices: `python -m MODULE ORDERS`, for each kind of trial a module."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from hardware_sim.scale import orders
from hardware_sim.scale.orders import SIGNAL, TrialSignal, WorkerOrders, WorkerProgress
from hardware_sim.scale.schedule import Schedule
from hardware_sim.scale.sockets import SocketLoop
from shared import log
from shared.clock import SystemClock

LOOK_EVERY_S = 0.2
LONGEST_WAIT_S = 0.1
O = TypeVar("O", bound=WorkerOrders)  # noqa: E741 - as M, S and T elsewhere


class PlayedDevices(Protocol):
    """The devices of one worker, moved by its schedule."""

    def start(self, now: float) -> None:
        """Put on the schedule what they do, from this second of the monotonic clock on."""

    def look(self, now: float, signal: TrialSignal | None) -> bool:
        """Called every LOOK_EVERY_S; whether they go on. signal: the trial's, once it was given"""

    def end(self) -> None:
        """Take no more parts. May be called from a signal handler."""

    def progress(self) -> WorkerProgress: ...

    def outcome(self) -> msgspec.Struct:
        """What the trial wants to know of them."""

    def close(self) -> None:
        """Disconnect them."""


def play(
    kind: type[O], make: Callable[[O, Path, SystemClock, Schedule, SocketLoop], PlayedDevices]
) -> None:
    """Do as the orders say. SIGTERM ends it as `PlayedDevices.end` does."""
    # A thousand devices would say a thousand times that the broker is there.
    log.configure(level=logging.ERROR)
    path = Path(sys.argv[1])
    folder, wanted = path.parent, msgspec.json.decode(path.read_bytes(), type=kind)
    clock, schedule = SystemClock(), Schedule()
    loop = SocketLoop(clock, schedule)
    devices = make(wanted, folder, clock, schedule, loop)
    signal.signal(signal.SIGTERM, lambda *_: devices.end())
    devices.start(clock.monotonic())
    next_look, goes_on = clock.monotonic(), True
    while goes_on:
        now = clock.monotonic()
        schedule.run_due(now)
        if now >= next_look:
            next_look = now + LOOK_EVERY_S
            goes_on = devices.look(now, orders.read(folder / SIGNAL, TrialSignal))
            orders.write(orders.progress_of(folder, wanted.name), devices.progress())
        loop.step(schedule.next_in(clock.monotonic(), LONGEST_WAIT_S))
    orders.write(orders.outcome_of(folder, wanted.name), devices.outcome())
    devices.close()
    loop.close()
