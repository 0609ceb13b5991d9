"""The queue of escalations."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from cloud.inference.queue import Job, WorkQueue
from shared.clock import ManualClock
from shared.topics import Address
from shared.wire import Escalation
from tests.cloud.makers import DEVICE

LONG_S = 30.0


def job(
    part: int,
    *,
    remaining: float = 1.0,
    arrived: float = 1000.0,
    pair: str = "a",
    device: Address = DEVICE,
) -> Job:
    escalation = Escalation(
        boot="b1",
        sequence=part,
        part=part,
        pair=pair,
        shape=(1, 1, 1),
        remaining=remaining,
        expires=0.0,
        score=0.5,
    )
    return Job(device, escalation, b"", arrived, arrived + remaining, {})


def queue(
    clock: ManualClock | None = None, *, capacity: int = 100, batch: int = 8, wait_s: float = 0.0
) -> WorkQueue:
    return WorkQueue(clock or ManualClock(), capacity=capacity, max_batch=batch, max_wait_s=wait_s)


def parts(jobs: list[Job]) -> list[int]:
    return [one.escalation.part for one in jobs]


def test_the_most_urgent_go_first_and_the_late_ones_last_but_are_not_lost() -> None:
    waiting = queue(batch=2)
    for part, remaining in enumerate([3.0, -1.0, 1.0, 2.0, 0.0]):
        waiting.put(job(part, remaining=remaining))
    assert [parts(waiting.take(0)) for _ in range(4)] == [[2, 3], [0, 1], [4], []]


def test_one_batch_holds_parts_of_one_pair() -> None:
    waiting = queue()
    for part, pair in enumerate("abab"):
        waiting.put(job(part, pair=pair))
    assert [parts(waiting.take(0)) for _ in range(2)] == [[0, 2], [1, 3]]


@given(st.lists(st.tuples(st.floats(-5, 5), st.sampled_from("ab")), max_size=60), st.integers(1, 9))
def test_every_job_comes_out_once(jobs: list[tuple[float, str]], batch: int) -> None:
    waiting = queue(batch=batch)
    for part, (remaining, pair) in enumerate(jobs):
        waiting.put(job(part, remaining=remaining, pair=pair))
    taken: list[int] = []
    while found := waiting.take(0):
        assert len(found) <= batch
        taken += parts(found)
    assert sorted(taken) == list(range(len(jobs)))


def test_when_full_the_earliest_deadline_makes_room() -> None:
    waiting = queue(capacity=2)
    for part, remaining in enumerate([2.0, 1.0, 3.0]):
        waiting.put(job(part, remaining=remaining))
    assert waiting.dropped == 1
    assert parts(waiting.take(0)) == [0, 2]


SLOW, QUICK = Address("p", "l", "slow"), Address("p", "l", "quick")


def test_a_device_with_long_deadlines_starves_no_line_with_short_ones() -> None:
    clock = ManualClock()
    waiting = queue(clock, capacity=50)
    judged: list[int] = []
    now = clock.monotonic()
    for part in range(100):
        for flood in range(20):
            waiting.put(job(1000 + 20 * part + flood, arrived=now, remaining=60.0, device=SLOW))
        waiting.put(job(part, arrived=now, remaining=0.2, device=QUICK))
        if part % 4 == 3:
            judged += parts(waiting.take(0))
    while found := waiting.take(0):
        judged += parts(found)
    assert set(range(100)) <= set(judged)
    assert waiting.dropped > 0


def test_a_device_that_claims_short_deadlines_has_no_more_than_its_turn() -> None:
    waiting = queue(batch=4)
    for part in range(40):
        waiting.put(job(part, remaining=0.1, device=QUICK))
    waiting.put(job(100, remaining=5.0, device=SLOW))
    assert 100 in parts(waiting.take(0))


def test_drops_are_told_by_count_and_not_one_by_one() -> None:
    clock = ManualClock()
    waiting = queue(clock, capacity=2)
    with capture_logs() as logs:
        for part in range(500):
            waiting.put(job(part, arrived=clock.monotonic()))
        clock.advance(11)
        waiting.put(job(500, arrived=clock.monotonic()))
    assert [one["devices"] for one in logs] == [{"box-1": 1}, {"box-1": 498}]


def test_a_lone_job_is_taken_at_once() -> None:
    waiting = queue(wait_s=LONG_S)
    waiting.put(job(1))
    assert parts(waiting.take(0)) == [1]


def test_a_job_after_a_long_pause_does_not_wait_for_others() -> None:
    clock = ManualClock()
    waiting = queue(clock, wait_s=1.0)
    waiting.put(job(1, arrived=clock.monotonic()))
    waiting.take(0)
    clock.advance(10)
    waiting.put(job(2, arrived=clock.monotonic()))
    assert parts(waiting.take(0)) == [2]


def test_jobs_that_arrive_closely_wait_until_their_batch_is_full() -> None:
    waiting = queue(batch=3, wait_s=LONG_S)
    waiting.put(job(1))
    waiting.put(job(2))
    with ThreadPoolExecutor(1) as pool:
        taken = pool.submit(waiting.take, LONG_S)
        waiting.put(job(3))
        assert parts(taken.result(LONG_S)) == [1, 2, 3]


def test_closing_ends_the_wait() -> None:
    waiting = queue()
    threading.Timer(0.01, waiting.close).start()
    assert waiting.take(LONG_S) == []
