"""The queue of escalations: bounded, most urgent first, given out in batches."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from shared.clock import Clock
from shared.log import get_logger
from shared.topics import Address
from shared.wire import Escalation

log = get_logger("work")

TELL_EVERY_S = 10.0


@dataclass(frozen=True, slots=True)
class Job:
    """An escalation that waits for the tail.

    body      its encoded features
    arrived   monotonic seconds
    deadline  monotonic seconds, from what remained on arrival
    trace     MQTT user properties to hand back
    handed    another worker handed it on; it is handed on no further
    """

    address: Address
    escalation: Escalation
    body: bytes
    arrived: float
    deadline: float
    trace: Mapping[str, str]
    handed: bool = False


class WorkQueue:
    """Jobs between the transport's thread and the tail's.

    Devices take turns, each with its most urgent job first: one that sends much waits for itself.
    A job whose deadline has passed is kept, behind all that can still be in time. When `capacity`
    jobs wait, the device that has most of them makes room, with the one that is the least likely to
    be answered in time: its device rejects the part by itself.
    """

    def __init__(self, clock: Clock, *, capacity: int, max_batch: int, max_wait_s: float) -> None:
        self._clock = clock
        self._capacity = capacity
        self._max_batch = max_batch
        self._max_wait_s = max_wait_s
        self._jobs: list[Job] = []
        self._changed = threading.Condition()
        self._last_arrival = float("-inf")
        self._gap = float("inf")
        self._closed = False
        self._dropping = Counter[str]()
        self._told = float("-inf")
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._jobs)

    def put(self, job: Job) -> None:
        """Add a job. Never waits."""
        with self._changed:
            self._jobs.append(job)
            self._gap, self._last_arrival = job.arrived - self._last_arrival, job.arrived
            if len(self._jobs) > self._capacity:
                self._make_room()
            self._changed.notify()

    def take(self, timeout_s: float) -> list[Job]:
        """The most urgent jobs of one pair, at most `max_batch`; empty after `timeout_s`."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._closed, timeout_s)
            if self._more_is_coming():
                self._changed.wait_for(lambda: len(self._jobs) >= self._max_batch, self._max_wait_s)
            return self._take_batch()

    def close(self) -> None:
        """Let `take` return at once from now on."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _more_is_coming(self) -> bool:
        """Whether jobs arrive so fast that another is due before the wait is over."""
        waited = self._clock.monotonic() - self._last_arrival
        return (
            0 < len(self._jobs) < self._max_batch
            and not self._closed
            and self._gap + waited < self._max_wait_s
        )

    def _take_batch(self) -> list[Job]:
        now = self._clock.monotonic()
        self._jobs.sort(key=lambda job: (job.deadline <= now, job.deadline))
        turns = Counter[str]()
        order = {}
        for job in self._jobs:
            order[id(job)] = (job.deadline <= now, turns[job.address.device])
            turns[job.address.device] += 1
        self._jobs.sort(key=lambda job: order[id(job)])
        if not self._jobs:
            return []
        pair = self._jobs[0].escalation.pair
        batch = [job for job in self._jobs if job.escalation.pair == pair][: self._max_batch]
        taken = {id(job) for job in batch}
        self._jobs = [job for job in self._jobs if id(job) not in taken]
        return batch

    def _make_room(self) -> None:
        waiting = Counter(job.address.device for job in self._jobs)
        most = max(waiting.values())
        # Of several that have as many, who came last.
        latest = reversed([job.address.device for job in self._jobs])
        device = next(name for name in latest if waiting[name] == most)
        now = self._clock.monotonic()
        victim = min(
            (job for job in self._jobs if job.address.device == device),
            # One that is too late already costs nobody anything.
            key=lambda job: (job.deadline > now, job.deadline),
        )
        self._jobs.remove(victim)
        self.dropped += 1
        self._dropping[device] += 1
        if now - self._told >= TELL_EVERY_S:
            self._told = now
            log.warning(
                "escalations_dropped",
                devices=dict(self._dropping.most_common(5)),
                waiting=self._capacity,
                fix="the tail is too slow: start another worker, or raise tail.max_queue",
            )
            self._dropping.clear()
