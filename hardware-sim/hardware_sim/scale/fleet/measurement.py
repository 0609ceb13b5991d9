"""All numbers of devices of one run, one after another: started, measured, counted, ended."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from hardware_sim.scale.fleet.options import (
    FleetOptions,
    require_broker,
    require_descriptors,
    require_time,
)
from hardware_sim.scale.fleet.records import count, writing_cost
from hardware_sim.scale.fleet.report import FleetRow, PartCost, PerDevice, percentiles
from hardware_sim.scale.fleet.usage import Moment, Spans
from hardware_sim.scale.fleet.worker import FleetOrders, FleetOutcome
from hardware_sim.scale.orders import RECORDING
from hardware_sim.scale.recording import record
from hardware_sim.scale.trial import Tend, TrialRunner, this_machine
from shared.bundles.bundle import Bundle
from shared.errors import SettingsError
from shared.format import iso
from shared.loopback import require_free

OUTCOME_TIMEOUT_S = 60.0
# Between the signal and the first part: time for every worker to read it.
LEAD_S = 1.0


class FleetMeasurement:
    """Records the head's findings once, then tries each number of devices with them."""

    def __init__(self, options: FleetOptions, folder: Path) -> None:
        """Raises SettingsError, BundleError, DataError or ProcessError for what can't be measured
        here.
        """
        if options.port:
            require_free("127.0.0.1", options.port, setting="--port")
        if options.broker_port:
            require_free("127.0.0.1", options.broker_port, setting="--broker-port")
        for devices in options.devices:
            require_descriptors(devices)
            require_broker(devices)
            _require_new(_folder_of(folder, devices))
        self._options = options
        self._folder = folder
        self._recording, self._cost = record(Bundle.open(options.bundle), options.runtime)
        self._recording.require(options.escalated)
        require_time(options, self._cost)

    def rows(self, watch: Callable[[FleetTrial], None]) -> Iterator[FleetRow]:
        """A row a number of devices, as they are measured; growth is not in them yet.

        watch   called often with what runs; raises to end it
        Raises ProcessError where a process fails. Nothing is left running.
        """
        writing = writing_cost(self._folder)
        one_part = PartCost(
            head_ms=round(self._cost.head_ms, 3),
            tail_ms=round(self._cost.tail_ms, 3),
            escalation_bytes=round(self._cost.escalation_bytes, 1),
            commit_ms=round(writing.commit_ms, 3),
            commit_cpu_ms=round(writing.commit_cpu_ms, 3),
            row_ms=round(writing.row_ms, 4),
            row_bytes=round(writing.row_bytes, 1),
        )
        for devices in self._options.devices:
            trial = self.trial(devices)
            try:
                yield trial.run(_watching(watch, trial), one_part)
            finally:
                trial.runner.stop()

    def trial(self, devices: int) -> FleetTrial:
        """One number of devices, with a folder of its own."""
        folder = _folder_of(self._folder, devices)
        folder.mkdir()
        self._recording.save(folder / RECORDING)
        return FleetTrial(self._options, devices, folder)


class FleetTrial:
    """One number of devices, in a folder that has the recording."""

    def __init__(self, options: FleetOptions, devices: int, folder: Path) -> None:
        self.runner = TrialRunner(options, devices, folder)
        self._options = options
        self._go_at = math.inf
        self.runner.add_workers(
            "hardware_sim.scale.fleet.worker",
            FleetOrders,
            options.bundle,
            seconds=options.settle_s + options.seconds,
            warm_up_s=options.settle_s,
        )

    def run(self, tend: Tend, one_part: PartCost) -> FleetRow:
        """Start, measure and count. Raises ProcessError where a process fails.

        one_part   goes into the row as it is
        """
        runner, settle_s = self.runner, self._options.settle_s
        runner.tend = tend
        runner.start()
        before = self._moment()
        runner.wait_until(before.at + settle_s)
        idle = self._moment()
        self.connect()
        self.begin()
        runner.wait_until(self._go_at + settle_s)
        first = self._moment()
        runner.wait_until(self._ends_at)
        last = self._moment()
        return self._row(Spans(before, idle, first, last), self.finish(), one_part)

    def connect(self) -> None:
        """Start the workers and wait until every device is connected."""
        runner = self.runner
        runner.start_workers()
        runner.wait_for(
            lambda: all(one.stage == "ready" for one in runner.progress()),
            "every device is connected",
        )

    def begin(self) -> None:
        """Let parts come by."""
        self._go_at = time.monotonic() + LEAD_S
        self.runner.signal(self._go_at)

    def finish(self) -> list[FleetOutcome]:
        """Wait until every part is stored or the workers give up; what they came to."""
        left = max(0.0, self._ends_at - time.monotonic())
        return self.runner.outcomes(FleetOutcome, left + OUTCOME_TIMEOUT_S)

    @property
    def _ends_at(self) -> float:
        return self._go_at + self._options.settle_s + self._options.seconds

    def _moment(self) -> Moment:
        runner = self.runner
        pids = [worker.pid for worker in runner.workers if worker.running]
        return Moment.now(runner.broker.pid, runner.cloud.child.pid, pids)

    def _row(self, spans: Spans, outcomes: list[FleetOutcome], one_part: PartCost) -> FleetRow:
        options, devices = self._options, self.runner.devices
        inspected = {name: n for one in outcomes for name, n in one.inspected.items()}
        counts: Counter[str] = Counter()
        for one in outcomes:
            counts.update(one.counts)
        recorded = count(self.runner.cloud.database, inspected)
        measured = sum(one.measured for one in outcomes)
        carried = sum(one.bytes for one in outcomes)
        parts = sum(inspected.values())
        broker = spans.service(lambda moment: moment.broker, measured)
        cloud = spans.service(lambda moment: moment.cloud, measured)
        late = [ms for one in outcomes for ms in one.late_ms]
        return FleetRow(
            devices=devices,
            parts=parts,
            lost=recorded.lost,
            duplicates=recorded.duplicates,
            without_verdict=parts - sum(one.actuated for one in outcomes),
            deadlines_missed=counts["deadlines_missed"],
            escalation_ms=percentiles([ms for one in outcomes for ms in one.round_trips_ms]),
            per_device=PerDevice(
                cpu_ms_per_part=round(broker.cpu_ms_per_part + cloud.cpu_ms_per_part, 3),
                memory_kb=round(spans.grown_kb / devices, 1),
                bytes_per_part=round(carried / max(1, measured), 1),
            ),
            broker=broker,
            cloud=cloud,
            simulator=spans.simulator(measured, percentiles(late)),
            one_part=one_part,
            seconds=options.seconds,
            every_s=options.every_s,
            escalated=options.escalated,
            reconnects=sum(one.reconnects for one in outcomes),
            machine=this_machine(),
            measured_at=iso(),
        )


def _folder_of(folder: Path, devices: int) -> Path:
    return folder / f"devices-{devices}"


def _require_new(folder: Path) -> None:
    if folder.exists():
        raise SettingsError(
            f"{folder} holds an earlier run",
            fix="give --keep-in another folder, or remove this one",
        )


def _watching(watch: Callable[[FleetTrial], None], trial: FleetTrial) -> Tend:
    return lambda: watch(trial)
