"""How fast each backend runs a bundle's head here, and which of them agree with the bundle."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from shared.bundles.bundle import Bundle
from shared.bundles.manifest import HEAD, HEAD_FLOAT
from shared.bundles.parity import measure_head
from shared.clock import Clock
from shared.errors import RuntimeUnavailable, SplitsightError
from shared.log import get_logger
from shared.runtime.base import (
    RUNTIMES,
    Precision,
    Runtime,
    RuntimeFactory,
    RuntimeOptions,
    open_runtime,
)

log = get_logger("bench")

PRECISIONS: tuple[tuple[Precision, str], ...] = (("int8", HEAD), ("float32", HEAD_FLOAT))
WARM_UP = 10
AT_LEAST = 20


@dataclass(frozen=True, slots=True)
class BenchRow:
    """One way to run the head here.

    p50_ms …         of single frames, milliseconds
    frames_per_s     one frame after the other
    max_score_delta  largest difference from the golden scores, 0–1
    chosen           the fastest that is within the bundle's tolerance
    reason           why it was chosen or not, in words
    """

    runtime: str
    device: str
    precision: Precision
    split: str
    p50_ms: float
    p95_ms: float
    p99_ms: float
    frames_per_s: float
    max_score_delta: float
    chosen: bool
    reason: str


@dataclass(frozen=True, slots=True)
class _Trial:
    row: BenchRow
    agrees: bool


def bench(bundle: Bundle, *, seconds: float, threads: int, clock: Clock) -> list[BenchRow]:
    """Measure every installed backend, device and precision that can run the head.

    seconds   to measure each, after a warm-up
    Raises RuntimeUnavailable where none can.
    """
    trials = []
    for name, device in candidates():
        for precision, file in PRECISIONS:
            options = RuntimeOptions(device, threads)
            try:
                runtime = open_runtime(name, bundle.read(file), options)
                trials.append(_measure(bundle, runtime, precision, seconds, clock))
            except RuntimeUnavailable as error:
                log.info("backend_left_out", runtime=name, device=device, error=error.message)
                break
    if not trials:
        raise RuntimeUnavailable(
            f"no backend runs the head of {bundle.manifest.name} here",
            fix="install one: pip install 'splitsight[edge]'",
        )
    return _judge(trials, bundle.manifest.tolerance.score)


def candidates() -> Iterator[tuple[str, str]]:
    """Every installed runtime with each device that it says it has, else with `CPU`."""
    for loaded in RUNTIMES.load_all():
        if loaded.kind is None:
            log.info("backend_left_out", runtime=loaded.name, error=loaded.error)
            continue
        try:
            yield from ((loaded.name, device) for device in devices_of(loaded.kind))
        except Exception as error:  # noqa: BLE001 - a driver may raise anything
            log.info("backend_left_out", runtime=loaded.name, error=str(error))


def devices_of(runtime: RuntimeFactory) -> list[str]:
    """What `devices()` lists in the module that a runtime is written in. Raises what that does."""
    listing: Callable[[], list[str]] | None = getattr(
        sys.modules[runtime.__module__], "devices", None
    )
    return listing() if listing is not None else ["CPU"]


def _measure(
    bundle: Bundle, runtime: Runtime, precision: Precision, seconds: float, clock: Clock
) -> _Trial:
    try:
        parity = measure_head(bundle, runtime)
    except SplitsightError:
        raise
    except Exception as error:
        # Each backend has exceptions of its own; here they mean that it can't be used.
        raise RuntimeUnavailable(f"{runtime.name} fails on the head ({error})") from error
    pictures = [picture[np.newaxis] for picture in bundle.golden.inputs]
    for picture in pictures[:1] * WARM_UP:
        runtime.run(picture)
    times = _time(lambda i: runtime.run(pictures[i % len(pictures)]), seconds, clock)
    p50, p95, p99 = (float(p) * 1000 for p in np.percentile(times, [50, 95, 99]))
    row = BenchRow(
        runtime=runtime.name,
        device=runtime.device,
        precision=precision,
        split=bundle.manifest.split_point,
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        frames_per_s=len(times) / float(np.sum(times)),
        max_score_delta=parity.score_delta,
        chosen=False,
        reason=f"{parity.symbols_apart:.1%} of symbols differ",
    )
    return _Trial(row, parity.agrees)


def _time(run: Callable[[int], object], seconds: float, clock: Clock) -> list[float]:
    """Seconds that each run took."""
    times: list[float] = []
    began = clock.monotonic()
    while (before := clock.monotonic()) - began < seconds or len(times) < AT_LEAST:
        run(len(times))
        times.append(clock.monotonic() - before)
    return times


def _judge(trials: list[_Trial], tolerance: float) -> list[BenchRow]:
    """Choose the fastest that agrees, and say of each why it was chosen or not."""
    agreeing = [trial.row for trial in trials if trial.agrees]
    best = max(agreeing, key=lambda row: row.frames_per_s, default=None)
    rows = []
    for trial in trials:
        row = trial.row
        if not trial.agrees:
            reason = f"disagrees: scores differ by {row.max_score_delta:.3f}, at most {tolerance}"
            if row.max_score_delta <= tolerance:
                reason = f"disagrees: {row.reason}"
        elif row is best:
            reason = f"the fastest of {len(agreeing)} that agree with the golden outputs"
        else:
            fastest = best.frames_per_s if best else row.frames_per_s
            reason = f"agrees, but the chosen one is {fastest / row.frames_per_s:.1f} times as fast"
        rows.append(replace(row, chosen=row is best, reason=reason))
    return rows
