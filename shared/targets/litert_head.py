"""An accelerator's head as LiteRT runs it, on the CPU by XNNPACK: ARM boards, and what stands in
for an NPU whose compiler keeps LiteRT's integers."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import RuntimeUnavailable
from shared.runtime.base import Array
from shared.targets.host_judgement import OUTPUTS, host_judgement

# uint8's levels as int8's, bit by bit.
FLIPPED = np.uint8(0x80)


class LitertFile:
    """An int8 file, loaded: a picture in, its outputs in float by their names.

    Raises RuntimeUnavailable for what LiteRT can't load. Not safe to share between threads.
    """

    def __init__(self, file: bytes, threads: int = 1) -> None:
        """file: as `litert_file` gives it"""
        # Half a second, and only who exports or verifies for a target needs it.
        from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415

        try:
            self._interpreter: Any = Interpreter(model_content=file, num_threads=threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise RuntimeUnavailable(
                f"LiteRT can't run this file: {error}", fix="export it anew for this target"
            ) from error
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._outputs = {one["name"]: one for one in self._interpreter.get_output_details()}

    @property
    def names(self) -> AbstractSet[str]:
        """Of its outputs."""
        return self._outputs.keys()

    def run(self, inputs: Array) -> dict[str, NDArray[np.float32]]:
        """inputs: uint8 (1, c, h, w). Outputs float32, channels first."""
        levels = np.asarray(inputs, np.uint8).transpose(0, 2, 3, 1) ^ FLIPPED
        self._interpreter.set_tensor(self._input, levels.view(np.int8))
        self._interpreter.invoke()
        return {name: self._read(output) for name, output in self._outputs.items()}

    def _read(self, output: dict[str, Any]) -> NDArray[np.float32]:
        scale, zero = output["quantization"]
        whole = self._interpreter.get_tensor(output["index"]).astype(np.float32)
        return np.ascontiguousarray((whole - zero) * np.float32(scale)).transpose(0, 3, 1, 2)


class LitertHead:
    """A `shared.runtime.base.Runtime` whose outputs are a head's: features, map and score.

    Not safe to share between threads.
    """

    name = "litert"
    device = "CPU"

    def __init__(self, file: bytes, top: int, shift: float = 0.0, threads: int = 1) -> None:
        """file: as `litert_file` gives it; top, shift: as `host_judgement` takes them

        Raises RuntimeUnavailable for a file that is none of ours.
        """
        self._file, self._top, self._shift = LitertFile(file, threads), top, shift
        lacking = set(OUTPUTS) - self._file.names
        if lacking:
            raise RuntimeUnavailable(
                f"this LiteRT file has no output {', '.join(sorted(lacking))}",
                fix="export it anew for this target",
            )

    def run(self, inputs: Array) -> Sequence[Array]:
        """inputs: uint8 (1, c, h, w). Features, map and score, float32, as the shipped head."""
        features, logits, whole = map(self._file.run(inputs).__getitem__, OUTPUTS)
        judged = host_judgement(logits, whole, self._top, self._shift)
        return features, judged.defect_map, judged.score
