"""What encoding costs a box: ordinary features, noise, and the whole ladder, beside the head."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from shared.bundles.bundle import Bundle
from shared.bundles.manifest import HEAD
from shared.bundles.runtime_choice import choose_runtime
from shared.features.codec import LADDER
from shared.runtime.base import RuntimeOptions
from shared.runtime.settings import AUTO

TURNS = 2000


def measure(bundle_path: Path, folder: Path) -> list[dict[str, object]]:
    """Median and 99th percentile of TURNS, ms; the noise is uniform over all symbols."""
    bundle = Bundle.open(bundle_path)
    codec, cap = bundle.codec, bundle.manifest.features.cap_bytes
    ordinary = bundle.golden.symbols[0]
    rng = np.random.default_rng(0)
    noise = rng.integers(-codec.limit, codec.limit + 1, codec.shape).astype(np.int8)
    head = choose_runtime(AUTO, bundle.read(HEAD), RuntimeOptions("CPU", 1)).runtime
    picture = bundle.golden.inputs[:1]
    rows = {
        "head": lambda: head.run(picture),
        "ordinary features": lambda: codec.encode_within(ordinary, cap),
        f"noise, within {cap} B": lambda: codec.encode_within(noise, cap),
        f"noise, all {len(LADDER)} coarsenesses": lambda: codec.encode_within(noise, 0),
    }
    return [{"what": what, **_timed(do)} for what, do in rows.items()]


def _timed(do: Callable[[], object]) -> dict[str, float]:
    times = []
    for _ in range(TURNS):
        started = time.perf_counter()
        do()
        times.append((time.perf_counter() - started) * 1e3)
    return {"p50_ms": float(np.median(times)), "p99_ms": float(np.percentile(times, 99))}
