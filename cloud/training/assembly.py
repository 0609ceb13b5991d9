"""A trained network → a bundle: export, quantise, fit the codec, choose the gate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cloud.datasets.dataset import Dataset
from cloud.datasets.fingerprints import seen_pictures
from cloud.datasets.pictures import eight_bits_of, load_pictures
from cloud.statistics.metrics import auroc, best_threshold
from cloud.survey.shortages import doubts
from cloud.training.model import ExportedModel, HalfScores, export_model
from cloud.training.options import Options
from cloud.training.trainer import Trainer
from shared.bundles.bundle import Bundle, write_bundle
from shared.bundles.manifest import CODEC, DATA_VERSION, GOLDEN, HEAD, HEAD_FLOAT, TAIL
from shared.certification.gate import Gate, choose_gate
from shared.console import err, track
from shared.format import iso
from shared.splitnet.network import SplitNet

ESCAPE_TARGET = 0.04
OVERKILL_TARGET = 0.02
TAIL_WEIGHTS = (0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a bundle comes from, as its manifest tells.

    data      the whole set, as it was read
    seen      what training and the choice of the gate looked at
    classes   the kinds of defects that it can tell
    remarks   to be told beside the options
    """

    name: str
    version: str
    data: Dataset
    seen: Dataset
    classes: list[str]
    options: Options
    remarks: Mapping[str, object] = field(default_factory=dict)


def assemble(
    net: SplitNet, dataset: Dataset, trainer: Trainer, out: Path, *, name: str, version: str
) -> Bundle:
    """Write the bundle of a network that was trained on good and defective parts.

    The gate is chosen on the calibration parts with the int8 head and the quantised features, as
    they will run. Raises TrainingError or SettingsError where the data does not allow it.
    """
    options = trainer.options
    model = export_model(net, inputs_of(trainer.train_set, options, trainer.run))
    calibrate = dataset.of("calibrate")
    halves = halves_of(model, calibrate, options, trainer.run)
    gate, metrics = _calibrate(halves, calibrate.labels)
    judges = {half: metrics[f"calibrate_{half}_auroc"] for half in ("edge", "cloud")}
    doubtful = doubts(calibrate, judges)
    for doubt in doubtful:
        err.print(f"doubtful: {doubt}", highlight=False)
    told = {"doubts": doubtful} if doubtful else {}
    origin = Origin(name, version, dataset, dataset, dataset.classes, options, told)
    return write_model(model, gate, metrics, origin, out)


def write_model(
    model: ExportedModel, gate: Gate, metrics: Mapping[str, float], origin: Origin, out: Path
) -> Bundle:
    """Write a model and its gate as a bundle.

    metrics   figures from the calibration parts
    Raises ParityError where the int8 head is too far from the float head.
    """
    a, options = model.architecture, origin.options
    channels, height, width = model.features
    files = {
        HEAD: model.head,
        HEAD_FLOAT: model.head_float,
        TAIL: model.tail,
        CODEC: model.tables.to_json(),
        GOLDEN: model.golden().to_bytes(),
        **seen_pictures(origin.seen, watched=options.patience > 0, earlier=options.earlier_runs),
    }
    manifest: dict[str, object] = {
        "name": origin.name,
        "version": origin.version,
        "created": iso(),
        "architecture": asdict(a),
        "split_point": f"{a.backbone} after block {a.split_block}",
        "input": {
            "height": a.height,
            "width": a.width,
            "channels": a.channels,
            "pixels": options.pixels,
        },
        "features": {"channels": channels, "height": height, "width": width},
        "classes": origin.classes,
        "gate": asdict(gate),
        "training": {
            "data": origin.data.name,
            "data_hash": origin.data.content_hash(),
            "data_licence": origin.data.licence,
            "weights": model.weights_origin or "none: it started from noise",
            "seed": options.seed,
            "epochs": options.all_epochs,
            "options": options.plain() | dict(origin.remarks) | _version_of(origin.data),
            "metrics": dict(metrics),
            "tail_weights": len(TAIL_WEIGHTS),
        },
    }
    return write_bundle(out, manifest, files)


def _version_of(data: Dataset) -> dict[str, str]:
    return {DATA_VERSION: data.version} if data.version else {}


def _calibrate(halves: HalfScores, labels: NDArray[np.bool_]) -> tuple[Gate, dict[str, float]]:
    tail_weight, scores = weigh(halves.edge, halves.tail, labels)
    gate = choose_gate(
        halves.edge,
        labels,
        escape_target=ESCAPE_TARGET,
        overkill_target=OVERKILL_TARGET,
        cloud_reject_from=best_threshold(scores, labels),
        tail_weight=tail_weight,
    )
    return gate, {
        "calibrate_edge_auroc": auroc(halves.edge, labels),
        "calibrate_tail_auroc": auroc(halves.tail, labels),
        "calibrate_cloud_auroc": auroc(scores, labels),
        "edge_threshold": best_threshold(halves.edge, labels),
    }


def weigh(
    head: NDArray[np.float64], tail: NDArray[np.float64], labels: NDArray[np.bool_]
) -> tuple[float, NDArray[np.float64]]:
    """How much the tail's score should count beside the head's, and the scores so combined.

    The bottleneck withholds something from the tail that the head has seen, so the best of
    TAIL_WEIGHTS by AUROC on these samples is taken; among equals the one that trusts the tail
    most.
    """
    ways = []
    for weight in TAIL_WEIGHTS:
        scores = cloud_scores(HalfScores(head, tail), weight)
        ways.append((auroc(scores, labels), weight, scores))
    _, weight, scores = max(ways, key=lambda way: way[:2])
    return weight, scores


def cloud_scores(halves: HalfScores, tail_weight: float) -> NDArray[np.float64]:
    """Both halves' scores as the cloud weighs them, (n,)."""
    gate = Gate(0.0, 1.0, 0.5, tail_weight)
    pairs = zip(halves.edge.tolist(), halves.tail.tolist(), strict=True)
    return np.array([gate.cloud_score(head, tail) for head, tail in pairs])


def halves_of(model: ExportedModel, dataset: Dataset, options: Options, run: Path) -> HalfScores:
    """Both halves' scores of a split's pictures as the product will give them: of tiles the most
    suspicious speaks.
    """
    what = "choosing the gate"
    if options.pixels.tiles is None:
        return model.judge(inputs_of(dataset, options, run), what)
    return model.judge_pictures(
        (eight_bits_of(s.image, options.pixels) for s in track(dataset.samples, what)),
        options.pixels,
    )


def inputs_of(dataset: Dataset, options: Options, run: Path) -> NDArray[np.uint8]:
    """A split's prepared pictures, uint8 (n, c, h, w), from the run's cache where they are."""
    a = options.architecture
    size = (a.channels, a.height, a.width)
    return load_pictures(dataset, size, run / "cache", options.pixels).inputs
