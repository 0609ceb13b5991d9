"""A discrete-event model of broker, workers, tails and database, with simpy."""

from __future__ import annotations

import itertools
import random
from collections.abc import Generator
from dataclasses import dataclass, field

import simpy

from edge.link.outbox import BATCH_S
from edge.link.presence import EVERY_S
from hardware_sim.scale.plan.demand import Costs, Load

WARM_UP_S = EVERY_S + 2 * BATCH_S
Steps = Generator[simpy.Event, object, None]


@dataclass(frozen=True, slots=True)
class CellMachines:
    """Machines of a cell; `*_speed` against a core of the measuring machine."""

    brokers: int = 1
    workers: int = 1
    tails: int = 1
    databases: int = 1
    broker_speed: float = 1.0
    worker_speed: float = 1.0
    tail_speed: float = 1.0
    database_speed: float = 1.0


@dataclass(slots=True)
class SpanSample:
    """What came of a simulated span.

    busy            share of the time that each station worked
    round_trips_s   escalation → verdict
    commits         of all workers
    """

    parts: int = 0
    commits: int = 0
    round_trips_s: list[float] = field(default_factory=list)
    busy: dict[str, float] = field(default_factory=dict)


class _Station:
    """Servers of one kind with one queue.

    worked   seconds that a server has worked, their mean
    """

    def __init__(self, env: simpy.Environment, servers: int, speed: float) -> None:
        self._env = env
        self._servers = servers
        self._speed = speed
        self._resource = simpy.Resource(env, servers)
        self.worked = 0.0

    def serve(self, seconds: float) -> Steps:
        """Wait for a server and use it for so much work of the measuring machine's core."""
        with self._resource.request() as turn:
            yield turn
            took = seconds / self._speed
            yield self._env.timeout(took)
            self.worked += took / self._servers


class _Worker:
    """One intake worker: a core of Python and a writer that stores all that waits at once."""

    def __init__(self, cell: PlantCell) -> None:
        self._cell = cell
        self.python = _Station(cell.env, 1, cell.layout.worker_speed)
        # Rows that wait, and who wants to hear that they are stored.
        self._waiting: list[tuple[int, bool]] = []
        self._more = cell.env.event()
        cell.env.process(self._write())

    def store(self, rows: int, *, receipt: bool) -> None:
        self._waiting.append((rows, receipt))
        if not self._more.triggered:
            self._more.succeed()

    def _write(self) -> Steps:
        cell, costs = self._cell, self._cell.costs
        while True:
            if not self._waiting:
                self._more = cell.env.event()
                yield self._more
            group, self._waiting = self._waiting, []
            rows = sum(rows for rows, _ in group)
            cell.sample.commits += 1
            yield from self.python.serve(costs.commit_cpu_s + rows * costs.row_s)
            yield from cell.database.serve(costs.disk_s)
            for _, receipt in group:
                if receipt:
                    cell.env.process(cell.send(self))


class PlantCell:
    """A share of a plant that is served apart from the rest.

    Parts come as a Poisson process: many devices with phases of their own add up to one (Palm
    1943, Khintchine 1960). A part's messages follow as the agent times them.
    """

    def __init__(self, load: Load, costs: Costs, layout: CellMachines, seed: int = 0) -> None:
        self.env = simpy.Environment()
        self.load = load
        self.costs = costs
        self.layout = layout
        self.sample = SpanSample()
        self.broker = _Station(self.env, layout.brokers, layout.broker_speed)
        self.tail = _Station(self.env, layout.tails, layout.tail_speed)
        self.database = _Station(self.env, layout.databases, layout.database_speed)
        self._workers = [_Worker(self) for _ in range(layout.workers)]
        # A shared subscription deals messages out in turn.
        self._turns = itertools.cycle(self._workers)
        self._random = random.Random(seed)  # noqa: S311 - arrivals of a model

    def run(self, parts: int) -> SpanSample:
        """Let so many parts come by, on average, once the first have had all their messages."""
        self.env.process(self._arrivals())
        self.env.run(until=WARM_UP_S)
        self.sample = SpanSample()
        before = self._worked()
        elapsed = parts / self.load.parts_per_s
        self.env.run(until=WARM_UP_S + elapsed)
        self.sample.busy = {
            name: (worked - before[name]) / elapsed for name, worked in self._worked().items()
        }
        return self.sample

    def _worked(self) -> dict[str, float]:
        """Seconds a server, by station."""
        python = [worker.python.worked for worker in self._workers]
        return {
            "broker": self.broker.worked,
            "worker": sum(python) / len(python),
            "tail": self.tail.worked,
            "database": self.database.worked,
        }

    def send(self, worker: _Worker) -> Steps:
        """A message from a worker to a device."""
        yield from worker.python.serve(self.costs.intake_s)
        yield from self.broker.serve(self.costs.broker_s)

    def _arrivals(self) -> Steps:
        load = self.load
        while True:
            yield self.env.timeout(self._random.expovariate(load.parts_per_s))
            self.sample.parts += 1
            if self._random.random() < load.escalated:
                self.env.process(self._escalation())
            for _ in range(self._whole(load.batches)):
                self.env.process(self._stored(BATCH_S, round(1 / load.batches), receipt=True))
            for turn in range(self._whole(load.states)):
                self.env.process(self._stored(BATCH_S + turn * EVERY_S, 1, receipt=False))

    def _whole(self, mean: float) -> int:
        """A whole number with this mean."""
        return int(mean) + (self._random.random() < mean % 1)

    def _receive(self) -> Generator[simpy.Event, object, _Worker]:
        """A message from a device to the worker whose turn it is."""
        yield from self.broker.serve(self.costs.broker_s)
        worker = next(self._turns)
        yield from worker.python.serve(self.costs.intake_s)
        return worker

    def _escalation(self) -> Steps:
        started = self.env.now
        worker = yield from self._receive()
        yield from self.tail.serve(self.costs.tail_s)
        yield from self.send(worker)
        self.sample.round_trips_s.append(self.env.now - started)
        worker.store(1, receipt=False)

    def _stored(self, after_s: float, rows: int, *, receipt: bool) -> Steps:
        yield self.env.timeout(after_s)
        worker = yield from self._receive()
        worker.store(rows, receipt=receipt)
