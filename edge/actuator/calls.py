"""Verdicts to the actuator, one after the other, however long one of them takes."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from functools import partial
from typing import Protocol

from edge.actuator.base import Actuation, Actuator, told
from edge.monitoring.health import BoxHealth
from shared.calls import MOST_HANGING, CallHangs, LimitedCalls
from shared.clock import Clock
from shared.errors import ActuatorError, said
from shared.log import get_logger
from shared.worker import Worker

log = get_logger("actuator")

LIMIT_S = 1.0
"""What `Actuator.actuate` may take: it has to return within milliseconds."""
CONNECT_S = 10.0
"""What `Actuator.start` and `stop` may take."""
DRAIN_S = 5.0
TELL_S = 2.0
END_S = DRAIN_S + TELL_S + CONNECT_S
"""What `ActuationQueue.stop` may take."""
GONE_S = 1.0
"""After its part has passed by so long a verdict is told no more: it would move another one."""
_SEE = "see its package; the agent starts again, and connects anew"

Done = Callable[[], None]
Calls = Callable[[Callable[[], None]], None]


class Actuates(Protocol):
    """What the agent needs of an actuator and of what stands around it."""

    def actuate(self, actuation: Actuation, done: Done) -> None:
        """Tell a verdict, now or soon. Never raises, and waits for no device.

        done   called afterwards, whether the actuator took it or not, on any thread
        """


class DirectActuations:
    """Tells on the caller's thread: for tests and simulators, whose actuators are no devices."""

    def __init__(
        self,
        actuator: Actuator,
        clock: Clock,
        health: BoxHealth,
        calls: Calls = lambda function: function(),
    ) -> None:
        """calls: how the actuator is called"""
        self._actuator = actuator
        self._clock = clock
        self._health = health
        self._calls = calls
        self._one = threading.Lock()

    def actuate(self, actuation: Actuation, done: Done) -> None:
        with self._one:
            if self._clock.monotonic() - actuation.at > GONE_S:
                self._gone(actuation)
            else:
                self._tell(actuation)
        done()

    def _tell(self, actuation: Actuation) -> None:
        try:
            self._calls(partial(_tell, self._actuator, actuation))
        except ActuatorError as error:
            self._failed(actuation, str(error))
        except CallHangs as error:
            self._failed(actuation, f"its call hangs: {error}")
        except Exception as error:
            # A plug-in's own exception must not end the thread that called it.
            log.debug("actuator_crashed", part=actuation.part, exc_info=error)
            self._failed(actuation, said(error))
        else:
            self._health.well("actuator")
            self._health.episodes.mended("not actuated", log.info, "actuated_again")

    def _gone(self, actuation: Actuation) -> None:
        self._health.count("verdicts_after_their_part")
        self._health.episodes.met("part gone", log.warning, "part_has_passed", part=actuation.part)

    def _failed(self, actuation: Actuation, error: str) -> None:
        self._health.count("actuator_failures")
        self._health.problem("actuator", error)
        self._health.episodes.met(
            "not actuated", log.warning, "not_actuated", part=actuation.part, error=error
        )


class ActuationQueue:
    """Tells on a thread of its own, so that neither disk nor deadlines wait for a device.

    A call that takes longer than `limit_s` has failed, and the next verdict is told beside it.
    Where MOST_HANGING calls hang nothing can be told any more, and the thread ends, and the box.
    """

    def __init__(
        self, actuator: Actuator, clock: Clock, health: BoxHealth, limit_s: float = LIMIT_S
    ) -> None:
        self._actuator = actuator
        self._calls = LimitedCalls("actuator-call", limit_s)
        self._connecting = LimitedCalls("actuator-connect", CONNECT_S)
        self._direct = DirectActuations(actuator, clock, health, self._calls)
        self._waiting: queue.SimpleQueue[tuple[Actuation, Done] | threading.Event] = (
            queue.SimpleQueue()
        )
        self._worker = Worker(
            "actuator",
            self._tell_next,
            on_death=health.worker_died,
            unblock=lambda: self._waiting.put(threading.Event()),
        )

    def start(self) -> None:
        """Connect. Raises ActuatorError where that hangs, and what the actuator raises."""
        try:
            self._connecting(self._actuator.start)
        except CallHangs as error:
            raise ActuatorError(f"the actuator does not start: {error}", fix=_SEE) from error
        self._worker.start()

    def actuate(self, actuation: Actuation, done: Done) -> None:
        self._waiting.put((actuation, done))

    def stop(self) -> None:
        """Tell what waits, then let go of the device. May be called twice. Never raises."""
        if self._worker.alive:
            told_all = threading.Event()
            self._waiting.put(told_all)
            told_all.wait(DRAIN_S)
        self._worker.stop(TELL_S)
        try:
            self._connecting(self._actuator.stop)
        except Exception as error:  # noqa: BLE001 - a stranger's device may raise anything
            log.warning("actuator_not_stopped", error=said(error))
        self._calls.stop()
        self._connecting.stop()

    def _tell_next(self) -> float:
        one = self._waiting.get()
        if isinstance(one, threading.Event):
            one.set()
            return 0.0
        self._direct.actuate(*one)
        if self._calls.hanging >= MOST_HANGING:
            raise ActuatorError(f"{MOST_HANGING} calls of the actuator hang", fix=_SEE)
        return 0.0


def _tell(actuator: Actuator, actuation: Actuation) -> None:
    verdict = told(actuator, actuation.verdict)
    actuator.actuate(actuation.part, verdict, at=actuation.at)
