"""The record of a training run: what went in, what came out, how it went."""

from __future__ import annotations

import csv
import json
import platform
from dataclasses import asdict
from pathlib import Path

import torch

from cloud.training.dataset import Dataset
from cloud.training.readers.manifest import COLUMNS
from cloud.training.trainer import Trainer
from shared.bundle import Bundle


def write_record(folder: Path, trainer: Trainer, dataset: Dataset, bundle: Bundle) -> Path:
    """Write `record.json` into the run's folder and return its path."""
    path = folder / "record.json"
    record = {
        "bundle": bundle.id,
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
