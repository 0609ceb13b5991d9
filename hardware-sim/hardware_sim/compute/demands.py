"""What a model asks of a device: operators with their types, arithmetic, memory."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hardware_sim.compute.onnx_file import Graph, Node, read_graph
from hardware_sim.compute.profiles import DeviceProfile
from shared.errors import RuntimeUnavailable

QUANTISE, DEQUANTISE = "QuantizeLinear", "DequantizeLinear"
# An integer kernel takes these in, between what it computes and what it rounds.
FUSED = {"Relu", "Clip"}
WEIGHTED = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
MEGA = 1e6


@dataclass(frozen=True, slots=True)
class GraphOperator:
    """One node as a device's compiler sees it.

    macs   multiply-accumulates of one inference
    """

    node: str
    kind: str
    type: Literal["int8", "float32"]
    macs: int


@dataclass(frozen=True, slots=True)
class Demands:
    """memory_bytes: weights, and input and output of the layer with the largest ones"""

    operators: tuple[GraphOperator, ...]
    memory_bytes: int

    def macs(self, kind: Literal["int8", "float32"]) -> int:
        """Multiply-accumulates of one inference in this type."""
        return sum(operator.macs for operator in self.operators if operator.type == kind)

    def latency_s(self, profile: DeviceProfile, batch: int = 1) -> float:
        """Seconds on a cool device for so many pictures at once."""
        int8_s = self.macs("int8") / (profile.int8_gmacs.value * 1e9)
        float_s = self.macs("float32") / (profile.float_gmacs.value * 1e9)
        return profile.overhead_ms.value / 1000 + batch * (int8_s + float_s)


def demands_of(model: bytes) -> Demands:
    """Raises ValueError or OpenVINO's own error for a model that can't be read."""
    # Loaded only where a simulated device is opened: it takes a moment.
    import openvino  # noqa: PLC0415

    graph = read_graph(model)
    types = _types(graph)
    computing = [n for n in graph.nodes if n.kind not in {QUANTISE, DEQUANTISE, "Constant"}]
    loaded = openvino.Core().read_model(model)
    macs: dict[str, int] = defaultdict(int)
    sizes: dict[str, int] = defaultdict(int)
    weights = 0
    for operation in loaded.get_ordered_ops():
        kind = operation.get_type_name()
        if kind == "Constant":
            weights += _bytes(operation.output(0))
            continue
        # OpenVINO calls what it makes of a node by the node's name and a suffix.
        name = operation.get_friendly_name().split("/WithoutBiases")[0]
        macs[name] += _macs(operation, kind)
        sizes[name] = max(sizes[name], _layer_bytes(operation, narrow=types.get(name) == "int8"))
    operators = tuple(
        GraphOperator(node.name, node.kind, types[node.name], macs[node.name]) for node in computing
    )
    largest = max((sizes[node.name] for node in computing), default=0)
    return Demands(operators, weights + largest)


def require_honourable(demands: Demands, profile: DeviceProfile) -> None:
    """Raises RuntimeUnavailable, as the device's compiler would, for a model that can't run."""
    memory = profile.memory_mb.value * MEGA
    if demands.memory_bytes > memory:
        raise RuntimeUnavailable(
            f"{profile.name} has {memory / MEGA:.1f} MB for a model, this one takes "
            f"{demands.memory_bytes / MEGA:.1f} MB",
            fix="choose a smaller model, or another device profile",
        )
    if profile.operators is None:
        return
    floats = [operator for operator in demands.operators if operator.type == "float32"]
    allowed = set(profile.operators.float_kinds)
    for operator in floats:
        if operator.kind not in allowed:
            raise RuntimeUnavailable(
                f"{profile.name} can't compile node {operator.node!r} ({operator.kind}): float32, "
                "and it takes int8",
                fix="quantise the model, or choose a profile that computes in float",
            )
    total = sum(operator.macs for operator in demands.operators)
    share = demands.macs("float32") / total if total else 0.0
    if share > profile.operators.float_share.value:
        worst = max(floats, key=lambda operator: operator.macs)
        raise RuntimeUnavailable(
            f"{profile.name} can't compile node {worst.node!r} ({worst.kind}): float32, and it "
            f"takes int8; {share:.1%} of the arithmetic is in float, "
            f"{profile.operators.float_share.value:.1%} may run on the host",
            fix="quantise the model, or choose a profile that computes in float",
        )


def _macs(operation: Any, kind: str) -> int:
    """Multiply-accumulates of one OpenVINO operation; 0 of those that only move or compare."""
    if kind not in {"Convolution", "GroupConvolution", "MatMul"}:
        return 0
    made = math.prod(_shape(operation.output(0)))
    weights = _shape(operation.input(1))
    if kind == "Convolution":
        return made * math.prod(weights[1:])
    if kind == "GroupConvolution":
        return made * math.prod(weights[2:])
    return made * _shape(operation.input(0))[-1]


def _shape(tensor: Any) -> Sequence[int]:
    """Places in each dimension; one that is free counts as 1."""
    partial = tensor.get_partial_shape()
    if partial.rank.is_dynamic:
        return ()
    return [size.get_length() if size.is_static else 1 for size in partial]


def _bytes(tensor: Any) -> int:
    return math.prod(_shape(tensor)) * int(tensor.get_element_type().size)


def _layer_bytes(operation: Any, *, narrow: bool) -> int:
    """Of its inputs and outputs together; OpenVINO shows int8 tensors as the floats they mean."""
    tensors = (operation.input(0), *operation.outputs()) if operation.inputs() else ()
    return sum(math.prod(_shape(t)) if narrow else _bytes(t) for t in tensors)


def _types(graph: Graph) -> dict[str, Literal["int8", "float32"]]:
    """By a node's name, whether integer arithmetic can compute it.

    As compilers see the QDQ format: what comes from DequantizeLinear, weights too, and goes to
    QuantizeLinear.
    """
    makers = {name: node for node in graph.nodes for name in node.outputs}
    takers: dict[str, list[Node]] = defaultdict(list)
    for node in graph.nodes:
        for name in node.inputs:
            takers[name].append(node)

    def comes_quantised(node: Node) -> bool:
        data = [name for name in node.inputs if name and name not in graph.constants]
        if node.kind in WEIGHTED and any(name in graph.constants for name in node.inputs[:2]):
            return False
        return bool(data) and all(
            name in makers
            and (
                makers[name].kind == DEQUANTISE
                or (node.kind in FUSED and comes_quantised(makers[name]))
            )
            for name in data
        )

    def goes_quantised(node: Node) -> bool:
        following = [taker for name in node.outputs for taker in takers[name]]
        return bool(following) and all(
            taker.kind == QUANTISE or (taker.kind in FUSED and goes_quantised(taker))
            for taker in following
        )

    return {
        node.name: "int8" if comes_quantised(node) and goes_quantised(node) else "float32"
        for node in graph.nodes
    }
