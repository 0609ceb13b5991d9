"""PyTorch for the tail, on `cuda` or `cpu`: one code path, tested on CPU."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import onnx
import torch

from shared.runtime.base import Array, RuntimeOptions
from shared.splitnet.export import ARCHITECTURE_KEY, DeployedTail, deployed_tail, tail_weights
from shared.splitnet.good_only import adopt_gaussian
from shared.splitnet.network import Architecture


def rebuilt_tail(model: bytes) -> DeployedTail:
    """A bundle's tail in torch, from the weights inside its ONNX file.

    Raises ValueError where the model is not a tail that splitsight exported.
    """
    proto = onnx.load_from_string(model)
    properties = {entry.key: entry.value for entry in proto.metadata_props}
    if ARCHITECTURE_KEY not in properties or proto.graph.input[0].name != "symbols":
        raise ValueError("torch runs only tails that splitsight exported")
    tail = deployed_tail(Architecture.of(json.loads(properties[ARCHITECTURE_KEY])))
    found = tail_weights(proto)
    adopt_gaussian(tail.tail, found, "tail.")
    wanted = tail.state_dict()
    tail.load_state_dict({name: torch.from_numpy(found[name].copy()) for name in wanted})
    return tail.eval()


class TorchTailRuntime:
    """A bundle's tail in torch. Raises ValueError as `rebuilt_tail` does."""

    name = "torch"

    def __init__(self, model: bytes, options: RuntimeOptions) -> None:
        self.device = options.device.lower()
        self._tail = rebuilt_tail(model).to(self.device)
        if options.threads and self.device == "cpu":
            torch.set_num_threads(options.threads)

    def run(self, inputs: Array) -> Sequence[Array]:
        with torch.inference_mode():
            outputs = self._tail(torch.from_numpy(np.ascontiguousarray(inputs)).to(self.device))
        return [output.cpu().numpy() for output in outputs]
