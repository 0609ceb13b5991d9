"""The whole int8 head beside the stem and the first five blocks alone, one thread."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shared.bundles.bundle import Bundle
from shared.bundles.manifest import HEAD
from shared.runtime.base import Runtime, RuntimeOptions, open_runtime
from shared.splitnet.export import export_module
from shared.splitnet.fusion import fuse_norms
from shared.splitnet.network import Architecture, SplitNet
from shared.splitnet.quantisation import quantise_head

BLOCKS = 5
ROUNDS = 9
RUNS = 40


class FirstBlocks(nn.Module):
    """What every split after block 4 would have to run at least."""

    def __init__(self, net: SplitNet) -> None:
        super().__init__()
        self.stem = net.head.stem
        self.blocks = net.head.blocks[:BLOCKS]

    def forward(self, picture: Tensor) -> Tensor:
        features: Tensor = self.stem(picture)
        for block in self.blocks:
            features = block(features)
        return features


def measure(bundle_path: Path, folder: Path) -> list[dict[str, object]]:
    """One row a backend; both models take turns, the median of the rounds counts."""
    del folder
    bundle = Bundle.open(bundle_path)
    architecture = Architecture.of(bundle.manifest.architecture)
    shape = (1, *bundle.manifest.input.shape)
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, shape, dtype=np.uint8) for _ in range(8)]
    first = export_module(
        fuse_norms(FirstBlocks(SplitNet(architecture).eval())),
        torch.zeros(shape, dtype=torch.uint8),
        architecture,
    )
    models = {"head": bundle.read(HEAD), "blocks 0-4": quantise_head(first, pictures)}
    return [_row(backend, models, pictures[0]) for backend in ("openvino", "onnx")]


def _row(backend: str, models: dict[str, bytes], picture: NDArray[np.uint8]) -> dict[str, object]:
    runtimes = {
        name: open_runtime(backend, model, RuntimeOptions(threads=1))
        for name, model in models.items()
    }
    times: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(ROUNDS):
        for name, runtime in runtimes.items():
            times[name].append(_milliseconds(runtime, picture))
    head, blocks = (float(np.median(times[name])) for name in ("head", "blocks 0-4"))
    return {
        "runtime": backend,
        "head_ms": head,
        "blocks_ms": blocks,
        "ratio": head / blocks,
        "wanted": 1.5,
    }


def _milliseconds(runtime: Runtime, picture: NDArray[np.uint8]) -> float:
    runtime.run(picture)
    began = time.perf_counter()
    for _ in range(RUNS):
        runtime.run(picture)
    return (time.perf_counter() - began) / RUNS * 1000
