"""A device that hangs costs what it was told, and nobody else's time."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import structlog

from edge.actuator.base import Actuation, RecordingActuator
from edge.actuator.calls import GONE_S, ActuationQueue, DirectActuations
from edge.monitoring.health import BoxHealth
from shared.calls import MOST_HANGING
from shared.clock import ManualClock, SystemClock
from shared.contracts import Verdict
from shared.errors import ActuatorError
from tests.support.waiting import wait_until

AMPLE_S = 20.0
SOON = 3600.0


class HangingActuator(RecordingActuator):
    """Its calls about some parts hang until it is let go."""

    def __init__(self, parts: set[int]) -> None:
        super().__init__()
        self._parts = parts
        self.released = threading.Event()

    def actuate(self, part: int, verdict: Verdict, *, at: float) -> None:
        if part in self._parts:
            self.released.wait(AMPLE_S)
        super().actuate(part, verdict, at=at)


class QueueRig:
    def __init__(self, actuator: Any, limit_s: float = AMPLE_S) -> None:
        self.clock, self.health = SystemClock(), BoxHealth()
        self.actuations = ActuationQueue(actuator, self.clock, self.health, limit_s)
        self.actuations.start()
        self.done: list[int] = []

    def tell(self, part: int) -> None:
        actuation = Actuation(part, "reject", self.clock.monotonic() + SOON)
        self.actuations.actuate(actuation, lambda: self.done.append(part))


def test_verdicts_are_told_in_order_and_their_ends_are_heard() -> None:
    actuator = RecordingActuator()
    rig = QueueRig(actuator)
    for part in range(1, 51):
        rig.tell(part)
    rig.actuations.stop()
    assert [told.part for told in actuator.actuations] == list(range(1, 51))
    assert rig.done == list(range(1, 51))
    assert rig.health.problems == ()


def test_a_call_that_hangs_is_a_problem_and_the_other_verdicts_are_told() -> None:
    actuator = HangingActuator({3})
    rig = QueueRig(actuator, limit_s=0.5)
    for part in range(1, 4):
        rig.tell(part)
    wait_until(lambda: rig.health.problems, "the hanging call is a problem")
    assert rig.health.problems == ("actuator: its call hangs: it has not returned for 0.5 s",)
    for part in range(4, 8):
        rig.tell(part)
    wait_until(lambda: rig.done == list(range(1, 8)), "all have ended")
    assert {told.part for told in actuator.actuations} == {1, 2, 4, 5, 6, 7}
    assert rig.health.counts == {"actuator_failures": 1}
    assert rig.health.dead is None
    actuator.released.set()
    rig.actuations.stop()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_actuator_that_only_hangs_ends_the_agent_with_a_reason() -> None:
    actuator = HangingActuator(set(range(100)))
    rig = QueueRig(actuator, limit_s=0.05)
    for part in range(1, MOST_HANGING + 2):
        rig.tell(part)
    wait_until(lambda: rig.health.dead, "the thread has ended")
    name, error = rig.health.dead or ("", None)
    assert name == "actuator"
    assert "4 calls of the actuator hang" in str(error)
    actuator.released.set()
    rig.actuations.stop()


def test_stopping_does_not_wait_for_a_call_that_hangs() -> None:
    actuator = HangingActuator({1})
    rig = QueueRig(actuator, limit_s=0.05)
    rig.tell(1)
    rig.actuations.stop()
    assert rig.done == [1]
    actuator.released.set()


def test_one_that_hangs_or_fails_at_the_start_is_one_clear_error() -> None:
    class Refusing(RecordingActuator):
        def start(self) -> None:
            raise ActuatorError("no such coil", fix="see its page")

    with pytest.raises(ActuatorError, match="no such coil"):
        QueueRig(Refusing())


def test_a_verdict_whose_part_has_passed_moves_no_other_part() -> None:
    clock, health, actuator = ManualClock(), BoxHealth(), RecordingActuator()
    direct, done = DirectActuations(actuator, clock, health), list[int]()
    at = clock.monotonic()
    clock.advance(GONE_S)
    direct.actuate(Actuation(1, "reject", at), lambda: done.append(1))
    clock.advance(0.1)
    direct.actuate(Actuation(2, "reject", at), lambda: done.append(2))
    assert actuator.verdicts == {1: "reject"}
    assert done == [1, 2]
    assert health.counts == {"verdicts_after_their_part": 1}


def test_an_actuator_that_fails_for_hours_is_a_few_lines() -> None:
    class Dead(RecordingActuator):
        def actuate(self, part: int, verdict: Verdict, *, at: float) -> None:
            raise ValueError(part, verdict, at)

    clock = ManualClock()
    health = BoxHealth(clock)
    direct = DirectActuations(Dead(), clock, health)
    with structlog.testing.capture_logs() as logs:
        for part in range(1, 10_001):
            direct.actuate(Actuation(part, "reject", clock.monotonic()), lambda: None)
            clock.advance(1)
    assert 5 <= len([line for line in logs if line["log_level"] == "warning"]) <= 8
    assert health.counts["actuator_failures"] == 10_000
