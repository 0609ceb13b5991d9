"""The record of a training run: what went in, what came out, how it went."""

from __future__ import annotations

import csv
import json
import platform
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from cloud.datasets.dataset import Dataset
from cloud.datasets.readers.manifest import COLUMNS
from shared.bundles.bundle import Bundle
from shared.bundles.manifest import TRAINED

if TYPE_CHECKING:
    from cloud.training.trainer import Trainer

PIXEL_MODEL = "pixels.onnx"


def write_record(folder: Path, trainer: Trainer, dataset: Dataset, bundle: Bundle) -> Path:
    """Write `record.json` into the run's folder and return its path; beside it the fingerprints
    of what was learned from, for trainings that build on this one."""
    path = folder / "record.json"
    (folder / TRAINED).write_bytes(bundle.read(TRAINED))
    record = {
        "bundle": bundle.id,
        "pair": bundle.manifest.pair,
        "options": asdict(trainer.options),
        "data": dataset.summary() | {"hash": bundle.manifest.training.data_hash},
        "metrics": bundle.manifest.training.metrics,
        "curves": trainer.curves,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    path.write_text(json.dumps(record, indent=2) + "\n")
    return path


def write_splits(folder: Path, dataset: Dataset) -> Path:
    """Write which picture went where: a manifest that divides the set in the same way again."""
    path = folder / "splits.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for s in dataset.samples:
            writer.writerow([s.image, s.mask or "", s.defect, s.part, s.domain, s.split])
    return path
