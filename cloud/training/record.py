"""The record of a training run: what went in, what came out, how it went."""

from __future__ import annotations

import csv
import json
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from cloud.datasets.dataset import Dataset, Sample
from cloud.datasets.masks import MaskFiles
from cloud.datasets.pictures import decode
from cloud.datasets.readers.tables.csv_table import COLUMNS
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
        "options": options.plain(),
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
    path, masks = folder / "splits.csv", folder / "masks"
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for s in dataset.samples:
            mask = _mask_file(s, masks) or ""
            writer.writerow([s.image, mask, s.defect, s.part, s.domain, s.split, s.lot, s.line])
    return path


def _mask_file(sample: Sample, folder: Path) -> Path | None:
    """A picture of the mask: the set's own, or one that is made where labels hold it."""
    mask = sample.mask
    if mask is None or (isinstance(mask, MaskFiles) and mask.is_plain):
        return mask.files[0] if mask else None
    folder.mkdir(exist_ok=True)
    path = folder / f"{mask.digest()[:16]}.png"
    height, width = decode(sample.image, 1).shape[:2]
    marked = mask.pixels(height, width).astype(np.uint8) * 255
    path.write_bytes(cv2.imencode(".png", marked)[1].tobytes())
    return path
