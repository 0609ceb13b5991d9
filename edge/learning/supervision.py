"""One learner at work: its order, how long it may take, and what becomes of it when it fails."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edge.learning.admission import Bases, LearningLimits
from edge.learning.learner_process import Gone, Heard, Learner, OpenLearner, Task, TaskDone
from edge.learning.throttle import Throttle
from edge.monitoring.health import BoxHealth
from shared.clock import Clock
from shared.federation.parcels import MEBI, Parcel
from shared.federation.protocol import FAILED, Refusal
from shared.log import get_logger
from shared.wire import ParcelKind

log = get_logger("rounds")

LINGER_S = 20.0
HOLD_S = 1800.0
"""A learner that keeps an update for a secure sum waits so long for the slowest device."""


@dataclass(frozen=True, slots=True)
class LearnerAnswer:
    """What a learner said; `serial` tells it from the one before it."""

    serial: int
    heard: Heard


class AnswerSink(Protocol):
    """Where answers to orders go."""

    def offer(self, what: ParcelKind, payload: bytes, about: str) -> None: ...

    def refuse(self, about: str, refusal: Refusal) -> None: ...


class LearnerSupervisor:
    """For the thread that takes orders: nothing here waits.

    open   starts a learner, which there is only while there is work, and a little after
    hear   takes what learners say, from any thread, and hands it to `heard`
    """

    def __init__(
        self,
        limits: LearningLimits,
        bases: Bases,
        answers: AnswerSink,
        *,
        open: OpenLearner,  # noqa: A002 - as Path.open
        hear: Callable[[LearnerAnswer], None],
        throttle: Throttle,
        clock: Clock,
        health: BoxHealth,
    ) -> None:
        self._limits = limits
        self._bases = bases
        self._answers = answers
        self._open = open
        self._hear = hear
        self._throttle = throttle
        self._clock = clock
        self._health = health
        self._learner: Learner | None = None
        self._working: tuple[Parcel, Path] | None = None
        # What an earlier learner says late means nothing.
        self._serial = 0
        self._paused = False
        self._holds = False
        self._idle_since = 0.0

    @property
    def is_running(self) -> bool:
        """Whether there is a learner."""
        return self._learner is not None

    @property
    def is_working(self) -> bool:
        return self._working is not None

    def give(self, order: Parcel) -> None:
        """Have it done; its answer, or why there is none, is offered."""
        message = self._limits.folder / f"{uuid.uuid4().hex}.order"
        try:
            message.parent.mkdir(parents=True, exist_ok=True)
            message.write_bytes(order.payload)
            learner = self._learner or self._start()
        except OSError as error:
            message.unlink(missing_ok=True)
            reason = f"its learner can't be started: {error}"
            self._answers.refuse(order.id, Refusal(FAILED, reason))
            return
        self._working = order, message
        base = str(self._bases.path(order.base)) if order.base else ""
        learner.give(Task(order.id, str(message), base))

    def heard(self, said: LearnerAnswer) -> bool:
        """Whether it means that the next order can be given."""
        match said:
            case LearnerAnswer(self._serial, TaskDone() as done):
                return self._done(done)
            case LearnerAnswer(self._serial, Gone() as gone):
                # It has ended by itself, or somebody ended it.
                self._learner = None
                self._give_up(f"its learner ended: {gone.how}")
                return True
            case _:
                return False

    def tick(self) -> bool:
        """End what is overdue, too large or without work; whether the next order can be given."""
        now = self._clock.monotonic()
        if self._learner is None:
            self._throttle.may_learn(wants=False)
            return False
        if self._working is not None and now >= self._working[0].until:
            log.warning("round_overdue", order=self._working[0].id)
            self._health.count("rounds_overdue")
            self.let_go()
            return True
        held = self._learner.memory_bytes()
        if held > self._limits.memory_bytes:
            self._too_large(held // MEBI)
            return True
        if self._working is None and now - self._idle_since >= self._patience_s:
            self.let_go()
        else:
            self._hold_back(self._learner)
        return False

    def let_go(self) -> None:
        """End the learner; nobody waits for what it was doing."""
        if self._working is not None:
            self._working[1].unlink(missing_ok=True)
            self._working = None
        self._end()

    def _start(self) -> Learner:
        self._serial += 1
        serial = self._serial
        self._learner = self._open(lambda heard: self._hear(LearnerAnswer(serial, heard)))
        self._paused = False
        return self._learner

    def _done(self, done: TaskDone) -> bool:
        if self._working is None or self._working[0].id != done.id:
            return False
        self._working[1].unlink(missing_ok=True)
        self._working = None
        self._idle_since = self._clock.monotonic()
        self._holds = done.holds
        if done.problem:
            self._answers.refuse(done.id, Refusal(FAILED, done.problem))
        else:
            answer = Path(done.answer)
            self._answers.offer("answer", answer.read_bytes(), done.id)
            answer.unlink()
        return True

    @property
    def _patience_s(self) -> float:
        """How long a learner without work is kept."""
        return HOLD_S if self._holds else LINGER_S

    def _hold_back(self, learner: Learner) -> None:
        """Stop the learner where the line needs the machine, and let it go on afterwards."""
        may = self._throttle.may_learn(wants=self.is_working)
        wait = self.is_working and not may
        if wait and not self._paused:
            log.info("learner_paused", idle_p99_ms=self._throttle.idle_p99_ms)
            self._health.count("learner_pauses")
            learner.pause()
        elif self._paused and not wait:
            learner.go_on()
        self._paused = wait

    def _too_large(self, held_mb: int) -> None:
        self._health.count("learner_too_large")
        self._end()
        limit = self._limits.memory_bytes // MEBI
        self._give_up(f"its learner took {held_mb} MB of memory, {limit} MB are allowed")

    def _give_up(self, reason: str) -> None:
        """What was under way comes to nothing, and the coordinator is told."""
        working, self._working = self._working, None
        if working is not None:
            order, message = working
            message.unlink(missing_ok=True)
            self._answers.refuse(order.id, Refusal(FAILED, reason))

    def _end(self) -> None:
        learner, self._learner = self._learner, None
        self._serial += 1
        self._holds = False
        if learner is not None:
            learner.end()
