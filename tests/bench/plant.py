"""A broker, the cloud service as a process, and a client that plays a device."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cloud.broker.embedded import EmbeddedBroker
from cloud.datasets.elpv_wheel import elpv_cells
from hardware_sim.demo.cells import TEST_CELLS
from hardware_sim.processes.child import stop_all
from hardware_sim.processes.cloud import CloudProcess
from shared import wire
from shared.bundles.bundle import Bundle
from shared.bundles.manifest import HEAD
from shared.features.preprocessing import prepare
from shared.loopback import free_port
from shared.runtime.base import open_runtime
from shared.topics import Address
from shared.transport.base import Delivery
from shared.transport.mqtt import BrokerSettings, MqttTransport

WARM_UP = 1_000_000
"""Sequence numbers from here on are not measured."""


@dataclass
class Device:
    """Sends escalations and times the answers."""

    transport: MqttTransport
    address: Address
    bundle: Bundle
    boot: str
    sent: dict[int, float] = field(default_factory=dict)
    answered: dict[int, float] = field(default_factory=dict)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def escalate(self, sequence: int, body: bytes) -> None:
        message = wire.Escalation(
            boot=self.boot,
            sequence=sequence,
            part=sequence,
            pair=self.bundle.manifest.pair,
            shape=self.bundle.manifest.features.shape,
            remaining=10.0,
            expires=time.time() + 10.0,
            score=0.5,
        )
        self.sent[sequence] = time.perf_counter()
        self.transport.publish(self.address.topic("escalation"), wire.encode(message, body))

    def arrived(self, delivery: Delivery) -> None:
        verdict, _ = wire.decode(delivery.payload, wire.CloudVerdict)
        with self.changed:
            self.answered[verdict.sequence] = time.perf_counter()
            self.changed.notify_all()

    def wait_for(self, count: int, timeout_s: float) -> bool:
        with self.changed:
            return self.changed.wait_for(lambda: len(self.answered) >= count, timeout_s)

    def latencies_ms(self) -> np.ndarray:
        return np.array([(self.answered[n] - self.sent[n]) * 1e3 for n in sorted(self.answered)])


def bodies(bundle_path: Path, bundle: Bundle, count: int) -> list[bytes]:
    """Encoded features of real test cells."""
    wanted = (bundle_path.parent / TEST_CELLS).read_text().split()[:count]
    path_of = {cell.image.name: cell.image for cell in elpv_cells()}
    head, spec = open_runtime("onnx", bundle.read(HEAD)), bundle.manifest.input
    import cv2

    encoded = []
    for name in wanted:
        pixels = np.asarray(cv2.imread(str(path_of[name]), cv2.IMREAD_GRAYSCALE), np.uint8)
        picture = prepare(pixels, spec.height, spec.width, spec.channels)
        features = np.asarray(head.run(picture[np.newaxis])[0][0], np.float32)
        encoded.append(bundle.codec.encode(bundle.codec.quantise(features)))
    return encoded


@contextlib.contextmanager
def plant(bundle_path: Path, folder: Path, sections: dict[str, object]) -> Iterator[Device]:
    """Start broker and cloud, and connect one device; stop them all at the end."""
    port = free_port()
    cloud = CloudProcess(folder, bundle_path, port=free_port(), broker_port=port, sections=sections)
    bundle = Bundle.open(bundle_path)
    with EmbeddedBroker("auto", "127.0.0.1", port):
        cloud.start()
        transport = MqttTransport(BrokerSettings(port=port), "bench")  # type: ignore[call-arg]
        device = Device(transport, Address("bench", "one", "box"), bundle, "bench")
        transport.subscribe(device.address.topic("verdict"), device.arrived)
        transport.start()
        try:
            if not transport.wait_until_connected(10.0):
                raise RuntimeError("the broker did not answer")
            _warm_up(device, bodies(bundle_path, bundle, 1)[0])
            yield device
        finally:
            transport.stop()
            stop_all([cloud.child])


def _warm_up(device: Device, body: bytes) -> None:
    """Escalate until the cloud answers, then forget it."""
    give_up = time.monotonic() + 60
    sequence = WARM_UP
    while not device.answered:
        if time.monotonic() > give_up:
            raise RuntimeError("the cloud did not answer within 60 s")
        device.escalate(sequence, body)
        device.wait_for(1, 0.5)
        sequence += 1
    device.wait_for(sequence - WARM_UP, 2.0)
    device.sent.clear()
    device.answered.clear()
