"""What a box keeps while it is cut off, and what it costs the line when it is heard again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from edge.journal.journal import Journal
from edge.link.outbox import Outbox
from edge.link.presence import Presence, Snapshot
from edge.link.publisher import LinkPublisher
from edge.link.sketch_outbox import SketchOutbox
from edge.link.throttle import SPREAD_S
from edge.monitoring.health import BoxHealth
from edge.monitoring.sketch_recording import SketchBook
from shared.bundles.bundle import Bundle
from shared.clock import SystemClock
from shared.contracts import Decision
from shared.inspection import Inspection
from shared.worker import DeadWorkers
from tests.bench.plant import Device, bodies, plant

GROUPED = 20_000
PICTURE = bytes(20_000)
PARTITION_S, PARTS_PER_S = 600.0, 10.0
# Several partitions long, so that enough escalations fall into the time after it.
WAITING = 2 * int(PARTITION_S * PARTS_PER_S)
RATE = 20.0
ALONE = 400


def measure(bundle_path: Path, folder: Path) -> list[dict[str, object]]:
    """Records a second into the journal; then escalations' round trips, alone and while what
    waited for the cloud is sent."""
    rows = [_grouped(folder / "plain.db", None), _grouped(folder / "pictured.db", PICTURE)]
    encoded = bodies(bundle_path, Bundle.open(bundle_path), 100)
    with (
        plant(bundle_path, folder, {"runtime": {"threads": 1}}) as device,
        _opened(folder / "box.db") as journal,
    ):
        _fill(journal, WAITING)
        alone = _escalate(device, encoded, lambda sent: sent >= ALONE)
        clock, health = SystemClock(), BoxHealth()
        outbox = Outbox(journal, device.transport, device.address, clock=clock, health=health)
        outbox.listen()
        publisher = _publisher(device, outbox, clock)
        begun = time.perf_counter()
        publisher.start()
        beside = _escalate(device, encoded, lambda _sent: journal.waiting() == 0)
        took = time.perf_counter() - begun
        publisher.stop()
        # Before and after: what else the machine does changes within a minute.
        alone = np.concatenate([alone, _escalate(device, encoded, lambda sent: sent >= ALONE)])
        rate = WAITING / took
        p99 = [float(np.percentile(times, 99)) for times in (alone, beside)]
        rows.append(
            {
                "what": "after a partition of 10 min at 10 parts/s",
                "records_per_s": rate,
                "caught_up_s": SPREAD_S + PARTITION_S * PARTS_PER_S / rate,
                "wanted_s": 30,
                "times_real_time": rate / PARTS_PER_S,
                "wanted_times": 20,
                "answered_beside": len(beside),
                "p99_ms_alone": p99[0],
                "p99_ms_beside": p99[1],
                "ratio": p99[1] / p99[0],
                "wanted_ratio": 2,
            }
        )
    return rows


@contextmanager
def _opened(path: Path) -> Iterator[Journal]:
    journal = Journal.open(path, max_bytes=1 << 28, ring_bytes=1 << 28, health=BoxHealth())
    journal.start()
    try:
        yield journal
    finally:
        journal.close()


def _grouped(path: Path, picture: bytes | None) -> dict[str, object]:
    """Inspections a second, as fast as they are taken, each on disk at the end."""
    count = GROUPED if picture is None else GROUPED // 4
    with _opened(path) as journal:
        inspections = [_inspection(journal.boot, n) for n in range(1, count + 1)]
        pause = threading.Event()
        begun = time.perf_counter()
        for inspection in inspections:
            while not journal.record(inspection, picture, None):
                pause.wait(0.001)
        if not journal.flush(120):
            raise RuntimeError("the journal did not come to an end")
        took = time.perf_counter() - begun
    what = "journal" if picture is None else f"journal, each with a picture of {len(picture)} B"
    return {"what": what, "records_per_s": count / took, "wanted_per_s": 2500}


def _fill(journal: Journal, count: int) -> None:
    pause = threading.Event()
    for n in range(1, count + 1):
        while not journal.record(_inspection(journal.boot, n), None, None):
            pause.wait(0.001)
        journal.settle(n, 9.0, 0)
    if not journal.flush(120):
        raise RuntimeError("the journal did not come to an end")


def _escalate(device: Device, encoded: list[bytes], done: Callable[[int], bool]) -> np.ndarray:
    """Round trips, milliseconds, of escalations at RATE until `done(how many)`."""
    first = len(device.sent) + 1
    pause, started, sent = threading.Event(), time.perf_counter(), 0
    while not done(sent):
        pause.wait(max(0.0, started + sent / RATE - time.perf_counter()))
        device.escalate(first + sent, encoded[sent % len(encoded)])
        sent += 1
    device.wait_for(first + sent - 1, 10.0)
    return device.latencies_ms()[first - 1 :]


def _publisher(device: Device, outbox: Outbox, clock: SystemClock) -> LinkPublisher:
    presence = Presence(
        device.transport,
        device.address,
        boot=device.boot,
        bundle="",
        runtime="",
        clock=clock,
        look=Snapshot,
    )
    book = SketchBook(clock, boot=device.boot, bundle="")
    sketches = SketchOutbox(book, device.transport, device.address)
    return LinkPublisher(outbox, sketches, presence, DeadWorkers())


def _inspection(boot: str, sequence: int) -> Inspection:
    return Inspection(
        boot=boot,
        sequence=sequence,
        part=sequence,
        decision=Decision.PASS,
        verdict="pass",
        decided_by="edge",
        score=0.1,
        inspected_at=1.8e9 + sequence / PARTS_PER_S,
        edge_ms=2.0,
        total_ms=None,
        source=f"camera/{sequence}.png",
    )
