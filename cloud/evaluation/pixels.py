"""The cloud model on pixels: what accuracy would be, had the whole picture been sent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, ValueInfoProto

from shared.bundles.manifest import InputSpec
from shared.bundles.runtime_choice import choose_runtime
from shared.errors import SettingsError
from shared.runtime.base import RuntimeOptions

INPUT = "picture"
OUTPUTS = ["map", "score"]
_FIX = "give the pixels.onnx of the training run that the bundle comes from"


class PixelsModel:
    """An ONNX file: `picture` uint8 (n, c, h, w) → `map` (n, 1, h/8, w/8) and `score` (n,)."""

    def __init__(self, path: Path, spec: InputSpec, runtime: str = "auto", threads: int = 0):
        """Load it.

        spec   of the bundle that it is compared with, whose pictures it must take
        Raises SettingsError where the file is not such a model, RuntimeUnavailable where no
        backend runs it.
        """
        raw = _read(path)
        _check(path, raw, spec)
        self._runtime = choose_runtime(runtime, raw, RuntimeOptions(threads=threads)).runtime

    def scores(self, pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Probabilities (n,) of prepared pictures, uint8 (n, c, h, w)."""
        return np.asarray(self._runtime.run(pictures)[1], np.float64).reshape(-1)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{path} can't be read ({error.strerror})", fix=_FIX) from error


def _check(path: Path, raw: bytes, spec: InputSpec) -> None:
    try:
        graph = onnx.load_model_from_string(raw).graph
    except Exception as error:
        # protobuf's own exception, whose package has no types.
        raise SettingsError(f"{path} is not an ONNX model ({error})", fix=_FIX) from error
    found = ", ".join(_described(value) for value in graph.input)
    wanted = f"{INPUT} uint8 (n, {spec.channels}, {spec.height}, {spec.width})"
    if found != wanted:
        raise SettingsError(f"{path} takes {found or 'nothing'}", fix=f"want {wanted}; {_FIX}")
    outputs = [value.name for value in graph.output]
    if outputs[:2] != OUTPUTS:
        raise SettingsError(
            f"{path} gives {', '.join(outputs) or 'nothing'}",
            fix=f"want {' and '.join(OUTPUTS)}; {_FIX}",
        )


def _described(value: ValueInfoProto) -> str:
    kind = value.type.tensor_type
    # Only the number of pictures may be free.
    sizes = [str(d.dim_value) if d.HasField("dim_value") else "n" for d in kind.shape.dim]
    return f"{value.name} {TensorProto.DataType.Name(kind.elem_type).lower()} ({', '.join(sizes)})"
