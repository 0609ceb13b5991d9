"""What drawing a simulated line's parts costs: every surface, half of them defective."""

from __future__ import annotations

import time
from pathlib import Path
from typing import get_args

import cv2
import numpy as np

from hardware_sim.line.drawing.parts import DrawingSettings, DrawnParts
from hardware_sim.line.drawing.surface import SurfaceName

ROUNDS, PARTS = 9, 40
SIDE = 256


def measure(bundle_path: Path, folder: Path) -> list[dict[str, object]]:
    """Parts a second of processor time; surfaces take turns, the median of the rounds counts."""
    del bundle_path, folder
    surfaces: tuple[SurfaceName, ...] = get_args(SurfaceName)
    sources = {
        surface: DrawnParts(DrawingSettings(surface=surface, height=SIDE, width=SIDE), seed=0)
        for surface in surfaces
    }
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    rates: dict[SurfaceName, list[float]] = {surface: [] for surface in surfaces}
    for turn in range(ROUNDS):
        for surface, source in sources.items():
            rates[surface].append(_rate(source, turn))
    cv2.setNumThreads(threads)
    return [
        {"surface": surface, "parts_per_s": float(np.median(rates[surface])), "wanted": 60.0}
        for surface in surfaces
    ]


def _rate(source: DrawnParts, turn: int) -> float:
    began = time.process_time()
    for number in range(turn * PARTS + 1, (turn + 1) * PARTS + 1):
        source.part(number, rate=0.5)
    return PARTS / (time.process_time() - began)
