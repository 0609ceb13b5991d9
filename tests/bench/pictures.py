"""A picture on demand: from a box's ring to the browser's side of the cloud, on loopback."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import yaml

from cloud.broker.embedded import EmbeddedBroker
from hardware_sim.demo.cells import lanes
from hardware_sim.processes.child import splitsight, stop_all
from hardware_sim.processes.cloud import CloudProcess
from shared.loopback import free_port
from tests.support.waiting import wait_until

PARTS = 40
LOOKS = 120
PAUSE_S = 0.3
RATE = 5.0


def measure(bundle: Path, folder: Path) -> list[dict[str, object]]:
    """Percentiles of a look, whole picture and head's map, while the box inspects its line."""
    port = free_port()
    cloud = CloudProcess(folder, bundle, port=free_port(), broker_port=port, sections={})
    with EmbeddedBroker("auto", "127.0.0.1", port):
        cloud.start()
        cloud.wait_until_ready()
        box = _box(bundle, folder, port)
        try:
            parts = wait_until(lambda: _kept(cloud.url), f"{PARTS} parts with a picture")
            alone = _edge_ms(cloud.url)
            rows = [
                _looks(cloud.url, parts, "picture", "full"),
                _looks(cloud.url, parts, "heat.png?of=head", "head's map"),
            ]
        finally:
            box.terminate()
            box.wait(20)
            stop_all([cloud.child])
    return [{**row, "edge_ms_alone": alone} for row in rows]


def _edge_ms(url: str, since: float = 0.0) -> float:
    """The median of the newest parts, from the trigger to the gate's decision."""
    asked = {"limit": 200, "since": since}
    found = httpx.get(f"{url}/api/v1/inspections", params=asked, timeout=30).json()
    return float(np.median([one["edge_ms"] for one in found["inspections"]]))


def _box(bundle: Path, folder: Path, port: int) -> subprocess.Popen[bytes]:
    (lane,) = lanes(bundle, 1)
    pictures = folder / "cells.txt"
    lane.write(pictures)
    config = folder / "edge.yaml"
    settings = {
        "site": "bench",
        "line": "one",
        "device": "box",
        "bundle": str(bundle.resolve()),
        "broker": {"port": port},
        "camera": {"kind": "folder", "path": str(pictures), "loop": True, "rate": RATE},
        "actuator": {"kind": "log"},
        "runtime": {"threads": 1},
        "journal": {"path": str(folder / "journal.db"), "ring_keep": "all"},
        "pictures": {"policy": "full"},
    }
    config.write_text(yaml.safe_dump(settings))
    with (folder / "box.log").open("wb") as log:
        return subprocess.Popen(splitsight("edge", "run", "--config", str(config)), stderr=log)


def _kept(url: str) -> list[str]:
    """Addresses of parts whose picture their box has kept, once there are enough."""
    found = httpx.get(f"{url}/api/v1/inspections", params={"limit": 200}, timeout=30).json()
    parts = [one for one in found["inspections"] if one["digest"] not in {"", "none", None}]
    addresses = [f"{one['device']}/{one['boot']}/{one['sequence']}" for one in parts]
    return addresses if len(addresses) >= PARTS else []


def _looks(url: str, parts: list[str], what: str, name: str) -> dict[str, object]:
    times: list[float] = []
    since = time.time()
    sizes: list[int] = []
    with httpx.Client(base_url=url, timeout=60) as client:
        for number in range(LOOKS):
            part = parts[number % len(parts)]
            begun = time.perf_counter()
            answer: Any = client.get(f"/api/v1/inspections/{part}/{what}")
            took = time.perf_counter() - begun
            if answer.status_code != 200:
                raise RuntimeError(answer.text[:300])
            times.append(took)
            sizes.append(len(answer.content))
            # As people look, and below what a box gives in a second.
            time.sleep(max(0.0, PAUSE_S - took))
    p50, p95, p99 = np.percentile(times, [50, 95, 99]) * 1000
    return {
        "what": name,
        "looks": LOOKS,
        "bytes_median": int(np.median(sizes)),
        "first_ms": times[0] * 1000,
        "edge_ms_meanwhile": _edge_ms(url, since),
        "p50_ms": float(p50),
        "p95_ms": float(p95),
        "p99_ms": float(p99),
        "wanted_p95_ms": 300,
    }
