"""A shipped int8 head → the same head as every accelerator takes it.

No vendor's tools run the shipped head both wholly and correctly: they stumble over the cast of its
input, its float ending, the mean over two axes and the top-k. So the input becomes a
DequantizeLinear, what was left in float becomes int8 by ranges that pictures show, and the score's
last sums are left to `host_judgement`. Every weight that was int8 stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper

from shared.errors import BundleError
from shared.runtime.base import open_runtime
from shared.targets.host_judgement import OUTPUTS
from shared.targets.qdq_graph import LEVELS, QdqGraph, Weights, unfit

# Symbols are whole numbers: in steps of one, rounding to int8 is rounding to symbols.
SYMBOL_STEP, SYMBOL_MIDDLE = 1.0, 128

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class AcceleratorHead:
    """model   ONNX, QDQ int8: uint8 (1, c, h, w) in; `OUTPUTS` out, float32: the bottleneck's
    features, the map's logits, and one number of the whole picture
    top     how many of the map's places count for the score
    """

    model: bytes
    top: int


@dataclass(frozen=True, slots=True)
class _Ending:
    """What the shipped head does behind its last int8 tensors, each by its float name.

    hidden   what map and whole read; fine and coarse: what the encoder reads, joined
    levels   the QuantizeLinear of the picture
    """

    hidden: str
    fine: str
    coarse: str
    levels: NodeProto
    map_weights: tuple[Weights, Weights]
    whole_weights: tuple[Weights, Weights]
    encoder_weights: tuple[Weights, Weights]
    top: int


def accelerator_head(head: bytes, pictures: Iterable[NDArray[np.uint8]]) -> AcceleratorHead:
    """The head as accelerators take it.

    head       the bundle's, QDQ int8
    pictures   uint8 (1, c, h, w) each, from the training parts: what they show bounds the tensors
               that were float
    Raises BundleError where the head does not end as heads with a map do.
    """
    graph = QdqGraph(onnx.load_from_string(head))
    ending = _ending(graph)
    ranges = _ranges(head, ending, pictures)
    _open_input(graph, ending)
    _close_outputs(graph, ending, ranges)
    return AcceleratorHead(graph.finished(), ending.top)


def _ending(graph: QdqGraph) -> _Ending:
    mapped = graph.behind("map", "Sigmoid", "Conv")
    highest = graph.behind("score", "Sigmoid", "Add", "ReduceMean", "TopK")
    whole = graph.behind("score", "Sigmoid", "Add", "Squeeze", "Gemm")
    encoder = graph.behind("features", "Conv")
    joined = graph.behind(encoder.input[0], "Concat")
    levels = graph.behind(_first_convolution(graph).input[0], "DequantizeLinear", "QuantizeLinear")
    if len(joined.input) != 2:
        raise unfit("its encoder reads something else than fine and coarse features")
    _require_grey_levels(graph, levels)
    return _Ending(
        hidden=mapped.input[0],
        fine=joined.input[0],
        coarse=joined.input[1],
        levels=levels,
        map_weights=graph.weights(mapped),
        whole_weights=graph.weights(whole),
        encoder_weights=graph.weights(encoder),
        top=int(graph.value(highest.input[1]).reshape(-1)[0]),
    )


def _require_grey_levels(graph: QdqGraph, levels: NodeProto) -> None:
    """That the picture's first int8 tensor are its own levels: else it could not stand for it."""
    spread = graph.behind(levels.input[0], "Div")
    middle = graph.behind(levels.input[0], "Div", "Sub")
    graph.behind(levels.input[0], "Div", "Sub", "Cast")
    names = (spread.input[1], middle.input[1], *levels.input[1:3])
    by, less, step, zero = (float(graph.value(name).reshape(-1)[0]) for name in names)
    if step * by != 1 or zero != less:
        raise unfit(f"its picture is rounded to steps of {step * by:.3g} grey levels before int8")


def _first_convolution(graph: QdqGraph) -> NodeProto:
    found = next((node for node in graph.nodes if node.op_type == "Conv"), None)
    if found is None:
        raise unfit("it has no convolution")
    return found


def _open_input(graph: QdqGraph, ending: _Ending) -> None:
    """Grey levels themselves are the first tensor's int8: no cast, no sums in float."""
    picture = graph.model.graph.input[0].name
    levels = ending.levels.output[0]
    for node in graph.nodes:
        for place, name in enumerate(node.input):
            if name == levels:
                node.input[place] = picture


