"""The cloud service under load beside the bare tail at its best batch."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from shared.bundles.bundle import Bundle
from shared.bundles.manifest import TAIL
from shared.bundles.runtime_choice import choose_runtime
from shared.runtime.base import RuntimeOptions, open_runtime
from shared.runtime.settings import AUTO
from tests.bench.plant import Device, bodies, plant

BATCHES = (1, 2, 4, 8, 16)
SECONDS = 2.0
ESCALATIONS = 600
WINDOW = 32
WAYS = ((1, 0), (4, 0), (8, 0), (8, 2), (16, 2))


def measure(bundle_path: Path, folder: Path) -> list[dict[str, object]]:
    """Parts a second of the tail alone for each batch, then of the whole service."""
    bundle = Bundle.open(bundle_path)
    options = RuntimeOptions("CPU", 1)
    name = choose_runtime(AUTO, bundle.read(TAIL), options).runtime.name
    alone = {batch: _tail_alone(bundle, name, batch) for batch in BATCHES}
    best = max(alone, key=lambda batch: alone[batch])
    encoded = bodies(bundle_path, bundle, 100)
    rows: list[dict[str, object]] = [
        {"what": f"tail alone, batch {batch}", "parts_per_s": rate, "ratio": rate / alone[best]}
        for batch, rate in alone.items()
    ]
    for batch, wait_ms in WAYS:
        sections: dict[str, object] = {
            "runtime": {"name": name, "threads": 1},
            "tail": {"max_batch": batch, "max_wait_ms": wait_ms},
        }
        with plant(bundle_path, folder, sections) as device:
            rate = _flood(device, encoded)
        what = f"service, batch ≤ {batch}, wait ≤ {wait_ms} ms (wanted 0.6)"
        rows.append({"what": what, "parts_per_s": rate, "ratio": rate / alone[best]})
    return rows


def _tail_alone(bundle: Bundle, name: str, batch: int) -> float:
    runtime = open_runtime(name, bundle.read(TAIL), RuntimeOptions("CPU", 1))
    symbols = np.resize(bundle.golden.symbols, (batch, *bundle.manifest.features.shape))
    runtime.run(symbols)
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < SECONDS:
        runtime.run(symbols)
        count += batch
    return count / (time.perf_counter() - started)


def _flood(device: Device, encoded: list[bytes]) -> float:
    """Keep WINDOW escalations unanswered, as many busy boxes would; answers a second."""
    started = time.perf_counter()
    for n in range(ESCALATIONS):
        if n >= WINDOW and not device.wait_for(n - WINDOW + 1, 30.0):
            raise RuntimeError(f"only {len(device.answered)} of {n} escalations were answered")
        device.escalate(n + 1, encoded[n % len(encoded)])
    if not device.wait_for(ESCALATIONS, 30.0):
        raise RuntimeError("not all escalations were answered")
    return ESCALATIONS / (time.perf_counter() - started)
