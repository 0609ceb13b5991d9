"""A tiny but real bundle for tests: its scores follow the picture's brightness."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from shared.bundles.bundle import Bundle, Golden, amend_bundle, write_bundle
from shared.bundles.manifest import CODEC, GOLDEN, HEAD, HEAD_FLOAT, TAIL
from shared.features.codec import FeatureCodec, tables_from_symbols
from shared.features.novelty import NOVELTY, Novelty
from shared.runtime.base import open_runtime

FEATURES = 4
LIMIT = 16
MIDDLE = 127.0
OPSET = 18
IR_VERSION = 10
KINDS = ["crack", "hole"]

GOOD, UNSURE_GOOD, UNSURE_BAD, BAD = 40, 120, 134, 220
"""Brightness that passes at the edge, escalates and passes, escalates and rejects, rejects."""


def picture(brightness: int, *, height: int = 64, width: int = 64) -> NDArray[np.uint8]:
    """A grey picture, uint8 (height, width), whose mean is `brightness` and that has texture."""
    texture = np.indices((height, width)).sum(axis=0) % 2 * 10 - 5
    return np.asarray((texture + brightness).clip(0, 255), np.uint8)


def make_bundle(
    path: Path,
    *,
    height: int = 64,
    width: int = 64,
    channels: int = 1,
    name: str = "tiny",
    kinds: bool = False,
) -> Bundle:
    """Write a bundle with an untrained head and tail.

    Head score: sigmoid((mean - 127) / 10), so the gate (0.2, 0.8) passes below a mean of 114,
    rejects from 141 and escalates between. Tail score: above 0.5 where the mean lies above 127.
    Height and width must be multiples of 16.
    kinds   the tail tells kinds of defects apart: KINDS, `crack` where the features' level,
            (mean - 127) / 8, lies above 1
    """
    head, tail = _head(height, width, channels), _tail(height, width, kinds=kinds)
    inputs = _golden_inputs(height, width, channels)
    runtime = open_runtime("onnx", head)
    outputs = [runtime.run(one[np.newaxis]) for one in inputs]
    scores = np.array([float(np.ravel(o[2])[0]) for o in outputs], np.float32)
    features = np.concatenate([np.asarray(o[0], np.float32) for o in outputs])
    symbols = np.clip(np.rint(features), -LIMIT, LIMIT).astype(np.int8)
    tables = tables_from_symbols(symbols, LIMIT)
    tail_scores = open_runtime("onnx", tail).run(symbols)[1]
    payload = FeatureCodec.of(tables, symbols.shape[1:]).encode(symbols[0])
    golden = Golden(inputs, scores, symbols, np.asarray(tail_scores, np.float32), payload, scores)
    files = {
        HEAD: head,
        HEAD_FLOAT: head,
        TAIL: tail,
        CODEC: tables.to_json(),
        GOLDEN: golden.to_bytes(),
    }
    manifest = _manifest(name, height, width, channels)
    return write_bundle(path, manifest | {"classes": KINDS if kinds else KINDS[:1]}, files)


def knowing(bundle: Bundle, path: Path, darkest: int, brightest: int) -> Bundle:
    """The tiny bundle, as if it had been shown pictures of these brightnesses alone."""
    low, high = ((shade - MIDDLE) / 8 for shade in (darkest, brightest))
    reach = (high - low) / 2
    directions = np.zeros((1, 2 * bundle.manifest.features.channels), np.float32)
    directions[0, 0] = 1 / reach
    centre = np.array([(high + low) / 2 / reach], np.float32)
    novelty = Novelty(bundle.manifest.pair, 0.01, directions, centre)
    return amend_bundle(bundle, {}, path, {NOVELTY: novelty.to_bytes()})


def _manifest(name: str, height: int, width: int, channels: int) -> dict[str, object]:
    return {
        "name": name,
        "version": "1.0.0",
        "created": "2026-01-01T00:00:00Z",
        "architecture": {"height": height, "width": width, "channels": channels},
        "split_point": "test",
        "input": {"height": height, "width": width, "channels": channels},
        "features": {"channels": FEATURES, "height": height // 16, "width": width // 16},
        "gate": {"pass_below": 0.2, "reject_from": 0.8, "cloud_reject_from": 0.5},
        "training": {
            "data": "none: brightness decides",
            "data_hash": "0" * 64,
            "data_licence": "none",
            "weights": "seeded noise",
            "seed": 0,
            "epochs": 0,
        },
    }


def _golden_inputs(height: int, width: int, channels: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    means = np.array([GOOD, 100, UNSURE_GOOD, UNSURE_BAD, 150, BAD])
    noise = rng.integers(-20, 21, (len(means), channels, height, width))
    return np.asarray((noise + means[:, None, None, None]).clip(0, 255), np.uint8)


def _head(height: int, width: int, channels: int) -> bytes:
    weights = [
        _weight("w1", (8, channels, 3, 3)),
        _weight("w2", (8, 8, 3, 3)),
        _weight("w3", (8, 8, 3, 3)),
        _weight("w4", (FEATURES - 1, 8, 3, 3)),
        _weight("wm", (1, 8, 1, 1)),
        _constant("middle", MIDDLE),
        _constant("contrast", 64.0),
        _constant("step", 8.0),
        _constant("spread", 10.0),
        numpy_helper.from_array(np.array([1], np.int64), "channel"),
        numpy_helper.from_array(np.array([1, 2, 3], np.int64), "all"),
    ]
    nodes = [
        helper.make_node("Cast", ["picture"], ["raw"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["raw", "middle"], ["centred"]),
        helper.make_node("Div", ["centred", "contrast"], ["x0"]),
        *_convolution("x0", "w1", "x1"),
        *_convolution("x1", "w2", "x2"),
        *_convolution("x2", "w3", "x3"),
        helper.make_node("Conv", ["x3", "wm"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["map"]),
        *_convolution("x3", "w4", "texture"),
        helper.make_node("ReduceMean", ["centred", "channel"], ["grey"], keepdims=1),
        helper.make_node(
            "AveragePool", ["grey"], ["pooled"], kernel_shape=[16, 16], strides=[16, 16]
        ),
        helper.make_node("Div", ["pooled", "step"], ["level"]),
        helper.make_node("Concat", ["level", "texture"], ["features"], axis=1),
        helper.make_node("ReduceMean", ["centred", "all"], ["mean"], keepdims=0),
        helper.make_node("Div", ["mean", "spread"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["score"]),
    ]
    return _model(
        nodes,
        weights,
        helper.make_tensor_value_info("picture", TensorProto.UINT8, [1, channels, height, width]),
        [
            ("features", [1, FEATURES, height // 16, width // 16]),
            ("map", [1, 1, height // 8, width // 8]),
            ("score", [1]),
        ],
    )


def _tail(height: int, width: int, *, kinds: bool) -> bytes:
    level = np.zeros((1, FEATURES, 1, 1), np.float32)
    level[0, 0] = 1.0
    weights = [
        numpy_helper.from_array(level, "wl"),
        _weight("wm", (1, FEATURES, 3, 3)),
        numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales"),
        numpy_helper.from_array(np.array([1, 2, 3], np.int64), "all"),
    ]
    nodes = [
        helper.make_node("Cast", ["symbols"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["x", "wm"], ["coarse"], pads=[1, 1, 1, 1]),
        helper.make_node("Sigmoid", ["coarse"], ["small"]),
        helper.make_node("Resize", ["small", "", "scales"], ["map"], mode="nearest"),
        helper.make_node("Conv", ["x", "wl"], ["level"]),
        helper.make_node("ReduceMean", ["level", "all"], ["logit"], keepdims=0),
        helper.make_node("Sigmoid", ["logit"], ["score"]),
    ]
    outputs: list[tuple[str, list[int | str]]] = [
        ("map", ["n", 1, height // 8, width // 8]),
        ("score", ["n"]),
    ]
    if kinds:
        weights += [
            numpy_helper.from_array(np.array([[3, 0]], np.float32), "wk"),
            numpy_helper.from_array(np.array([0, 3], np.float32), "bk"),
            numpy_helper.from_array(np.array([1], np.int64), "across"),
        ]
        nodes += [
            helper.make_node("Unsqueeze", ["logit", "across"], ["column"]),
            helper.make_node("MatMul", ["column", "wk"], ["weighed"]),
            helper.make_node("Add", ["weighed", "bk"], ["likely"]),
            helper.make_node("Softmax", ["likely"], ["kinds"], axis=1),
        ]
        outputs.append(("kinds", ["n", len(KINDS)]))
    return _model(
        nodes,
        weights,
        helper.make_tensor_value_info(
            "symbols", TensorProto.INT8, ["n", FEATURES, height // 16, width // 16]
        ),
        outputs,
    )


def _convolution(source: str, weight: str, target: str) -> list[onnx.NodeProto]:
    conv = helper.make_node(
        "Conv", [source, weight], [f"{target}_conv"], strides=[2, 2], pads=[1, 1, 1, 1]
    )
    return [conv, helper.make_node("Relu", [f"{target}_conv"], [target])]


def _weight(name: str, shape: tuple[int, ...]) -> onnx.TensorProto:
    rng = np.random.default_rng(sum(map(ord, name)))
    values = rng.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape).astype(np.float32)
    return numpy_helper.from_array(values, name)


def _constant(name: str, value: float) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(value, np.float32), name)


def _model(
    nodes: list[onnx.NodeProto],
    weights: list[onnx.TensorProto],
    source: onnx.ValueInfoProto,
    outputs: list[tuple[str, list[int | str]]],
) -> bytes:
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in outputs]
    graph = helper.make_graph(nodes, "tiny", [source], infos, weights)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
