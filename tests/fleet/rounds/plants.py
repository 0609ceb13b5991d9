"""Plants with labelled parts of their own, a small split network and the bundle made from it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from flwr.clientapp import ClientApp
from numpy.typing import NDArray

from edge.learner.client_app import client_app
from edge.learner.device import LearningDevice
from edge.learner.local_state import LocalState
from edge.learning.labelled_parts import GOOD, USES, LabelledPicture, Use
from shared.bundles.bundle import Bundle, write_bundle
from shared.bundles.golden import golden_inputs, golden_outputs
from shared.bundles.manifest import CODEC, GOLDEN, HEAD, HEAD_FLOAT, TAIL
from shared.features.codec import FeatureCodec, tables_from_symbols
from shared.federation.base_network import BaseNetwork
from shared.runtime.base import open_runtime
from shared.splitnet.base_network import export_base
from shared.splitnet.export import export_head, export_int8_head, export_tail
from shared.splitnet.network import Architecture, SplitNet
from shared.splitnet.objective import SYMBOL_LIMIT
from tests.cloud.datasets.makers import part

SIZE = 64
SHAPE = Architecture(height=SIZE, width=SIZE)
TURNS: tuple[Use, ...] = (*USES, "train")


class Plant:
    """Parts in memory, half of them with a blot; uses in turn, so that each has both kinds."""

    def __init__(self, device: str, parts: int = 24, *, uses: Sequence[Use] = TURNS) -> None:
        self._device = device
        seed = int(hashlib.sha256(device.encode()).hexdigest()[:6], 16)
        self._labels: list[LabelledPicture] = []
        self.pictures: list[NDArray[np.uint8]] = []
        for number in range(parts):
            bad = number % 2 == 1
            use = uses[number // 2 % len(uses)]
            label = LabelledPicture(f"{device}/{number}", bad, "blot" if bad else GOOD, device, use)
            self._labels.append(label)
            self.pictures.append(part(seed + number, defective=bad, size=SIZE))

    @property
    def device(self) -> str:
        return self._device

    def index(self) -> Sequence[LabelledPicture]:
        return self._labels

    def picture(self, place: int) -> NDArray[np.uint8]:
        return self.pictures[place]

    def mask(self, place: int) -> NDArray[np.bool_] | None:
        del place
        return None


def lively_net(seed: int = 0) -> SplitNet:
    """Biases and statistics as training leaves them: nowhere zero, nowhere alike."""
    torch.manual_seed(seed)
    net = SplitNet(SHAPE, pretrained=False)
    net.train()
    with torch.no_grad():
        for name, value in net.named_parameters():
            if name.endswith("bias"):
                value.normal_(0, 0.1)
        net.head.map_head.whole.weight.normal_(0, 10)
        net.tail.map_head.whole.weight.normal_(0, 100)
        drawn = [part(n, defective=n % 2 == 1, size=SIZE) for n in range(8)]
        pictures = torch.from_numpy(np.stack(drawn)[:, np.newaxis])
        for _ in range(8):
            features, _, _ = net.head(pictures)
            net.tail(features.round())
        net.eval()
        # Scores lie apart and about a middle of this network's own, as a trained one's do.
        features, _, score = net.head(pictures)
        net.head.map_head.whole.bias.sub_(score.mean() - torch.randn(()))
        net.tail.map_head.whole.bias.sub_(net.tail(features.round()).score.mean())
    return net


def make_present(folder: Path) -> tuple[Path, Bundle]:
    """The base network's file, and the bundle that was made from the same network."""
    net = lively_net()
    export_base(net, folder / "base.npz")
    drawn = [part(n + 50, defective=n % 2 == 1, size=SIZE) for n in range(12)]
    pictures = [np.asarray(one[np.newaxis, np.newaxis], np.uint8) for one in drawn]
    head_float = export_head(net)
    head, tail = export_int8_head(net, head_float, pictures), export_tail(net)
    runtime = open_runtime("onnx", head)
    features = np.concatenate([np.asarray(runtime.run(one)[0], np.float32) for one in pictures])
    symbols = np.clip(np.rint(features), -SYMBOL_LIMIT, SYMBOL_LIMIT).astype(np.int8)
    tables = tables_from_symbols(symbols, SYMBOL_LIMIT)
    golden = golden_outputs(
        golden_inputs((1, SIZE, SIZE)),
        runtime,
        open_runtime("onnx", head_float),
        open_runtime("onnx", tail),
        FeatureCodec.of(tables, symbols.shape[1:]),
    )
    files = {
        HEAD: head,
        HEAD_FLOAT: head_float,
        TAIL: tail,
        CODEC: tables.to_json(),
        GOLDEN: golden.to_bytes(),
    }
    return folder / "base.npz", write_bundle(folder / "present", _manifest(), files)


def plant_apps(plants: Sequence[Plant], base: Path, folder: Path) -> dict[str, ClientApp]:
    network = BaseNetwork.read(base)
    return {
        one.device: client_app(LearningDevice(one, network, LocalState(folder / one.device)))
        for one in plants
    }


def _manifest() -> Mapping[str, object]:
    places = SIZE // 16
    return {
        "name": "blots",
        "version": "1.4",
        "created": "2026-01-01T00:00:00Z",
        "architecture": {
            "height": SIZE, "width": SIZE, "channels": 1, "split_block": SHAPE.split_block,
            "bottleneck": SHAPE.bottleneck, "kinds": 0, "backbone": SHAPE.backbone,
            "dropped_blocks": SHAPE.dropped_blocks,
        },
        "split_point": "test",
        "input": {"height": SIZE, "width": SIZE, "channels": 1},
        "features": {"channels": SHAPE.bottleneck, "height": places, "width": places},
        "classes": ["blot"],
        "gate": {"pass_below": 0.3, "reject_from": 0.7, "cloud_reject_from": 0.5},
        "training": {
            "data": "drawn blots",
            "data_hash": "0" * 64,
            "data_licence": "none",
            "weights": "seeded noise",
            "seed": 0,
            "epochs": 0,
        },
    }  # fmt: skip
