"""The nodes of an ONNX file, read without the onnx package, which devices don't have.

Only what is needed of the format is read: graph, nodes, and which tensors are constants.
Source: onnx.proto (ModelProto, GraphProto, NodeProto, TensorProto) and the Protocol Buffers
encoding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MODEL_GRAPH = 7
GRAPH_NODE, GRAPH_INITIALIZER = 1, 5
NODE_INPUT, NODE_OUTPUT, NODE_NAME, NODE_KIND = 1, 2, 3, 4
TENSOR_NAME = 8


@dataclass(frozen=True, slots=True)
class Node:
    """One operator of the graph; a node without a name goes by its first output."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Graph:
    """The nodes in their order, and the names of constant tensors."""

    nodes: tuple[Node, ...]
    constants: frozenset[str]


def read_graph(model: bytes) -> Graph:
    """Raises ValueError for bytes that are no ONNX model."""
    nodes: list[Node] = []
    constants: set[str] = set()
    for number, value in _fields(memoryview(model)):
        if number != MODEL_GRAPH or not isinstance(value, memoryview):
            continue
        for part, inside in _fields(value):
            if part == GRAPH_NODE and isinstance(inside, memoryview):
                nodes.append(_node(inside))
            elif part == GRAPH_INITIALIZER and isinstance(inside, memoryview):
                constants.update(_texts(inside, TENSOR_NAME))
    if not nodes:
        raise ValueError("this is no ONNX model with a graph")
    constants.update(name for node in nodes if node.kind == "Constant" for name in node.outputs)
    return Graph(tuple(nodes), frozenset(constants))


def _node(data: memoryview) -> Node:
    outputs = _texts(data, NODE_OUTPUT)
    (name, *_) = [*_texts(data, NODE_NAME), *outputs, ""]
    (kind, *_) = [*_texts(data, NODE_KIND), ""]
    return Node(name or (outputs or [""])[0], kind, tuple(_texts(data, NODE_INPUT)), tuple(outputs))


def _texts(data: memoryview, wanted: int) -> list[str]:
    return [
        bytes(value).decode()
        for number, value in _fields(data)
        if number == wanted and isinstance(value, memoryview)
    ]


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Field number and value of one message."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == BYTES:
            length, at = _varint(data, at)
        elif wire in {FIXED64, FIXED32}:
            length = 8 if wire == FIXED64 else 4
        else:
            raise ValueError(f"this is no ONNX model (wire type {wire})")
        if at + length > len(data):
            raise ValueError("this ONNX model is cut short")
        yield number, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("this ONNX model is cut short")
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if not data[at - 1] & 0x80:
            return value, at
