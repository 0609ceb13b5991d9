"""The tables that a LiteRT file is made of: buffers, tensors, operators."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

IDENTIFIER = b"TFL3"
FILE_VERSION = 3
OLDEST_NAMED = 127


class LitertTables:
    """What is in a file by now."""

    def __init__(self) -> None:
        self.graph: Any = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self._model: Any = schema.ModelT()
        self._model.version, self._model.description = FILE_VERSION, "a splitsight head"
        self._model.buffers, self._model.operatorCodes = [schema.BufferT()], []
        self._model.subgraphs = [self.graph]
        self._codes: dict[tuple[int, int], int] = {}

    def tensor(
        self,
        name: str,
        shape: tuple[int, ...],
        kind: int,
        *,
        steps: tuple[NDArray[np.float32], NDArray[np.int64]] | None = None,
        data: NDArray[np.generic] | None = None,
        axis: int = 0,
    ) -> int:
        """steps: scales and zero points, of the whole tensor or of each place of an axis"""
        made: Any = schema.TensorT()
        made.name, made.shape, made.type, made.buffer = name, np.array(shape, np.int32), kind, 0
        if data is not None:
            buffer: Any = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            self._model.buffers.append(buffer)
            made.buffer = len(self._model.buffers) - 1
        if steps is not None:
            made.quantization = schema.QuantizationParametersT()
            made.quantization.scale, made.quantization.zeroPoint = steps
            made.quantization.quantizedDimension = axis
        self.graph.tensors.append(made)
        return len(self.graph.tensors) - 1

    def operator(
        self, kind: int, version: int, reads: list[int], writes: int, options: tuple[int, Any]
    ) -> None:
        code = self._codes.get((kind, version))
        if code is None:
            made: Any = schema.OperatorCodeT()
            made.builtinCode, made.version = kind, version
            made.deprecatedBuiltinCode = min(kind, OLDEST_NAMED)
            self._model.operatorCodes.append(made)
            code = self._codes[kind, version] = len(self._codes)
        operator: Any = schema.OperatorT()
        operator.opcodeIndex = code
        operator.inputs, operator.outputs = np.array(reads, np.int32), np.array([writes], np.int32)
        operator.builtinOptionsType, operator.builtinOptions = options
        self.graph.operators.append(operator)

    def packed(self) -> bytes:
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self._model.Pack(builder), IDENTIFIER)
        return bytes(builder.Output())
