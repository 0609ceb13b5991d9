"""The round trip of an escalation on loopback: encode, broker, decode, tail, answer."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np

from shared.bundles.bundle import Bundle
from tests.bench.plant import bodies, plant

RATE = 50.0
SECONDS = 20.0


def measure(bundle_path: Path, folder: Path) -> list[dict[str, object]]:
    """Percentiles of publish → verdict at a steady rate."""
    encoded = bodies(bundle_path, Bundle.open(bundle_path), 100)
    count = int(RATE * SECONDS)
    pause = threading.Event()
    with plant(bundle_path, folder, {"runtime": {"threads": 1}}) as device:
        started = time.perf_counter()
        for n in range(count):
            pause.wait(max(0.0, started + n / RATE - time.perf_counter()))
            device.escalate(n + 1, encoded[n % len(encoded)])
        device.wait_for(count, 10.0)
        times = device.latencies_ms()
    p50, p95, p99 = np.percentile(times, [50, 95, 99])
    return [
        {
            "escalations_per_s": RATE,
            "sent": count,
            "answered": len(times),
            "p50_ms": float(p50),
            "p95_ms": float(p95),
            "p99_ms": float(p99),
            "wanted_p99_ms": 50,
            "bytes_p50": float(np.median([len(body) for body in encoded])),
            "wanted_bytes": 6144,
        }
    ]
