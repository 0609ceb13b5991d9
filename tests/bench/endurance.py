"""Whether box and cloud need more memory the longer they run: a million parts of each."""

from __future__ import annotations

import itertools
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import psutil
import yaml

from cloud.broker.embedded import EmbeddedBroker
from hardware_sim.processes.child import Child, splitsight, stop_all
from hardware_sim.processes.cloud import CloudProcess
from shared.loopback import free_port
from shared.topics import Address
from tests.bundles import make_bundle
from tests.cloud.makers import batch, row
from tests.cloud.server import Device

PARTS = int(os.environ.get("ENDURANCE_PARTS", "1000000"))
LINES = 4
BATCH = 50
# Pools, caches and threads have come by then.
SETTLED = 0.05
SHOWN = (0.05, 0.1, 0.25, 0.5, 0.75, 0.97)
LOOK_S = 1.0
SIDE = 64
# Of what a tiny head makes of a level: nine in ten pass, some are rejected, one in 40 is escalated.
LEVELS = [*[90] * 36, *[170] * 3, 127]
WANTED_MB = 5.0


def measure(_bundle_path: Path, folder: Path) -> list[dict[str, object]]:
    """Growth from 5 to 97 % of all parts, of one box as fast as it can, and of a cloud with four
    lines more, which have their receipts before they send on."""
    bundle = make_bundle(folder / "tiny", height=SIDE, width=SIDE)
    port = free_port()
    cloud = CloudProcess(folder, bundle.path, port=free_port(), broker_port=port)
    with ExitStack() as ends:
        ends.enter_context(EmbeddedBroker("auto", "127.0.0.1", port))
        ends.callback(stop_all, [cloud.child])
        cloud.start()
        cloud.wait_until_ready()
        box, parts_of_box = _box(folder, bundle.path, port)
        ends.callback(stop_all, [box])
        box.start()
        stopping = threading.Event()
        reported = [0] * LINES
        for number in range(LINES):
            line = threading.Thread(target=_report, args=(port, number, reported, stopping))
            line.start()
            ends.callback(line.join)
        ends.callback(stopping.set)
        watched = [
            _Watched("box", box, parts_of_box),
            _Watched("cloud", cloud.child, lambda: sum(reported)),
        ]
        pause, begun = threading.Event(), time.perf_counter()
        while not all(one.done for one in watched):
            for one in watched:
                one.look()
            pause.wait(LOOK_S)
        took = time.perf_counter() - begun
    return [one.row(took) for one in watched]


@dataclass
class _Watched:
    """What a process held, by how many parts it had seen."""

    name: str
    child: Child
    parts: Callable[[], int]
    held: list[tuple[int, int]] = field(default_factory=list)

    @property
    def done(self) -> bool:
        return bool(self.held) and self.held[-1][0] >= SHOWN[-1] * PARTS

    def look(self) -> None:
        """Raises RuntimeError where it ended too early."""
        if self.done:
            return
        if self.child.pid is None:
            raise RuntimeError(f"{self.name} ended: {self.child.last_words()}")
        rss = psutil.Process(self.child.pid).memory_info().rss
        self.held.append((self.parts(), rss))

    def row(self, took_s: float) -> dict[str, object]:
        figures = {f"mb_{100 * share:.0f}_percent": self._around(share) for share in SHOWN}
        growth = self._around(SHOWN[-1]) - self._around(SETTLED)
        seen = self.held[-1][0]
        wanted = {"growth_mb": growth, "wanted_mb": WANTED_MB}
        return {"what": self.name, "parts": seen, **figures, **wanted, "took_s": took_s}

    def _around(self, share: float) -> float:
        """The median of what was seen within 2 % of all parts there, megabytes."""
        parts = np.array([count for count, _ in self.held])
        held = np.array([rss for _, rss in self.held])
        near = np.abs(parts - share * PARTS) <= 0.02 * PARTS
        nearest = np.argmin(np.abs(parts - share * PARTS))
        return float(np.median(held[near]) if near.any() else held[nearest]) / 1e6


def _box(folder: Path, bundle: Path, port: int) -> tuple[Child, Callable[[], int]]:
    """A box that sees its pictures again and again, and how many parts it has journaled."""
    names = [folder / f"{number}.png" for number in range(len(LEVELS))]
    random = np.random.default_rng(0)
    for name, level in zip(names, LEVELS, strict=True):
        picture = random.normal(level, 4, (SIDE, SIDE)).clip(0, 255).astype(np.uint8)
        cv2.imwrite(str(name), picture)
    pictures, journal = folder / "pictures.txt", folder / "journal.db"
    pictures.write_text("".join(f"{name}\n" for name in names))
    settings = {
        "site": "bench",
        "line": "one",
        "device": "box",
        "bundle": str(bundle.resolve()),
        "broker": {"port": port},
        "camera": {"kind": "folder", "path": str(pictures), "loop": True, "limit": PARTS},
        "actuator": {"kind": "log"},
        "runtime": {"name": "onnx", "threads": 1},
        "journal": {"path": str(journal)},
    }
    config = folder / "edge.yaml"
    config.write_text(yaml.safe_dump(settings))
    command = splitsight("edge", "run", "--config", str(config))

    def parts() -> int:
        if not journal.exists():
            return 0
        with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as found:
            return _highest(found)

    return Child("box", command, folder / "box.log"), parts


def _highest(journal: sqlite3.Connection) -> int:
    try:
        return int(journal.execute("SELECT max(sequence) FROM inspections").fetchone()[0] or 0)
    except sqlite3.OperationalError:
        # It is being made.
        return 0


def _report(port: int, number: int, reported: list[int], stopping: threading.Event) -> None:
    device = Device(_Broker(port), Address("bench", f"line-{number}", f"box-{number}"))
    try:
        for sent in itertools.count():
            if stopping.is_set() or sum(reported) >= PARTS:
                break
            first, now = sent * BATCH + 1, time.time()
            rows = [row(part, inspected_at=now) for part in range(first, first + BATCH)]
            device.report(batch(sent, *rows))
            reported[number] += BATCH
    finally:
        device.stop()


@dataclass
class _Broker:
    broker_port: int
