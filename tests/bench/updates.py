"""A model update of a box that inspects: how long it takes, and what the line notices of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edge.actuator.base import RecordingActuator
from edge.box import CameraBox
from edge.configuration.settings import settings_model
from edge.inspection.inspector import Inspector, load_head
from edge.updates.drift import DriftLimits
from edge.updates.observation import ModelWatch, ShadowRun
from hardware_sim.demo.cells import lanes
from shared.bundles.bundle import Bundle, amend_bundle
from shared.clock import SystemClock
from shared.contracts import Frame
from shared.errors import CheckFailed
from shared.runtime.base import RuntimeOptions
from shared.topics import everyone
from shared.transport.memory import MemoryBroker
from shared.wire import Desired, Reported, decode, encode
from tests.edge.rigs import rows_in
from tests.fleet.releases.mirror import Mirror, files_of
from tests.fleet.releases.rigs import EVERYWHERE, Yard

RATE = 25.0
ALONE_S = 3.0
SHADOW_PARTS = 50
BLOCKS = 16
PARTS_A_BLOCK = 40
HEALTH_S = 5.0
LIMIT_S = 180.0


def measure(bundle_path: Path, folder: Path) -> list[dict[str, object]]:
    """Per runtime: one update of the shipped bundle to another version of itself."""
    (lane,) = lanes(bundle_path, 1)
    lane.write(folder / "cells.txt")
    bundle = Bundle.open(bundle_path)
    return [
        _update(bundle_path, folder / name, name, folder) | _beside(bundle, name)
        for name in ("openvino", "onnx")
    ]


def _update(bundle_path: Path, folder: Path, runtime: str, cells: Path) -> dict[str, object]:
    folder.mkdir()
    yard = Yard(folder / "yard")
    bundle = Bundle.open(bundle_path)
    fresh = amend_bundle(bundle, {"version": "99.0.0"}, folder / "fresh")
    facts = yard.adding.add_model(fresh, EVERYWHERE)
    yard.publish("models")
    (folder / "root.json").write_bytes(yard.root)
    mirror = Mirror(files_of(yard.folder / "repository"))
    mirror.start()
    broker = MemoryBroker()
    cloud = broker.transport()
    cloud.start()
    reports: list[Reported] = []
    cloud.subscribe(everyone("reply"), lambda d: reports.append(decode(d.payload, Reported)[0]))
    settings = settings_model().model_validate(
        {
            "site": "plant",
            "line": "line",
            "device": "box",
            "bundle": bundle_path,
            "camera": {"kind": "folder", "path": cells / "cells.txt", "rate": RATE, "loop": True},
            "actuator": {"kind": "log"},
            "runtime": {"name": runtime},
            "journal": {"path": folder / "journal.db"},
            "updates": {
                "folder": folder / "updates",
                "root": folder / "root.json",
                "server": mirror.url,
            },
        }
    )
    box = CameraBox(
        settings, SystemClock(), transport=broker.transport(), actuator=RecordingActuator()
    )
    running = threading.Thread(target=box.run, daemon=True)
    running.start()
    threading.Event().wait(ALONE_S)
    asked = time.time()
    wanted = Desired(1, "", {"model": facts.path}, None, SHADOW_PARTS, HEALTH_S)
    cloud.publish(settings.address.topic("command"), encode(wanted), retain=True)
    _await(lambda: reports[-1:] and (reports[-1].failed or reports[-1].running["model"]))
    last = reports[-1]
    if last.failed:
        raise CheckFailed(f"the update was given up: {last.failed}", fix="free the machine")
    box.stop()
    running.join()
    mirror.close()
    return _figures(runtime, rows_in(folder), reports, asked, last)


def _figures(
    runtime: str,
    rows: list[dict[str, object]],
    reports: list[Reported],
    asked: float,
    last: Reported,
) -> dict[str, object]:
    at = np.array([float(str(row["inspected_at"])) for row in rows])
    began = {report.phase: report.at for report in reversed(reports)}
    gaps = np.diff(at)
    swap = int(np.searchsorted(at, began["trial"]))
    return {
        "runtime": runtime,
        "fetched_and_proven_s": began["shadowing"] - asked,
        "desired_to_live_s": last.at - asked,
        "of_which_waited_s": SHADOW_PARTS / RATE + HEALTH_S,
        "swap_gap_ms": last.facts["swap_gap_ms"],
        "parts_apart_ms": 1000 / RATE,
        "parts_apart_at_swap_ms": float(gaps[max(swap - 3, 0) : swap + 3].max() * 1000),
    }


def _beside(bundle: Bundle, runtime: str) -> dict[str, object]:
    """The live head with and without a candidate beside it, in turns: the machine is never ours."""
    live, candidate = (_inspector(bundle, runtime) for _ in range(2))
    pictures = [
        np.ascontiguousarray(one.transpose(1, 2, 0).squeeze()) for one in bundle.golden.inputs
    ]
    watch, clock, limits = ModelWatch(), SystemClock(), DriftLimits(budget_s=10.0)
    took: dict[bool, list[float]] = {False: [], True: []}
    looked = 0
    for block in range(BLOCKS):
        shaded = bool(block % 2)
        shadow = ShadowRun(candidate, PARTS_A_BLOCK, limits, clock) if shaded else None
        if shadow is not None:
            shadow.start()
        watch.shade(shadow)
        for part in range(PARTS_A_BLOCK):
            frame = Frame(pictures[part % len(pictures)], part, 0.0, 1.0, "")
            begun = time.perf_counter()
            finding = live.look(frame)
            seconds = time.perf_counter() - begun
            watch.saw(frame, finding, seconds)
            took[shaded].append(seconds * 1000)
            threading.Event().wait(max(0.0, 1 / RATE - seconds))
        if shadow is not None:
            looked += int(shadow.opinion().figures["shadow_parts"])
            shadow.stop()
    alone, beside = (np.quantile(took[shaded], (0.5, 0.99)) for shaded in (False, True))
    return {
        "alone_p50_ms": float(alone[0]),
        "alone_p99_ms": float(alone[1]),
        "shadow_p50_ms": float(beside[0]),
        "shadow_p99_ms": float(beside[1]),
        "ratio_p50": float(beside[0] / alone[0]),
        "ratio_p99": float(beside[1] / alone[1]),
        "share_shadowed": looked / (BLOCKS // 2 * PARTS_A_BLOCK),
    }


def _inspector(bundle: Bundle, runtime: str) -> Inspector:
    chosen = load_head(bundle, runtime, RuntimeOptions())
    manifest = bundle.manifest
    return Inspector(chosen.runtime, bundle.codec, manifest.gate.gate, manifest.input.shape)


def _await(holds: Callable[[], object]) -> None:
    until = time.monotonic() + LIMIT_S
    while not holds():
        if time.monotonic() > until:
            raise TimeoutError(f"the update did not end within {LIMIT_S:.0f} s")
        threading.Event().wait(0.05)
