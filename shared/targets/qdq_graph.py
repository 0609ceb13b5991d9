"""An int8 ONNX model as QDQ: read backwards, changed, and written again."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper

from shared.errors import BundleError

OPSET = 18
LEVELS = 255

Weights = NDArray[np.float32]


class QdqGraph:
    """An int8 ONNX graph that is taken apart and put together again."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.nodes: list[NodeProto] = list(model.graph.node)
        self._tensors = {tensor.name: tensor for tensor in model.graph.initializer}

    def value(self, name: str) -> NDArray[np.generic]:
        """A constant. Raises BundleError where it is none."""
        if name not in self._tensors:
            raise unfit(f"{name} is no constant")
        return np.asarray(numpy_helper.to_array(self._tensors[name]))

    def keep(self, name: str, array: NDArray[np.generic]) -> str:
        self._tensors[name] = numpy_helper.from_array(array, name)
        return name

    def add(self, kind: str, inputs: list[str], output: str, axis: int | None = None) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], f"{output}_{kind}", axis=axis))
        return output

    def quantised(self, name: str, scale: float, zero: int) -> str:
        """A tensor rounded to 256 levels, and as a float again."""
        step = self.keep(f"{name}_scale", np.array(scale, np.float32))
        middle = self.keep(f"{name}_zero", np.array(zero, np.uint8))
        levels = self.add("QuantizeLinear", [name, step, middle], f"{name}_levels")
        return self.add("DequantizeLinear", [levels, step, middle], f"{name}_rounded")

    def convolution(self, read: str, step: float, weights: tuple[Weights, Weights], to: str) -> str:
        """1×1, with weights in int8 a channel. step: of the tensor that it reads."""
        matrix, bias = weights[0].reshape(*weights[0].shape[:2], 1, 1), weights[1]
        most = np.abs(matrix).reshape(len(matrix), -1).max(axis=1)
        scale = np.maximum(most / 127, np.finfo(np.float32).tiny * LEVELS).astype(np.float32)
        whole = np.clip(np.rint(matrix / scale.reshape(-1, 1, 1, 1)), -127, 127).astype(np.int8)
        together = (scale * np.float32(step)).astype(np.float32)
        most_bias = np.iinfo(np.int32).max
        rounded = np.clip(np.rint(bias / together), -most_bias, most_bias).astype(np.int32)
        parts = []
        for part, array, steps in (("weight", whole, scale), ("bias", rounded, together)):
            name = f"{to}_{part}"
            inputs = [
                self.keep(name, array),
                self.keep(f"{name}_scale", steps),
                self.keep(f"{name}_zero", np.zeros(len(steps), array.dtype)),
            ]
            parts.append(self.add("DequantizeLinear", inputs, f"{name}_float", axis=0))
        return self.add("Conv", [read, *parts], to)

    def finished(self) -> bytes:
        """In an order that can be run, without what nothing reads."""
        graph = self.model.graph
        wanted, kept = {output.name for output in graph.output}, []
        for node in reversed(_in_order(self.nodes)):
            if wanted.intersection(node.output):
                wanted.update(node.input)
                kept.append(node)
        del graph.node[:], graph.value_info[:], graph.initializer[:], self.model.opset_import[:]
        graph.node.extend(reversed(kept))
        graph.initializer.extend(
            self._tensors[name] for name in sorted(wanted & set(self._tensors))
        )
        self.model.opset_import.append(helper.make_opsetid("", OPSET))
        onnx.checker.check_model(self.model)
        return bytes(self.model.SerializeToString())

    def behind(self, name: str, *kinds: str) -> NodeProto:
        """What writes a tensor, through nodes of these kinds in turn. Raises BundleError."""
        writer = {output: node for node in self.nodes for output in node.output}
        ways = [writer[name]] if name in writer else []
        found: NodeProto | None = None
        for kind in kinds:
            # Of several inputs, the one that leads on.
            found = next((way for way in ways if way.op_type == kind), None)
            if found is None:
                break
            ways = [writer[read] for read in found.input if read in writer]
        if found is None:
            raise unfit(f"its {name} does not come from {' ← '.join(kinds)}")
        return found

    def weights(self, node: NodeProto) -> tuple[Weights, Weights]:
        """Of a node that is still in float."""
        names = node.input[1:3]
        if len(names) != 2 or not all(map(self._tensors.__contains__, names)):
            raise unfit(f"{node.name} has no float weights and biases")
        matrix, bias = (np.asarray(self.value(name), np.float32) for name in names)
        return matrix, bias


def _in_order(nodes: list[NodeProto]) -> list[NodeProto]:
    """Each behind what writes its inputs."""
    writer = {output: node for node in nodes for output in node.output}
    done: set[str] = set()
    ordered: list[NodeProto] = []

    def place(node: NodeProto) -> None:
        if node.output[0] in done:
            return
        for read in node.input:
            if read in writer:
                place(writer[read])
        done.update(node.output)
        ordered.append(node)

    for node in nodes:
        place(node)
    return ordered


def unfit(why: str) -> BundleError:
    """That a head can't be one for accelerators, and why."""
    return BundleError(
        f"this head can't be written for accelerators: {why}",
        fix="train it anew with this version; heads of good pictures alone and of another "
        "package's networks have an ending of their own",
    )
