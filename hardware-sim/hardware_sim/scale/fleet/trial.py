"""One number of devices against a fresh broker and cloud: started, measured, counted, ended."""

from __future__ import annotations

import itertools
import math
import os
import platform
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from cloud.broker.embedded import EmbeddedBroker
from hardware_sim.processes.child import Child, stop_all
from hardware_sim.processes.cloud import CloudProcess
from hardware_sim.scale.fleet import orders
from hardware_sim.scale.fleet.options import FleetOptions
from hardware_sim.scale.fleet.orders import GO, Go, Orders, WorkerOutcome, WorkerProgress
from hardware_sim.scale.fleet.records import count
from hardware_sim.scale.fleet.report import FleetRow, PartCost, PerDevice, percentiles
from hardware_sim.scale.fleet.spans import Moment, Spans
from shared.errors import ProcessError
from shared.loopback import free_port

READY_TIMEOUT_S = 120.0
OUTCOME_TIMEOUT_S = 60.0
POLL_S = 0.1
# Between the word and the first part: time for every worker to read it.
LEAD_S = 1.0

Tend = Callable[[], None]
"""Called often while something is waited for; raises to end it."""


class Trial:
    """A broker, the cloud and workers with so many devices, in a folder that has the recording."""

    def __init__(self, options: FleetOptions, devices: int, folder: Path) -> None:
        self.options = options
        self.devices = devices
        self.folder = folder
        self._broker_port = options.broker_port or free_port()
        self.broker = EmbeddedBroker("auto", "127.0.0.1", self._broker_port)
        self.cloud = CloudProcess(
            folder,
            options.bundle,
            port=options.port or free_port(),
            broker_port=self._broker_port,
            sections={"runtime": {"name": options.runtime, "threads": 1}},
        )
        self.workers = [self._worker(n, part) for n, part in enumerate(self._shares(), start=1)]
        self._go_at = math.inf

    def run(self, tend: Tend, one_part: PartCost) -> FleetRow:
        """Start, measure and count. Raises ProcessError where a process fails; call `stop` then.

        one_part   goes into the row as it is
        """
        self.start(tend)
        before = self._moment()
        self._wait_until(before.at + self.options.settle_s, tend)
        idle = self._moment()
        self.connect(tend)
        self.begin()
        self._wait_until(self._go_at + self.options.settle_s, tend)
        first = self._moment()
        self._wait_until(self._ends_at, tend)
        last = self._moment()
        outcomes = self.finish(tend)
        return self._row(Spans(before, idle, first, last), outcomes, one_part)

    def start(self, tend: Tend) -> None:
        """Start broker and cloud, and wait until both answer."""
        self.broker.start()
        self.cloud.start()
        self._wait_for(lambda: self.cloud.answers, READY_TIMEOUT_S, "the cloud answers", tend)

    def connect(self, tend: Tend) -> None:
        """Start the workers and wait until every device is connected."""
        for worker in self.workers:
            worker.start()
        self._wait_for(
            lambda: all(p.stage == "ready" for p in self.progress()),
            READY_TIMEOUT_S,
            "every device is connected",
            tend,
        )

    def begin(self) -> None:
        """Let parts come by."""
        self._go_at = time.monotonic() + LEAD_S
        orders.write(self.folder / GO, Go(self._go_at))

    def finish(self, tend: Tend) -> list[WorkerOutcome]:
        """Wait until every part is stored or the workers give up; what they came to."""
        self._wait_for(
            lambda: all(worker.exit_code == 0 for worker in self.workers),
            max(0.0, self._ends_at - time.monotonic()) + OUTCOME_TIMEOUT_S,
            "every part is stored",
            tend,
        )
        return list(self._outcomes())

    def stop(self) -> None:
        """End workers first, then the cloud that stores their last parts, then the broker."""
        stop_all(self.workers)
        stop_all([self.cloud.child])
        self.broker.stop()

    def progress(self) -> list[WorkerProgress]:
        """How far each worker is."""
        paths = [orders.progress_of(self.folder, worker.name) for worker in self.workers]
        return [orders.read(path, WorkerProgress) or WorkerProgress() for path in paths]

    @property
    def _ends_at(self) -> float:
        return self._go_at + self.options.settle_s + self.options.seconds

    def _outcomes(self) -> Iterator[WorkerOutcome]:
        for worker in self.workers:
            outcome = orders.read(orders.outcome_of(self.folder, worker.name), WorkerOutcome)
            if outcome is None:
                raise ProcessError(
                    f"{worker.name} ended without a result; its last words: {worker.last_words()}",
                    fix=f"its whole log is {worker.log}",
                )
            yield outcome

    def _wait_until(self, at: float, tend: Tend) -> None:
        """Until a second of the monotonic clock."""
        pause = threading.Event()
        while (left := at - time.monotonic()) > 0:
            self._tend(tend)
            pause.wait(min(left, POLL_S))

    def _wait_for(
        self, condition: Callable[[], bool], timeout_s: float, what: str, tend: Tend
    ) -> None:
        give_up = time.monotonic() + timeout_s
        pause = threading.Event()
        while not condition():
            self._tend(tend)
            if time.monotonic() > give_up:
                raise ProcessError(
                    f"after {timeout_s:.0f} s it is still not so that {what}",
                    fix="the machine may be too busy: use fewer devices, or a longer --every",
                )
            pause.wait(POLL_S)

    def _tend(self, tend: Tend) -> None:
        tend()
        for child in (self.cloud.child, *self.workers):
            if child.exit_code:
                raise child.failure("run it again; with --keep its whole log stays in the folder")

    def _moment(self) -> Moment:
        pids = [worker.pid for worker in self.workers if worker.running]
        return Moment.now(self.broker.pid, self.cloud.child.pid, pids)

    def _shares(self) -> list[tuple[int, int]]:
        """The devices of each worker: numbers from and to."""
        workers = min(self.options.workers, self.devices)
        bounds = [self.devices * n // workers for n in range(workers + 1)]
        return list(itertools.pairwise(bounds))

    def _worker(self, number: int, devices: tuple[int, int]) -> Child:
        name = f"worker-{number}"
        path = self.folder / f"{name}.json"
        wanted = Orders(
            name=name,
            bundle=str(self.options.bundle.resolve()),
            broker_port=self._broker_port,
            devices=devices,
            every_s=self.options.every_s,
            seconds=self.options.settle_s + self.options.seconds,
            warm_up_s=self.options.settle_s,
            escalated=self.options.escalated,
            seed=self.options.seed,
        )
        path.write_bytes(msgspec.json.encode(wanted))
        command = [sys.executable, "-m", "hardware_sim.scale.fleet.worker", str(path)]
        return Child(name, command, self.folder / f"{name}.log")

    def _row(self, spans: Spans, outcomes: list[WorkerOutcome], one_part: PartCost) -> FleetRow:
        inspected = {name: n for one in outcomes for name, n in one.inspected.items()}
        counts: Counter[str] = Counter()
        for one in outcomes:
            counts.update(one.counts)
        recorded = count(self.cloud.database, inspected)
        measured = sum(one.measured for one in outcomes)
        carried = sum(one.bytes for one in outcomes)
        parts = sum(inspected.values())
        broker = spans.service(lambda moment: moment.broker, measured)
        cloud = spans.service(lambda moment: moment.cloud, measured)
        trips = [trip for one in outcomes for trip in one.round_trips_ms]
        late = [ms for one in outcomes for ms in one.late_ms]
        return FleetRow(
            devices=self.devices,
            parts=parts,
            lost=recorded.lost,
            duplicates=recorded.duplicates,
            without_verdict=parts - sum(one.actuated for one in outcomes),
            deadlines_missed=counts["deadlines_missed"],
            escalation_ms=percentiles(trips),
            per_device=PerDevice(
                cpu_ms_per_part=round(broker.cpu_ms_per_part + cloud.cpu_ms_per_part, 3),
                memory_kb=round(spans.grown_kb / self.devices, 1),
                bytes_per_part=round(carried / max(1, measured), 1),
            ),
            broker=broker,
            cloud=cloud,
            simulator=spans.simulator(measured, percentiles(late)),
            one_part=one_part,
            seconds=self.options.seconds,
            every_s=self.options.every_s,
            escalated=self.options.escalated,
            reconnects=sum(one.reconnects for one in outcomes),
            machine=f"{os.cpu_count()} cores {platform.machine()}",
            measured_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
