from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading

import pytest
import structlog

from shared.worker import DeadWorkers, Worker

PATIENCE_S = 10.0
# Of each test here the thread's end is the point, not an accident.
dies = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


class Steps:
    """Does what it is told, one entry a step, and then pauses for long."""

    def __init__(self, *does: float | Exception | None) -> None:
        self._does = list(does)
        self.done = threading.Semaphore(0)
        self.threads: list[str] = []

    def __call__(self) -> float | None:
        self.threads.append(threading.current_thread().name)
        does = self._does.pop(0) if self._does else PATIENCE_S
        self.done.release()
        if isinstance(does, Exception):
            raise does
        return does

    def await_steps(self, count: int) -> None:
        for _ in range(count):
            assert self.done.acquire(timeout=PATIENCE_S)


def test_a_step_is_repeated_until_the_worker_is_stopped() -> None:
    steps, dead = Steps(0.0, 0.001, 0.0), DeadWorkers()
    worker = Worker("w", steps, on_death=dead)
    worker.start()
    steps.await_steps(4)
    assert worker.alive
    assert worker.stop(PATIENCE_S)
    assert set(steps.threads) == {"w"}
    assert worker.failure is None
    assert not dead.problems


def test_a_step_that_says_so_is_the_last() -> None:
    steps = Steps(0.0, None)
    worker = Worker("w", steps, on_death=DeadWorkers())
    worker.start()
    steps.await_steps(2)
    assert worker.stop(PATIENCE_S)
    assert len(steps.threads) == 2


def test_waking_ends_a_pause() -> None:
    steps = Steps()
    worker = Worker("w", steps, on_death=DeadWorkers())
    worker.start()
    steps.await_steps(1)
    worker.wake()
    steps.await_steps(1)
    worker.stop(PATIENCE_S)


def test_stop_ends_what_a_step_waits_for() -> None:
    event = threading.Event()
    worker = Worker(
        "w", lambda: 0.0 if event.wait() else None, on_death=DeadWorkers(), unblock=event.set
    )
    worker.start()
    assert worker.stop(PATIENCE_S)


def test_stop_waits_no_longer_than_it_is_told() -> None:
    hanging = threading.Event()
    worker = Worker("w", lambda: 0.0 if hanging.wait() else None, on_death=DeadWorkers())
    worker.start()
    with structlog.testing.capture_logs() as logs:
        assert not worker.stop(0.01)
    assert [entry["event"] for entry in logs] == ["thread_does_not_end"]
    assert worker.alive
    hanging.set()
    assert worker.stop(PATIENCE_S)


def test_stop_is_harmless_before_the_start_and_twice_and_from_within() -> None:
    idle = Worker("w", lambda: None, on_death=DeadWorkers())
    assert not idle.alive
    assert idle.stop()
    assert idle.stop()
    inner: queue.SimpleQueue[bool] = queue.SimpleQueue()
    worker = Worker("w", lambda: inner.put(worker.stop()), on_death=DeadWorkers())
    worker.start()
    assert not inner.get(timeout=PATIENCE_S)
    assert worker.stop(PATIENCE_S)


def test_a_worker_starts_once() -> None:
    worker = Worker("w", lambda: None, on_death=DeadWorkers())
    worker.start()
    with pytest.raises(RuntimeError):
        worker.start()


@dies
def test_a_step_that_raises_ends_the_thread_and_its_owner_hears_of_it() -> None:
    dead, error = DeadWorkers(), ValueError("no such row")
    steps = Steps(0.0, error)
    worker = Worker("records", steps, on_death=dead)
    worker.start()
    steps.await_steps(2)
    assert worker.stop(PATIENCE_S)
    assert worker.failure is error
    assert dead.problems == [
        "The thread records has ended (ValueError: no such row): restart the service."
    ]


def test_a_step_that_is_tried_again_leaves_the_thread_alive() -> None:
    dead, error = DeadWorkers(), ValueError("not now")
    steps = Steps(error, 0.0)
    worker = Worker("w", steps, on_death=dead, retry_s=0.001)
    with structlog.testing.capture_logs() as logs:
        worker.start()
        steps.await_steps(3)
        worker.stop(PATIENCE_S)
    told = [(entry["event"], entry["thread"]) for entry in logs]
    assert told == [("step_failed", "w"), ("step_succeeds_again", "w")]
    assert worker.failure is None
    assert not dead.problems


SCRIPT = """
import threading
from shared.log import configure
configure("json")
thread = threading.Thread(target=lambda: 1 / 0, name="any")
thread.start()
thread.join()
"""


@pytest.mark.process
def test_the_death_of_any_thread_is_logged() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=60
    )
    (line,) = done.stderr.splitlines()
    entry = json.loads(line)
    assert (entry["event"], entry["thread"]) == ("thread_died", "any")
    assert "ZeroDivisionError" in entry["exception"]
