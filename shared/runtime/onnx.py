"""ONNX Runtime: CPU and CUDA."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnxruntime

from shared.runtime.base import Array, RuntimeOptions

PROVIDERS = {"CPU": "CPUExecutionProvider", "CUDA": "CUDAExecutionProvider"}


class OnnxRuntime:
    """A session of ONNX Runtime on one device."""

    name = "onnx"

    def __init__(self, model: bytes, options: RuntimeOptions) -> None:
        self.device = options.device.upper()
        if self.device not in PROVIDERS:
            raise ValueError(f"device {options.device}, known: {', '.join(PROVIDERS)}")
        provider = PROVIDERS[self.device]
        if provider not in onnxruntime.get_available_providers():
            raise ValueError(f"{provider} is not part of this onnxruntime")
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = options.threads
        settings.inter_op_num_threads = 1
        # Spinning threads would take the core that decodes and journals.
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Without it int8 kernels of x86 processors that lack VNNI saturate: features came out wrong
        # by up to ten steps, silently. It costs such processors 1.4 times the time, others nothing.
        settings.add_session_config_entry("session.x64quantprecision", "1")
        settings.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(model, settings, providers=[provider])
        self._input = self._session.get_inputs()[0].name

    def run(self, inputs: Array) -> Sequence[Array]:
        return [np.asarray(o) for o in self._session.run(None, {self._input: inputs})]


def devices() -> list[str]:
    """The devices that this build of ONNX Runtime can use."""
    available = set(onnxruntime.get_available_providers())
    return [device for device, provider in PROVIDERS.items() if provider in available]
