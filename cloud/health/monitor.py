"""Whether the service can do its work now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from pydantic import BaseModel

from cloud.inference.counters import EventCounters
from cloud.inference.queue import WorkQueue
from cloud.inference.roster import WorkerRoster
from cloud.inference.tail import LoadedTail, Tails
from cloud.records.database import Database
from cloud.records.writer import RecordsWriter
from shared.transport.base import Transport
from shared.worker import DeadWorkers

# A commit takes milliseconds, one of a busy PostgreSQL a second.
STALLED_S = 5.0


class BrokerHealth(BaseModel):
    connected: bool
    address: str
    embedded: bool


class DatabaseHealth(BaseModel):
    """`waiting` results are not stored yet, and none has been for `unstored_s`; `let_go` batches
    will be sent again; `refused` results can't be stored at all."""

    answers: bool
    unstored_s: float = 0.0
    refused: int = 0
    url: str
    waiting: int
    let_go: int


class TailHealth(BaseModel):
    bundle: str
    version: str
    pair: str
    runtime: str
    device: str


class WorkerHealth(BaseModel):
    """A worker of this cloud: `lacks` are pairs that another one serves, whose escalations it hands
    on."""

    name: str
    this: bool
    connected: bool
    pairs: list[str]
    lacks: list[str]


class QueueHealth(BaseModel):
    waiting: int
    dropped: int


class ServiceHealth(BaseModel):
    """`counts` are of events since the start; `problems` are for people, empty when all is well.

    warnings   what somebody should do before it is one
    """

    ok: bool
    problems: list[str]
    warnings: list[str] = []
    broker: BrokerHealth
    database: DatabaseHealth
    tails: list[TailHealth]
    workers: list[WorkerHealth] = []
    queue: QueueHealth
    counts: dict[str, int]


class Telling(Protocol):
    """A part that says itself what is wrong with it."""

    @property
    def problems(self) -> list[str]:
        """One sentence each, for people."""


STOPPING = ("broker flaps", "broker shares", "broker wildcards", "subscription", "topic")
"""What of the link's problems means that devices get no answers. The others may come of what one
device sends, and no device may make the cloud look ill."""
NEW = "/handed/"
"""Of a channel that brokers' rules from before it do not name: only a worker that lacks a tail
needs it, and then the roster says so."""

HealthCheck = Callable[[], ServiceHealth]


class HealthMonitor:
    """Looks at every part of the service."""

    def __init__(
        self,
        *,
        transport: Transport,
        broker_address: str,
        embedded: bool,
        database: Database,
        writer: RecordsWriter,
        tails: Tails,
        queue: WorkQueue,
        counters: EventCounters,
        dead: DeadWorkers,
        roster: WorkerRoster,
        tell: Sequence[Telling] = (),
        warn: Sequence[Telling] = (),
    ) -> None:
        """tell: what else may have problems; warn: whose problems stop nothing yet"""
        self._transport = transport
        self._broker_address = broker_address
        self._embedded = embedded
        self._database = database
        self._writer = writer
        self._tails = tails
        self._queue = queue
        self._counters = counters
        self._dead = dead
        self._roster = roster
        self._tell = tell
        self._warn = warn

    def __call__(self) -> ServiceHealth:
        broker = BrokerHealth(
            connected=self._transport.connected,
            address=self._broker_address,
            embedded=self._embedded,
        )
        unstored_s = self._writer.unstored_s
        stalled = unstored_s > STALLED_S
        database = DatabaseHealth(
            # One more that asks would wait too.
            answers=self._writer.healthy and not stalled and self._database.answers(),
            unstored_s=round(unstored_s, 1),
            refused=self._writer.refused,
            url=self._database.url,
            waiting=self._writer.waiting,
            let_go=self._writer.let_go,
        )
        problems = []
        known = dict(self._transport.problems)
        why = known.pop("broker", "")
        if not broker.connected:
            problems.append(
                f"The broker at {broker.address} is not connected{f' ({why})' if why else ''}: "
                "devices decide by themselves."
            )
        said = {about: f"The broker, {about}: {text}." for about, text in known.items()}
        stopping = {about for about in said if about.startswith(STOPPING) and NEW not in about}
        problems += [text for about, text in said.items() if about in stopping]
        if stalled:
            problems.append(
                f"Records have not been stored for {unstored_s:.0f} s, since the database "
                f"{database.url} can't be used or does not answer: devices keep their inspections "
                "and send them again."
            )
        elif not database.answers:
            problems.append(
                f"The database {database.url} can't be used: devices keep their inspections and "
                "send them again."
            )
        problems += self._dead.problems
        if broker.connected:
            # Without a broker nothing comes to anybody.
            problems += [text for one in self._tell for text in one.problems]
        return ServiceHealth(
            ok=not problems,
            problems=problems,
            warnings=[
                *(text for about, text in said.items() if about not in stopping),
                # Parts are answered all the same: whoever ends a service by its health must not end
                # every worker while a release is being published.
                *(text for one in (self._roster, *self._warn) for text in one.problems),
            ],
            broker=broker,
            database=database,
            tails=[_tail_health(tail) for _, tail in sorted(dict(self._tails).items())],
            workers=self._workers(),
            queue=QueueHealth(waiting=len(self._queue), dropped=self._queue.dropped),
            counts=self._counters.snapshot(),
        )

    def _workers(self) -> list[WorkerHealth]:
        entries = self._roster.entries
        served = frozenset[str]().union(*(one.pairs for one in entries if one.connected))
        return [
            WorkerHealth(
                name=one.name,
                this=one.worker == self._roster.worker,
                connected=one.connected,
                pairs=sorted(one.pairs),
                lacks=sorted(served - one.pairs),
            )
            for one in entries
        ]


def _tail_health(tail: LoadedTail) -> TailHealth:
    manifest = tail.bundle.manifest
    return TailHealth(
        bundle=manifest.name,
        version=manifest.version,
        pair=manifest.pair,
        runtime=tail.runtime.name,
        device=tail.runtime.device,
    )
