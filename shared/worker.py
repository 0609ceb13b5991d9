"""A thread that is started once, ends within a bound, and never dies unnoticed."""

from __future__ import annotations

import threading
from collections.abc import Callable

from shared.episodes import Episodes
from shared.log import get_logger
from shared.redaction import redact

log = get_logger("worker")

STOP_S = 30.0

OnDeath = Callable[[str, BaseException], object]
"""Called on the dying thread with the worker's name and what ended it."""


class Worker:
    """Does one thing again and again, or once, on a daemon thread of its own.

    stopping   set when it shall end: long steps look at it and wait on it
    failure    what the last step raised; None once one has succeeded
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], float | None],
        *,
        on_death: OnDeath,
        retry_s: float | None = None,
        unblock: Callable[[], None] = lambda: None,
    ) -> None:
        """step: returns the seconds until it is due again, None where all is done

        on_death   what its owner does when a step raises, and the thread ends with it
        retry_s    instead, what a step raises is logged, where it lasts by count, and it is due
                   again after these seconds
        unblock    ends what a step waits for by itself; called by `stop`, on its thread
        """
        self.name = name
        self.stopping = threading.Event()
        self.failure: BaseException | None = None
        self._step = step
        self._on_death = on_death
        self._retry_s = retry_s
        self._unblock = unblock
        self._episodes = Episodes()
        self._due = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def alive(self) -> bool:
        """Whether it was started and has not ended."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Raises RuntimeError the second time."""
        self._thread.start()

    def wake(self) -> None:
        """The next step is due now. From any thread."""
        self._due.set()

    def stop(self, timeout_s: float = STOP_S) -> bool:
        """End after the step in hand; whether it has ended within `timeout_s`.

        May be called without `start`, twice, and by a step itself.
        """
        self.stopping.set()
        self._due.set()
        self._unblock()
        if self.alive and threading.current_thread() is not self._thread:
            self._thread.join(timeout_s)
            if timeout_s and self.alive:
                log.error("thread_does_not_end", thread=self.name, waited_s=timeout_s)
        return not self.alive

    def _run(self) -> None:
        try:
            while not self.stopping.is_set():
                pause = self._try()
                if pause is None:
                    return
                if pause > 0:
                    self._due.wait(pause)
                    self._due.clear()
        except BaseException as error:
            self.failure = error
            self._on_death(self.name, error)
            raise  # to threading.excepthook, which logs every thread's death: see shared.log

    def _try(self) -> float | None:
        try:
            pause = self._step()
        except Exception as error:
            if self._retry_s is None:
                raise
            self.failure = error
            told = {"thread": self.name, "next_try_s": self._retry_s}
            self._episodes.met("step", log.error, "step_failed", exc_info=error, **told)
            return self._retry_s
        self.failure = None
        self._episodes.mended("step", log.info, "step_succeeds_again", thread=self.name)
        return pause


class DeadWorkers:
    """Which workers have died, and of what: an OnDeath for a health check, and for tests."""

    def __init__(self) -> None:
        self._errors: dict[str, BaseException] = {}

    def __call__(self, name: str, error: BaseException) -> None:
        self._errors[name] = error

    @property
    def problems(self) -> list[str]:
        """One sentence each, for people."""
        return [
            f"The thread {name} has ended ({redact(f'{type(error).__name__}: {error}')}): "
            "restart the service."
            for name, error in list(self._errors.items())
        ]
