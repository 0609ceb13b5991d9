"""The same parts in 8 bits and in 12: what a network that was trained on each makes of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from cloud.datasets.dataset import Dataset, Sample, Split
from cloud.datasets.pixel_survey import survey
from cloud.evaluation.judgements import judge
from cloud.statistics.metrics import auroc
from cloud.training.assembly import assemble
from cloud.training.options import Options
from cloud.training.trainer import Trainer
from shared.features.pixel_settings import AS_IT_IS
from shared.splitnet.network import Architecture

SIDE = 64
EPOCHS = 10
PARTS: dict[Split, int] = {"train": 120, "calibrate": 40, "test": 120}
BRIGHTEST = 157
"""Grey levels of the parts: a camera is exposed so that nothing is ever blown out."""


def measure(bundle_path: Path, folder: Path) -> list[dict[str, object]]:
    """One row a form; AUROC of the test parts by the int8 head and by the whole system."""
    del bundle_path
    # More threads than a busy machine has cores wait for each other.
    torch.set_num_threads(1)
    forms: dict[str, Callable[[NDArray[np.uint8]], NDArray[Any]]] = {
        "8 bits": lambda pixels: pixels,
        "12 bits in 16": lambda pixels: pixels.astype(np.uint16) << 4,
        "12 bits, the upper 8 of 16 alone": lambda pixels: pixels >> 4,
    }
    rows: list[dict[str, object]] = []
    for number, (form, stored) in enumerate(forms.items()):
        where = folder / f"depth-{number}"
        rows.append({"parts in": form, **_trained(_made(form, where, stored), where)})
    return rows


def _made(name: str, folder: Path, stored: Callable[[NDArray[np.uint8]], NDArray[Any]]) -> Dataset:
    folder.mkdir(parents=True)
    samples: list[Sample] = []
    for split, count in PARTS.items():
        for number in range(count):
            defective = number % 2 == 1
            path = folder / f"{len(samples):03}.png"
            assert cv2.imwrite(str(path), stored(_part(len(samples), defective=defective)))
            samples.append(_sample(path, split, defective=defective))
    return Dataset(name, "none", tuple(samples))


def _trained(dataset: Dataset, folder: Path) -> dict[str, object]:
    pixels = survey(dataset, AS_IT_IS, 1).settings
    options = Options(
        architecture=Architecture(height=SIDE, width=SIDE),
        epochs=EPOCHS,
        tail_epochs=2,
        bottleneck_epochs=3,
        pixels=pixels,
    )
    trainer = Trainer(dataset, options, folder / "run")
    bundle = assemble(
        trainer.fit(), dataset, trainer, folder / "bundle", name="depth", version="1.0.0"
    )
    test = dataset.of("test")
    found = judge(bundle, test)
    return {
        "depth": str(pixels.depth),
        "edge_auroc": auroc(found.edge, test.labels),
        "system_auroc": auroc(found.cloud, test.labels),
    }


def _sample(path: Path, split: Split, *, defective: bool) -> Sample:
    kind = "stain" if defective else "good"
    return Sample(path, None, kind, float(defective), path.stem, "all", split)


def _part(seed: int, *, defective: bool) -> NDArray[np.uint8]:
    """Shaded and grainy, with a stain of some grey levels where it is defective."""
    random = np.random.default_rng(seed)
    down, across = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    a, b, c = random.uniform(0.5, 2, 3)
    picture = 100 + 25 * np.sin(3 * (a * across + b * down + c))
    picture += random.normal(0, 3, picture.shape)
    if defective:
        x, y = random.uniform(0.25, 0.75, 2)
        picture -= 26 * np.exp(-((across - x) ** 2 + (down - y) ** 2) / 0.01)
    return np.asarray(np.clip(picture, 0, BRIGHTEST), np.uint8)
