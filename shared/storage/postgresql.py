"""A connection to PostgreSQL on which nothing waits for ever."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
from sqlalchemy import Engine, event

T = TypeVar("T")

# For what is asked of a connection that lay in the pool, before anybody waits for its answer.
CHECK_S = 5.0

# What says by itself that the other side is gone: the kernel, where nothing is confirmed any more.
KEPT_ALIVE: dict[str, int] = {
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}


@dataclass
class WaitLimits:
    """How long all connections of one database wait.

    answer_s   seconds for each answer
    gives_up   on the monotonic clock: after it no answer is waited for at all
    """

    answer_s: float
    gives_up: float = float("inf")

    def hurry(self, within_s: float) -> None:
        """Give up in so many seconds."""
        self.gives_up = time.monotonic() + within_s

    def require_time(self) -> None:
        """Raises OperationalError where none is left to begin anything."""
        if time.monotonic() > self.gives_up:
            raise psycopg.OperationalError("the server did not answer before the service stopped")


class BoundedConnection(psycopg.Connection[Any]):
    """Gives up on a server that does not answer, and is closed then.

    The server's own time limits reach nobody while its words do not arrive, and a proxy between
    confirms every packet in its name: so what is waited for here has a limit on this side.

    limits     those of all; set after it was made
    answer_s   instead of the limits' own, until it goes back to its pool
    """

    limits: WaitLimits | None = None
    answer_s: float | None = None

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **how: Any) -> T:
        """psycopg's own, which may wait as long as it takes. Raises OperationalError."""
        return super().wait(self._bounded(gen), *args, **how)

    def _bounded(self, gen: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        limits, begun = self.limits or WaitLimits(CHECK_S), time.monotonic()
        until = begun + (self.answer_s or min(CHECK_S, limits.answer_s))
        try:
            wanted = next(gen)
            while True:
                # Comes back every tenth of a second or so, whether something has arrived or not.
                ready = yield wanted
                now = time.monotonic()
                if now > until or now > limits.gives_up:
                    self.pgconn.finish()
                    raise psycopg.OperationalError(
                        f"the server did not answer for {now - begun:.1f} s"
                    )
                wanted = gen.send(ready)
        except StopIteration as end:
            answer: T = end.value
            return answer


def bound(engine: Engine, limits: WaitLimits) -> None:
    """Make the engine's connections of this kind."""

    def connect(_dialect: object, _record: object, args: Any, keywords: Any) -> BoundedConnection:
        limits.require_time()
        connection = BoundedConnection.connect(*args, **keywords)
        connection.limits = limits
        return connection

    def back(connection: BoundedConnection | None, _record: object) -> None:
        if connection is not None:
            connection.answer_s = None

    event.listen(engine, "do_connect", connect)
    event.listen(engine, "checkin", back)