def _close_outputs(graph: QdqGraph, ending: _Ending, ranges: dict[str, Range]) -> None:
    step = _steps(graph)
    fine_count = _channels(graph, ending.fine)
    matrix, bias = ending.encoder_weights
    none = np.zeros_like(bias)
    fine = graph.convolution(
        ending.fine, step(ending.fine), (matrix[:, :fine_count], none), "encoded_fine"
    )
    coarse = graph.convolution(
        ending.coarse, step(ending.coarse), (matrix[:, fine_count:], bias), "encoded_coarse"
    )
    both = [graph.quantised(name, *_levels_of(ranges[name])) for name in (fine, coarse)]
    graph.add("Add", both, "encoded")
    graph.convolution(ending.hidden, step(ending.hidden), ending.map_weights, "mapped")
    graph.add("GlobalAveragePool", [ending.hidden], "averaged")
    scale, zero = _levels_of(ranges["averaged"])
    graph.convolution(
        graph.quantised("averaged", scale, zero), scale, ending.whole_weights, "judged"
    )
    written = {
        "features": graph.quantised("encoded", SYMBOL_STEP, SYMBOL_MIDDLE),
        "map_logits": graph.quantised("mapped", *_levels_of(ranges["mapped"])),
        "whole": graph.quantised("judged", *_levels_of(ranges["judged"])),
    }
    shapes = {one.name: one.type.tensor_type.shape for one in graph.model.graph.output}
    features, logits = (
        [axis.dim_value for axis in shapes[name].dim] for name in ("features", "map")
    )
    del graph.model.graph.output[:]
    # One of the new outputs has an old one's name.
    graph.nodes = [node for node in graph.nodes if not shapes.keys() & set(node.output)]
    for name, shape in zip(OUTPUTS, (features, logits, [1, 1, 1, 1]), strict=True):
        graph.add("Identity", [written[name]], name)
        graph.model.graph.output.append(
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        )


def _steps(graph: QdqGraph) -> Callable[[str], float]:
    """The step of a tensor that a DequantizeLinear writes."""
    scales = {n.output[0]: n.input[1] for n in graph.nodes if n.op_type == "DequantizeLinear"}

    def step(name: str) -> float:
        if name not in scales:
            raise unfit(f"{name} is not int8")
        return float(graph.value(scales[name]).reshape(-1)[0])

    return step


def _channels(graph: QdqGraph, name: str) -> int:
    """Of a convolution's output."""
    node = graph.behind(name, "DequantizeLinear", "QuantizeLinear", "Conv")
    weights = graph.behind(node.input[1], "DequantizeLinear").input[0]
    return int(graph.value(weights).shape[0])


def _ranges(
    head: bytes, ending: _Ending, pictures: Iterable[NDArray[np.uint8]]
) -> dict[str, Range]:
    """The smallest and largest value, over pictures, of each tensor that was float."""
    model = onnx.load_from_string(head)
    shown = (ending.hidden, ending.fine, ending.coarse)
    for name in shown:
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    runtime = open_runtime("onnx", bytes(model.SerializeToString()))
    found: dict[str, Range] = {}
    for picture in pictures:
        hidden, fine, coarse = (
            np.asarray(one, np.float32)[0] for one in runtime.run(picture)[-len(shown) :]
        )
        averaged = hidden.mean(axis=(1, 2), keepdims=True)
        matrix, bias = ending.encoder_weights
        values = {
            "mapped": _applied(ending.map_weights, hidden),
            "averaged": averaged,
            "judged": _applied(ending.whole_weights, averaged),
            "encoded_fine": _applied((matrix[:, : len(fine)], np.zeros_like(bias)), fine),
            "encoded_coarse": _applied((matrix[:, len(fine) :], bias), coarse),
        }
        for name, value in values.items():
            low, high = found.get(name, (np.inf, -np.inf))
            found[name] = min(low, float(value.min())), max(high, float(value.max()))
    if not found:
        raise BundleError(
            "there are no pictures to find the ranges of an accelerator's tensors by",
            fix="give pictures of the training parts",
        )
    return found


def _applied(weights: tuple[Weights, Weights], to: Weights) -> Weights:
    """A 1×1 convolution: float32 (c, h, w) to (o, h, w)."""
    matrix = weights[0].reshape(weights[0].shape[:2])
    return np.asarray(np.tensordot(matrix, to, 1) + weights[1].reshape(-1, 1, 1), np.float32)


def _levels_of(seen: Range) -> tuple[float, int]:
    """Step and zero point, uint8, of a tensor between two values, 0 among them."""
    low, high = min(seen[0], 0.0), max(seen[1], 0.0)
    step = (high - low) / LEVELS or 1.0
    return step, int(np.clip(round(-low / step), 0, LEVELS))
