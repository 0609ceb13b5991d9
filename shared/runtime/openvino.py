"""OpenVINO: CPU, NPU, GPU."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import openvino

from shared.runtime.base import Array, RuntimeOptions
from shared.runtime.instructions import saturates


@cache
def _core() -> openvino.Core:
    return openvino.Core()


class OpenVinoRuntime:
    """A model compiled by OpenVINO for one device."""

    name = "openvino"

    def __init__(self, model: bytes, options: RuntimeOptions) -> None:
        self.device = options.device.upper()
        config: dict[str, object] = {"PERFORMANCE_HINT": "LATENCY"}
        if self.device == "CPU":
            # bfloat16 is the default where the CPU has it; it differs from the golden outputs.
            config["INFERENCE_PRECISION_HINT"] = "f32"
            if saturates():
                # Int8 operations, as floats of the same values.
                config["LP_TRANSFORMS_MODE"] = "NO"
            if options.threads:
                config["INFERENCE_NUM_THREADS"] = options.threads
        compiled = _core().compile_model(_core().read_model(model), self.device, config)
        self._request = compiled.create_infer_request()
        self._outputs = len(compiled.outputs)

    def run(self, inputs: Array) -> Sequence[Array]:
        self._request.infer([np.ascontiguousarray(inputs)], share_inputs=True)
        return [
            np.array(self._request.get_output_tensor(index).data) for index in range(self._outputs)
        ]


def devices() -> list[str]:
    """The devices that OpenVINO finds here."""
    return [str(device) for device in _core().available_devices]
