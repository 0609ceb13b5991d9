"""Do float and int8, and one backend and another, give the same verdicts on real pictures?"""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from cloud.datasets.dataset import Dataset
from cloud.datasets.pictures import inputs_of_file
from cloud.statistics.metrics import auroc
from shared.bundles.bundle import Bundle
from shared.bundles.manifest import HEAD, HEAD_FLOAT
from shared.certification.gate import Gate
from shared.console import track
from shared.errors import BundleMismatch, TrainingError
from shared.runtime.base import RuntimeOptions, open_runtime

FLOAT, INT8 = "float32", "int8"
BACKENDS = ("onnx", "openvino")
Picture = NDArray[np.uint8]
Head = Callable[[Picture], float]
Way = tuple[str, str]
"""A backend and a precision."""

# Wanted shares of equal decisions, and the largest change of the AUROC.
SAME_FLOAT, SAME_INT8, SAME_QUANTISED = 1.0, 0.999, 0.99
AUROC_CHANGE = 0.003


class AgreementRow(msgspec.Struct, frozen=True):
    """One way to run the head beside another.

    same                  share of the pictures on which the gate decides alike, 0–1
    mean_delta max_delta  of the scores' differences, 0–1
    auroc, beside_auroc   of the first and of the second
    ok                    at least `wanted` are decided alike, and quantising leaves the AUROC
    """

    head: str
    beside: str
    pictures: int
    same: float
    wanted: float
    mean_delta: float
    max_delta: float
    auroc: float
    beside_auroc: float
    ok: bool


def compare(
    bundle: Bundle, dataset: Dataset, run: Path | None, threads: int = 1
) -> list[AgreementRow]:
    """Every pair of heads on the data set's pictures.

    run   the folder of the training, for torch beside ONNX; None: left out
    Raises RuntimeUnavailable without a backend, BundleMismatch where the run made another bundle.
    """
    heads: dict[Way, Head] = {}
    for precision, file in ((FLOAT, HEAD_FLOAT), (INT8, HEAD)):
        for name in BACKENDS:
            heads[name, precision] = _onnx_head(bundle.read(file), name, threads)
    if run is not None:
        heads["torch", FLOAT] = _torch_head(bundle, run)
    spec = bundle.manifest.input
    scores: dict[Way, list[float]] = {key: [] for key in heads}
    for sample in track(dataset.samples, "judging"):
        inputs = inputs_of_file(sample.image, spec)
        for key, head in heads.items():
            # Of tiles the most suspicious speaks for the picture.
            scores[key].append(max(head(one[np.newaxis]) for one in inputs))
    judged = _Judged(
        {key: np.array(values) for key, values in scores.items()},
        dataset.labels,
        bundle.manifest.gate.gate,
    )
    pairs = chain(
        [(("torch", FLOAT), ("onnx", FLOAT), SAME_FLOAT)] if run is not None else [],
        [(("onnx", INT8), ("openvino", INT8), SAME_INT8)],
        [((name, INT8), (name, FLOAT), SAME_QUANTISED) for name in BACKENDS],
    )
    return [_row(judged, one, other, wanted) for one, other, wanted in pairs]


class _Judged(NamedTuple):
    scores: dict[Way, NDArray[np.float64]]
    labels: NDArray[np.bool_]
    gate: Gate


def _row(judged: _Judged, one: Way, other: Way, wanted: float) -> AgreementRow:
    scores, beside = judged.scores[one], judged.scores[other]
    labels, decide = judged.labels, judged.gate.decide
    same = np.mean([decide(a) == decide(b) for a, b in zip(scores, beside, strict=True)])
    deltas = np.abs(scores - beside)
    areas = auroc(scores, labels), auroc(beside, labels)
    kept = not abs(areas[0] - areas[1]) > AUROC_CHANGE
    return AgreementRow(
        head=" ".join(one),
        beside=" ".join(other),
        pictures=len(scores),
        same=float(same),
        wanted=wanted,
        mean_delta=float(deltas.mean()),
        max_delta=float(deltas.max()),
        auroc=areas[0],
        beside_auroc=areas[1],
        ok=bool(same >= wanted and kept),
    )


def _onnx_head(model: bytes, name: str, threads: int) -> Head:
    runtime = open_runtime(name, model, RuntimeOptions(threads=threads))
    return lambda picture: float(np.ravel(runtime.run(picture)[2])[0])


def _torch_head(bundle: Bundle, run: Path) -> Head:
    """The head as the training left it. Raises TrainingError where the run can't be read."""
    import torch  # noqa: PLC0415 - only where a run is compared

    from cloud.training.checkpoint import trained_net  # noqa: PLC0415
    from shared.splitnet.fusion import DeployedHead  # noqa: PLC0415

    try:
        made = json.loads((run / "record.json").read_text())["pair"]
    except (OSError, ValueError, KeyError) as error:
        raise TrainingError(
            f"{run} has no record.json that can be read ({error})",
            fix="give the run folder of the bundle's own training",
        ) from error
    if made != bundle.manifest.pair:
        raise BundleMismatch(
            f"{run} made the pair {made}, the bundle holds {bundle.manifest.pair}",
            fix="give the run folder of the bundle's own training",
        )
    head = DeployedHead(trained_net(run).head).eval()

    def score(picture: Picture) -> float:
        with torch.inference_mode():
            return float(head(torch.from_numpy(picture))[2])

    return score
