"""A bundle's head for one accelerator: made, compiled, and held against the shipped one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from cloud.datasets.dataset import Dataset, Split
from cloud.datasets.pictures import load_pictures
from cloud.training.tiles import tiled
from shared.bundles.bundle import Bundle
from shared.bundles.manifest import HEAD, LITERT_HEAD, TargetHead
from shared.certification.gate import Gate, expit, logit
from shared.console import track
from shared.errors import CheckFailed, DataError
from shared.runtime.base import Runtime, open_runtime
from shared.targets.head_graph import accelerator_head
from shared.targets.litert_head import LitertHead
from shared.targets.litert_writer import litert_file
from shared.targets.target import LITERT
from shared.targets.vela_compiler import compile_head

MOST_PICTURES = 200

Pictures = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Exported:
    """entry: for the manifest; files: for the bundle, by name"""

    entry: TargetHead
    files: Mapping[str, bytes]


def export_head(bundle: Bundle, dataset: Dataset, target: str) -> Exported:
    """Make a target's head.

    dataset   that the bundle was trained on: its training parts bound what was float, its
              calibration parts tell the shift, and how many are decided alike
    target    as `target_named` gives it
    Raises BundleError for a head that can't be written for accelerators, CheckFailed where
    operators would not run on the NPU, and what `compile_head` raises.
    """
    head = bundle.read(HEAD)
    made = accelerator_head(head, _one_by_one(bundle, dataset, "train"))
    litert = litert_file(made.model)
    compiled = None if target == LITERT else compile_head(litert, target)
    if compiled is not None and compiled.off_npu:
        raise CheckFailed(
            f"{len(compiled.off_npu)} kinds of operators would not run on {target}: "
            f"{'; '.join(compiled.off_npu)}",
            fix="train the head anew with this version, or choose another target",
        )
    pictures = _one_by_one(bundle, dataset, "calibrate")
    shift, alike = _compared(
        head, LitertHead(litert, made.top), pictures, bundle.manifest.gate.gate
    )
    file = LITERT_HEAD if compiled is None else f"head.{target}.tflite"
    entry = TargetHead(
        source=bundle.manifest.files[HEAD].sha256,
        file=file,
        tool=compiled.tool if compiled else "splitsight",
        top=made.top,
        shift=shift,
        alike=alike,
        parts=len(pictures),
        milliseconds=compiled.milliseconds if compiled else None,
        sram_kib=compiled.sram_kib if compiled else None,
    )
    files = {LITERT_HEAD: litert} | ({file: compiled.file} if compiled else {})
    return Exported(entry, files)


def _one_by_one(bundle: Bundle, dataset: Dataset, split: Split) -> list[Pictures]:
    """At most MOST_PICTURES of a split's, spread over it, uint8 (1, c, h, w) each."""
    spec = bundle.manifest.input
    samples = dataset.of(split).samples
    if not samples:
        raise DataError(
            f"{dataset.name} has no {split} parts", fix="give the data that the bundle is made of"
        )
    step = math.ceil(len(samples) / MOST_PICTURES)
    some = tiled(replace(dataset, samples=samples[::step]), spec.pixels)
    with TemporaryDirectory() as cache:
        loaded = load_pictures(some, spec.shape, Path(cache), spec.pixels)
        return [np.array(picture[np.newaxis]) for picture in loaded.inputs]


def _compared(
    head: bytes, other: Runtime, pictures: list[Pictures], gate: Gate
) -> tuple[float, float]:
    """By how much the other's log-odds lie above the shipped head's in the middle, and the share
    of pictures that are decided alike when that is taken back."""
    shipped = open_runtime("onnx", head)
    scores = [
        [float(one.run(picture)[2].reshape(-1)[0]) for one in (shipped, other)]
        for picture in track(pictures, "comparing decisions")
    ]
    shift = float(np.median([logit(found) - logit(wanted) for wanted, found in scores]))
    alike = [
        gate.decide(wanted) == gate.decide(expit(logit(found) - shift)) for wanted, found in scores
    ]
    return shift, float(np.mean(alike))
