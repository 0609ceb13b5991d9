from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from edge.inspection.deadlines import Deadlines
from shared.clock import ManualClock, SystemClock
from shared.worker import DeadWorkers


@given(
    deadlines=st.lists(st.floats(0, 10), max_size=20),
    settled=st.sets(st.integers(0, 19)),
    now=st.floats(0, 10),
)
def test_a_part_expires_once_if_it_is_due_and_not_settled(
    deadlines: list[float], settled: set[int], now: float
) -> None:
    expired: list[int] = []
    kept = Deadlines[int](ManualClock(), expired.append, DeadWorkers())
    for key, at in enumerate(deadlines):
        kept.add(key, at, key)
    won = {key for key in settled if kept.settle(key) is not None}
    kept.expire(now)
    kept.expire(now)
    due = {key for key, at in enumerate(deadlines) if at <= now}
    assert sorted(expired) == sorted(due - won)
    assert len(kept) == len(deadlines) - len(won) - len(expired)


def test_only_the_first_settles_a_part() -> None:
    kept = Deadlines[str](ManualClock(), lambda _: None, DeadWorkers())
    kept.add(1, 5.0, "part")
    assert kept.open_part(1) == "part"
    assert kept.settle(1) == "part"
    assert kept.settle(1) is None
    assert kept.open_part(1) is None


def test_of_many_threads_one_settles_a_part() -> None:
    kept = Deadlines[int](ManualClock(), lambda _: None, DeadWorkers())
    for key in range(200):
        kept.add(key, 5.0, key)
    won: list[int] = []
    start = threading.Barrier(4)

    def settle_all() -> None:
        start.wait()
        won.extend(key for key in range(200) if kept.settle(key) is not None)

    threads = [threading.Thread(target=settle_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == list(range(200))


def test_the_thread_expires_parts_in_the_order_of_their_deadlines() -> None:
    clock = SystemClock()
    expired: list[str] = []
    kept = Deadlines[str](clock, expired.append, DeadWorkers())
    kept.start()
    now = clock.monotonic()
    kept.add(1, now + 0.06, "later")
    kept.add(2, now + 0.03, "sooner")
    kept.add(3, now + 60, "settled")
    kept.settle(3)
    assert kept.wait_until_settled(5)
    kept.stop()
    assert expired == ["sooner", "later"]
