"""Light devices against a fresh broker and cloud, as processes of this machine."""

from __future__ import annotations

import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cloud.broker.embedded import EmbeddedBroker
from hardware_sim.processes.child import Child, stop_all
from hardware_sim.processes.cloud import CloudProcess
from hardware_sim.scale import orders
from hardware_sim.scale.orders import SIGNAL, M, TrialSignal, WorkerOrders, WorkerProgress
from shared.errors import ProcessError
from shared.loopback import free_port

READY_TIMEOUT_S = 180.0
POLL_S = 0.1

Tend = Callable[[], None]
"""Called often while something is waited for; raises to end it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialOptions:
    """What every trial can be told.

    every_s    from one part of a device to its next
    escalated  share of parts, 0–1
    workers    processes that play the devices
    port, broker_port  0 takes any free one
    """

    bundle: Path
    every_s: float
    escalated: float
    workers: int = 2
    runtime: str = "auto"
    seed: int = 0
    port: int = 0
    broker_port: int = 0


class TrialRunner:
    """Broker, cloud and workers: started, waited for, ended. Call `stop` whatever happens.

    `folder` keeps their files, the recording among them. Waiting raises ProcessError where a
    process fails, or where what is waited for does not come.
    """

    def __init__(
        self,
        options: TrialOptions,
        devices: int,
        folder: Path,
        sections: Mapping[str, object] | None = None,
    ) -> None:
        """sections: more of the cloud's configuration"""
        self.devices = devices
        self.folder = folder
        self.tend: Tend = lambda: None
        self._options = options
        self._broker_port = options.broker_port or free_port()
        self.broker = EmbeddedBroker("auto", "127.0.0.1", self._broker_port)
        self.cloud = CloudProcess(
            folder,
            options.bundle,
            port=options.port or free_port(),
            broker_port=self._broker_port,
            sections={"runtime": {"name": options.runtime, "threads": 1}, **(sections or {})},
        )
        self.workers: list[Child] = []

    def add_workers(
        self, module: str, kind: type[WorkerOrders], bundle: Path, **more: object
    ) -> None:
        """Share the devices out among workers that run a module.

        more   fields of their kind of orders, beside those of `WorkerOrders`
        """
        options, workers = self._options, min(self._options.workers, self.devices)
        for number in range(workers):
            name = f"worker-{number + 1}"
            wanted = kind(
                name=name,
                bundle=str(bundle.resolve()),
                broker_port=self._broker_port,
                devices=(
                    self.devices * number // workers,
                    self.devices * (number + 1) // workers,
                ),
                every_s=options.every_s,
                escalated=options.escalated,
                seed=options.seed,
                **more,
            )
            path = self.folder / f"{name}.json"
            orders.write(path, wanted)
            command = [sys.executable, "-m", module, str(path)]
            self.workers.append(Child(name, command, self.folder / f"{name}.log"))

    def start(self) -> None:
        """Broker and cloud; returns when both answer."""
        self.broker.start()
        self.cloud.start()
        self.wait_for(lambda: self.cloud.answers, "the cloud answers")

    def start_workers(self) -> None:
        for worker in self.workers:
            worker.start()

    def stop(self) -> None:
        """End workers first, then the cloud that stores their last parts, then the broker."""
        stop_all(self.workers)
        stop_all([self.cloud.child])
        self.broker.stop()

    def signal(self, at: float) -> None:
        """To the workers: monotonic seconds."""
        orders.write(self.folder / SIGNAL, TrialSignal(at))

    def progress(self) -> list[WorkerProgress]:
        """How far each worker is."""
        paths = [orders.progress_of(self.folder, worker.name) for worker in self.workers]
        return [orders.read(path, WorkerProgress) or WorkerProgress() for path in paths]

    def outcomes(self, kind: type[M], timeout_s: float = READY_TIMEOUT_S) -> list[M]:
        """Wait until every worker has ended; what each has written down."""
        self.wait_for(
            lambda: all(worker.exit_code == 0 for worker in self.workers),
            "every worker has ended",
            timeout_s,
        )
        found = []
        for worker in self.workers:
            outcome = orders.read(orders.outcome_of(self.folder, worker.name), kind)
            if outcome is None:
                raise worker.failure()
            found.append(outcome)
        return found

    def wait_until(self, at: float) -> None:
        """Until a second of the monotonic clock."""
        pause = threading.Event()
        while (left := at - time.monotonic()) > 0:
            self._tend()
            pause.wait(min(left, POLL_S))

    def wait_for(
        self, condition: Callable[[], bool], what: str, timeout_s: float = READY_TIMEOUT_S
    ) -> None:
        give_up, pause = time.monotonic() + timeout_s, threading.Event()
        while not condition():
            self._tend()
            if time.monotonic() > give_up:
                raise ProcessError(
                    f"after {timeout_s:.0f} s it is still not so that {what}",
                    fix="the machine may be too busy: use fewer devices, or a longer --every",
                )
            pause.wait(POLL_S)

    def _tend(self) -> None:
        self.tend()
        for child in (self.cloud.child, *self.workers):
            if child.exit_code:
                raise child.failure(
                    "run it again; with --keep-in its whole log stays in the folder"
                )


def this_machine() -> str:
    """For a report."""
    return f"{os.cpu_count()} cores {platform.machine()}"
