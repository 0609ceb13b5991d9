"""From the start of what was killed to the first escalation that is answered again."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from hardware_sim.processes.broker import BrokerProcess
from hardware_sim.processes.child import Child, stop_all
from hardware_sim.processes.cloud import CloudProcess
from hardware_sim.processes.postgresql import PostgresqlServer
from shared.bundles.bundle import Bundle
from shared.errors import TransportError
from shared.loopback import free_port
from shared.topics import Address
from shared.transport.mqtt import BrokerSettings, MqttTransport
from tests.bench.plant import Device, bodies

HOST = "127.0.0.1"
TIMES = 5
EVERY_S = 0.05
SETTLED = 40
"""Answers in a row before the next kill."""
GIVE_UP_S = 60.0
WANTED_S = 3.0


def measure(bundle_path: Path, folder: Path) -> list[dict[str, object]]:
    """Each of them killed TIMES times and started at once, while a device escalates."""
    rows: list[dict[str, object]] = []
    for count in (1, 2):
        place = folder / f"{count}-workers"
        place.mkdir()
        with _plant(bundle_path, place, count) as (device, broker, database, workers):
            body = bodies(bundle_path, Bundle.open(bundle_path), 1)[0]
            line = _Line(device, body)
            line.settle()
            for what, victim in (("broker", broker), ("database", database), ("cloud", workers[0])):
                seconds = [line.recovery(victim) for _ in range(TIMES)]
                rows.append(
                    {
                        "killed": what if what != "cloud" else f"cloud, one of {count}",
                        "workers": count,
                        "median_s": float(np.median(seconds)),
                        "most_s": max(seconds),
                        "wanted_s": WANTED_S,
                    }
                )
    return rows


class _Line:
    """Escalates every EVERY_S, and looks at what is answered."""

    def __init__(self, device: Device, body: bytes) -> None:
        self._device, self._body, self._sent = device, body, 0
        self._pause = threading.Event()

    def settle(self) -> None:
        """Until SETTLED escalations in a row were answered. Raises RuntimeError where none are."""
        give_up = time.monotonic() + GIVE_UP_S
        row = 0
        while row < SETTLED:
            if time.monotonic() > give_up:
                raise RuntimeError(f"not answered within {GIVE_UP_S:.0f} s")
            row = row + 1 if self._answered(self._escalate(), 1.0) else 0

    def recovery(self, victim: Child) -> float:
        """Seconds from the start of the victim, killed just before, to the first answer to what
        was escalated after it."""
        victim.kill()
        begun = time.perf_counter()
        # The process alone: PostgreSQL's and the broker's own `start` wait until they answer.
        Child.start(victim)
        fresh: list[int] = []
        while not (came := [self._device.answered.get(n) for n in fresh]) or not any(came):
            if time.perf_counter() - begun > GIVE_UP_S:
                raise RuntimeError(f"{victim.name} was not of use within {GIVE_UP_S:.0f} s")
            # What was killed may hold its port or memory for a moment yet.
            if victim.exit_code is not None:
                Child.start(victim)
            fresh.append(self._escalate())
            self._pause.wait(EVERY_S)
        first = min(at for at in came if at is not None)
        self.settle()
        return first - begun

    def _escalate(self) -> int:
        self._sent += 1
        try:
            self._device.escalate(self._sent, self._body)
        except TransportError:
            self._pause.wait(EVERY_S)
        return self._sent

    def _answered(self, sequence: int, within_s: float) -> bool:
        device = self._device
        with device.changed:
            return device.changed.wait_for(lambda: sequence in device.answered, within_s)


@contextmanager
def _plant(
    bundle_path: Path, folder: Path, count: int
) -> Iterator[tuple[Device, Child, Child, Sequence[Child]]]:
    port = free_port()
    broker, database = BrokerProcess(folder, HOST, port), PostgresqlServer(free_port())
    with ExitStack() as ends:
        ends.callback(database.close)
        ends.callback(stop_all, [broker])
        broker.start()
        database.start()
        url = database.create("splitsight")
        workers = [
            CloudProcess(
                *(folder, bundle_path),
                port=free_port(),
                broker_port=port,
                name=f"cloud-{number}",
                database=url,
            )
            for number in range(count)
        ]
        for worker in workers:
            ends.callback(stop_all, [worker.child])
            worker.start()
            worker.wait_until_ready()
        settings = BrokerSettings(port=port)  # type: ignore[call-arg]
        transport = MqttTransport(settings, "bench")
        bundle = Bundle.open(bundle_path)
        device = Device(transport, Address("bench", "one", "box"), bundle, "bench")
        transport.subscribe(device.address.topic("verdict"), device.arrived)
        transport.start()
        ends.callback(transport.stop)
        if not transport.wait_until_connected(10.0):
            raise RuntimeError("the broker did not answer")
        yield device, broker, database, [worker.child for worker in workers]
