"""How long `splitsight cloud data check` takes for 100,000 pictures, and how much memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

from tests.bench import launcher

PICTURES = 100_000
SIDE = 64
KINDS = ("good", "good", "good", "scratch")


def measure(_bundle: Path, folder: Path) -> list[dict[str, object]]:
    """Makes the pictures in `folder`, and checks them by the command in a process of its own."""
    root = folder / "parts"
    make(root, PICTURES)
    report = folder / "took.json"
    check = [sys.executable, "-m", "shared.commands", "cloud", "data", "check"]
    subprocess.run(
        [sys.executable, "-I", "-S", launcher.__file__, report, *check, root],
        check=True,
        env={**os.environ, "COLUMNS": "200"},
    )
    return [{"pictures": PICTURES, **json.loads(report.read_text())}]


def make(root: Path, count: int) -> None:
    """Blotchy, grainy parts of SIDE × SIDE, every fourth with a defect, as JPEG."""
    rng = np.random.default_rng(0)
    for kind in set(KINDS):
        (root / kind).mkdir(parents=True)
    grain = rng.normal(0, 8, (256, SIDE, SIDE)).astype(np.float32)
    for number in range(count):
        coarse = rng.normal(140, 40, (8, 8)).astype(np.float32)
        shade = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        shade += grain[number % len(grain)]
        kind = KINDS[number % len(KINDS)]
        pixels = np.clip(shade, 0, 255).astype(np.uint8)
        if kind != "good":
            pixels[20:40, 30:33] = 20
        path = root / kind / f"{number:06}.jpg"
        path.write_bytes(cv2.imencode(".jpg", pixels)[1].tobytes())
