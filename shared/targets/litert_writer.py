"""An accelerator's head in ONNX → the same as an int8 LiteRT file, exactly.

Converters measure ranges anew or turn QDQ into float: the product's own steps and jointly rounded
weights would be lost. So each QDQ operator becomes its int8 LiteRT operator of the same integers,
channels last, with uint8's levels less 128.

Source: the schema of TensorFlow Lite and its quantisation specification.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper

from shared.errors import BundleError
from shared.targets.litert_tables import LitertTables

# What uint8's zero point has more than int8's.
SIGNED = 128
STAY = ("QuantizeLinear", "DequantizeLinear", "Identity")

_kind: Any = schema.BuiltinOperator
_option: Any = schema.BuiltinOptions
_type: Any = schema.TensorType


def litert_file(head: bytes) -> bytes:
    """The int8 file: int8 (1, h, w, c) in, a picture's levels less 128; its outputs have the
    ONNX model's names, int8, channels last.

    head   ONNX as `accelerator_head` gives it
    Raises BundleError for an operator that has no counterpart here.
    """
    return _Writer(onnx.load_from_string(head)).write()


@dataclass(frozen=True, slots=True)
class _Window:
    """Of a convolution: rows and columns of each; pads as ONNX orders them."""

    kernel: tuple[int, int]
    stride: list[int]
    pads: list[int]


class _Writer:
    def __init__(self, model: onnx.ModelProto) -> None:
        graph = onnx.shape_inference.infer_shapes(model).graph
        self._graph = graph
        self._arrays = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
        self._writer = {output: node for node in graph.node for output in node.output}
        self._readers = {name: node for node in graph.node for name in node.input}
        self._shapes = {
            one.name: tuple(axis.dim_value for axis in one.type.tensor_type.shape.dim)
            for one in (*graph.value_info, *graph.input, *graph.output)
        }
        self._file = LitertTables()
        self._known: dict[str, int] = {}
        self._write: dict[str, Callable[[NodeProto], None]] = {
            "Conv": self._convolution,
            "Add": self._sum,
            "Resize": self._enlarged,
            "GlobalAveragePool": self._mean,
        }

    def write(self) -> bytes:
        picture = self._graph.input[0].name
        first = self._readers[picture]
        self._known[picture] = self._activation(picture, first)
        for node in self._graph.node:
            if node.op_type in self._write:
                self._write[node.op_type](node)
            elif node.op_type not in STAY:
                raise _unwritten(node, "is none that a head for accelerators has")
        graph = self._file.graph
        graph.inputs = np.array([self._known[picture]], np.int32)
        graph.outputs = np.array([self._output(one.name) for one in self._graph.output], np.int32)
        return self._file.packed()

    def _output(self, name: str) -> int:
        node = self._writer[name]
        if node.op_type == "Identity":
            node = self._writer[node.input[0]]
        found = self._known[node.input[0]]
        self._file.graph.tensors[found].name = name
        return found

    def _activation(self, name: str, steps: NodeProto) -> int:
        """steps: the node that has the tensor's scale and zero point"""
        scale, zero = (self._arrays[one].reshape(-1) for one in steps.input[1:3])
        n, c, h, w = self._shapes[name]
        signed = zero.astype(np.int64) - SIGNED
        return self._file.tensor(name, (n, h, w, c), _type.INT8, steps=(scale, signed))

    def _read(self, name: str, reader: NodeProto) -> int:
        """The int8 tensor behind a float one."""
        node = self._writer.get(name)
        if node is None or node.op_type != "DequantizeLinear" or node.input[0] not in self._known:
            raise _unwritten(reader, f"reads {name}, which is not int8")
        return self._known[node.input[0]]

    def _written(self, node: NodeProto) -> int:
        """The int8 tensor that a float one becomes."""
        reader = self._readers.get(node.output[0])
        if reader is None or reader.op_type != "QuantizeLinear":
            raise _unwritten(node, "writes what is not int8")
        levels = reader.output[0]
        self._known[levels] = self._activation(levels, reader)
        return self._known[levels]

    def _shape(self, tensor: int) -> tuple[int, int, int, int]:
        n, h, w, c = self._file.graph.tensors[tensor].shape.tolist()
        return n, h, w, c

    def _convolution(self, node: NodeProto) -> None:
        weights, bias = (self._constant(name, node) for name in node.input[1:3])
        settings = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        grouped = settings.get("group", 1) != 1
        count, per_group, height, width = weights[0].shape
        if grouped and (settings["group"] != count or per_group != 1):
            raise _unwritten(node, "has groups of several channels")
        stride = settings.get("strides", [1, 1])
        read, to = self._read(node.input[0], node), self._written(node)
        window = _Window((height, width), stride, settings.get("pads", [0, 0, 0, 0]))
        read, padding = self._padded(node, read, to, window)
        order, axis = ((1, 2, 3, 0), 3) if grouped else ((0, 2, 3, 1), 0)
        laid = weights[0].transpose(order)
        none = np.zeros(count, np.int64)
        kernel = self._file.tensor(
            node.input[1], laid.shape, _type.INT8, steps=(weights[1], none), data=laid, axis=axis
        )
        biases = self._file.tensor(
            node.input[2],
            (count,),
            _type.INT32,
            steps=(bias[1], none),
            data=bias[0].astype(np.int32),
        )
        options: Any = schema.DepthwiseConv2DOptionsT() if grouped else schema.Conv2DOptionsT()
        options.padding = padding
        options.strideH, options.strideW = stride
        options.dilationHFactor = options.dilationWFactor = 1
        if grouped:
            options.depthMultiplier = 1
            kind = _kind.DEPTHWISE_CONV_2D, _option.DepthwiseConv2DOptions
        else:
            kind = _kind.CONV_2D, _option.Conv2DOptions
        self._file.operator(kind[0], 3, [read, kernel, biases], to, (kind[1], options))

    def _constant(
        self, name: str, reader: NodeProto
    ) -> tuple[NDArray[np.generic], NDArray[np.float32]]:
        node = self._writer.get(name)
        if node is None or node.op_type != "DequantizeLinear" or node.input[0] not in self._arrays:
            raise _unwritten(reader, f"has {name} in float")
        whole, scale = (self._arrays[one] for one in node.input[:2])
        return whole, scale.reshape(-1).astype(np.float32)

    def _padded(self, node: NodeProto, read: int, to: int, window: _Window) -> tuple[int, int]:
        """What a convolution reads, and the padding of its own: where that is not the one which
        ONNX says, the picture is padded before, as far as windows reach."""
        before, behind = window.pads[:2], window.pads[2:]
        same, needed = [], []
        axes = zip(self._shape(read)[1:3], self._shape(to)[1:3], strict=True)
        for axis, (size, count) in enumerate(axes):
            reach, step = window.kernel[axis], window.stride[axis]
            total = max((-(-size // step) - 1) * step + reach - size, 0)
            same.append((total // 2, total - total // 2))
            missing = (count - 1) * step + reach - size - before[axis]
            needed.append((before[axis], max(missing, 0)))
        if list(zip(before, behind, strict=True)) == same:
            return read, int(schema.Padding.SAME)
        if any(map(any, needed)):
            read = self._bordered(node, read, needed)
        return read, int(schema.Padding.VALID)

    def _bordered(self, node: NodeProto, read: int, needed: list[tuple[int, int]]) -> int:
        n, h, w, c = self._shape(read)
        (above, below), (left, right) = needed
        border = np.array([(0, 0), *needed, (0, 0)], np.int32)
        constant = self._file.tensor(f"{node.name}_border", (4, 2), _type.INT32, data=border)
        steps = self._file.graph.tensors[read].quantization
        shape = (n, h + above + below, w + left + right, c)
        padded = self._file.tensor(
            f"{node.name}_bordered", shape, _type.INT8, steps=(steps.scale, steps.zeroPoint)
        )
        options = (_option.PadOptions, schema.PadOptionsT())
        self._file.operator(_kind.PAD, 2, [read, constant], padded, options)
        return padded

    def _sum(self, node: NodeProto) -> None:
        reads = [self._read(name, node) for name in node.input]
        options = (_option.AddOptions, schema.AddOptionsT())
        self._file.operator(_kind.ADD, 2, reads, self._written(node), options)

    def _enlarged(self, node: NodeProto) -> None:
        settings = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        if settings.get("mode") != b"nearest":
            raise _unwritten(node, "enlarges other than by nearest neighbours")
        read, to = self._read(node.input[0], node), self._written(node)
        size = np.array(self._shape(to)[1:3], np.int32)
        constant = self._file.tensor(f"{node.name}_size", (2,), _type.INT32, data=size)
        options = (_option.ResizeNearestNeighborOptions, schema.ResizeNearestNeighborOptionsT())
        self._file.operator(_kind.RESIZE_NEAREST_NEIGHBOR, 2, [read, constant], to, options)

    def _mean(self, node: NodeProto) -> None:
        read, to = self._read(node.input[0], node), self._written(node)
        axes = np.array([1, 2], np.int32)
        constant = self._file.tensor(f"{node.name}_axes", (2,), _type.INT32, data=axes)
        options: Any = schema.ReducerOptionsT()
        options.keepDims = True
        self._file.operator(_kind.MEAN, 2, [read, constant], to, (_option.ReducerOptions, options))


def _unwritten(node: NodeProto, why: str) -> BundleError:
    return BundleError(
        f"this head can't be written for LiteRT: {node.op_type} {node.name} {why}",
        fix="give a head that `accelerator_head` made",
    )
