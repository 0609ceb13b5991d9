"""The record of a training run: what went in, what came out, how it went."""

from __future__ import annotations

import csv
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from cloud.datasets.dataset import Dataset
from cloud.datasets.readers.manifest import COLUMNS
from cloud.experiments.mlflow_log import RECORD
from cloud.experiments.revision import code_revision
from cloud.training.options import Options
from shared.bundles.bundle import Bundle
from shared.bundles.manifest import MANIFEST, TRAINED

PIXEL_MODEL = "pixels.onnx"


def known_at_start(name: str, options: Options, dataset: Dataset) -> dict[str, Any]:
    """What a record holds before anything is learned.

    name       of the bundle to be, with its version
    """
    return {
        "name": name,
        "options": asdict(options),
        "data": dataset.summary() | {"hash": dataset.content_hash()},
        "splitsight": version("splitsight"),
        "revision": code_revision(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def write_record(
    folder: Path, facts: Mapping[str, Any], curves: list[dict[str, float]], bundle: Bundle
) -> dict[str, Any]:
    """Write `record.json` into the run's folder, and what it says. Beside it lie the bundle's
    manifest and the fingerprints of what was learned from, for trainings that build on this one.

    facts   as `known_at_start` gave them
    """
    (folder / TRAINED).write_bytes(bundle.read(TRAINED))
    (folder / MANIFEST).write_text(bundle.manifest.model_dump_json(indent=2) + "\n")
    record = {
        "bundle": bundle.id,
        "pair": bundle.manifest.pair,
        **facts,
        "metrics": bundle.manifest.training.metrics,
        "curves": curves,
    }
    (folder / RECORD).write_text(json.dumps(record, indent=2) + "\n")
    return record


def write_splits(folder: Path, dataset: Dataset) -> Path:
    """Write which picture went where: a manifest that divides the set in the same way again."""
    path = folder / "splits.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for s in dataset.samples:
            writer.writerow([s.image, s.mask or "", s.defect, s.part, s.domain, s.split])
    return path
