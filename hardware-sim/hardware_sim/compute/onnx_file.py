"""The nodes of an ONNX file, and which tensors are constants."""

from __future__ import annotations

from dataclasses import dataclass


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
    # Loaded only where a simulated device is opened: it takes a moment.
    import onnx  # noqa: PLC0415

    try:
        graph = onnx.load_model_from_string(model).graph
    except Exception as error:
        raise ValueError(f"this is no ONNX model: {error}") from error
    if not graph.node:
        raise ValueError("this is no ONNX model with a graph")
    nodes = tuple(
        Node(n.name or "".join(n.output[:1]), n.op_type, tuple(n.input), tuple(n.output))
        for n in graph.node
    )
    constants = {tensor.name for tensor in graph.initializer}
    constants.update(name for node in nodes if node.kind == "Constant" for name in node.outputs)
    return Graph(nodes, frozenset(constants))
