"""A network of a few hundred numbers, and devices whose parts it can tell apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from flwr.clientapp import ClientApp
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from edge.learner.client_app import client_app
from edge.learner.device import LearningDevice
from edge.learner.local_state import LocalState
from edge.learner.trainable import InputSize, Kept
from edge.learning.labelled_parts import GOOD, LabelledPicture, use_of
from shared.federation.base_network import BaseNetwork, write_base
from shared.federation.protocol import Scope
from shared.splitnet.network import block_unit
from shared.splitnet.objective import TrainingBatch

SIZE = 16


class TinyHead(nn.Module):
    """Two blocks and a map head."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([block_unit(1, 4, stride=2), block_unit(4, 6, stride=2)])
        self.map_head = nn.Linear(6, 1)


class TinyNet(nn.Module):
    """Named as the split network is, so that a `Scope` means the same in it."""

    def __init__(self) -> None:
        super().__init__()
        self.head = TinyHead()


class TinyStudent:
    """Block 0 is frozen, block 1 and the map head learn."""

    def __init__(self, base: BaseNetwork, scope: Scope) -> None:
        del scope
        self._net = TinyNet()
        state = {name: torch.from_numpy(a.copy()) for name, a in base.arrays.items()}
        self._net.load_state_dict(state)
        self._first, self._second = self._net.head.blocks

    @property
    def module(self) -> nn.Module:
        return self._net

    @property
    def size(self) -> InputSize:
        return InputSize(SIZE, SIZE, 1)

    def look(self, pictures: Tensor) -> Kept:
        with torch.no_grad():
            return [self._first.eval()((pictures - 127) / 128)]

    def loss(self, kept: Kept, batch: TrainingBatch, generator: torch.Generator) -> Tensor:
        del generator
        self._second.train()
        return functional.binary_cross_entropy_with_logits(self._judge(kept), batch.target)

    def score(self, kept: Kept) -> Tensor:
        self._second.eval()
        with torch.no_grad():
            return self._judge(kept)

    def shares(self) -> Sequence[tuple[list[nn.Parameter], bool]]:
        return [
            (list(self._second.parameters()), True),
            (list(self._net.head.map_head.parameters()), False),
        ]

    def _judge(self, kept: Kept) -> Tensor:
        scores: Tensor = self._net.head.map_head(self._second(kept[0]).mean(dim=(2, 3)))
        return scores.squeeze(1)


TINY = Scope(from_block=1, encoder=False)
TINY_VALUES = 4 * 6 * 9 + 4 * 6 + 7
"""Of block 1: a convolution, a norm's weight, bias, mean and variance; of the map head: seven."""


def tiny_base(folder: Path, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    arrays = {name: value.numpy() for name, value in TinyNet().state_dict().items()}
    path = folder / f"base-{seed}.npz"
    write_base(path, arrays, {"tiny": True})
    return path


class Parts:
    """Parts in memory; the defective ones have a bright spot on a ground of the domain's grey."""

    def __init__(
        self, device: str, *, good: int = 12, defective: int = 12, grey: int = 90, seed: int = 0
    ) -> None:
        self._device = device
        draws = np.random.default_rng(seed)
        self._labels: list[LabelledPicture] = []
        self._pictures: list[NDArray[np.uint8]] = []
        for number in range(good + defective):
            bad = number >= good
            picture = draws.normal(grey, 12, (SIZE, SIZE))
            if bad:
                x, y = draws.integers(2, SIZE - 6, 2)
                picture[y : y + 5, x : x + 5] += 90
            part = f"{device}-{seed}-{number}"
            kind = "spot" if bad else GOOD
            self._labels.append(LabelledPicture(part, bad, kind, device, use_of(part)))
            self._pictures.append(np.clip(picture, 0, 255).astype(np.uint8))

    @property
    def device(self) -> str:
        return self._device

    def index(self) -> Sequence[LabelledPicture]:
        return list(self._labels)

    def picture(self, place: int) -> NDArray[np.uint8]:
        return self._pictures[place]

    def mask(self, place: int) -> NDArray[np.bool_] | None:
        del place
        return None


def tiny_device(parts: Parts, base: Path, folder: Path) -> LearningDevice:
    state = LocalState(folder / parts.device)
    return LearningDevice(parts, BaseNetwork.read(base), state, maker=TinyStudent)


def tiny_apps(
    count: int, base: Path, folder: Path, extra: Mapping[str, Parts] | None = None
) -> dict[str, ClientApp]:
    """Devices `d00`, `d01`, …, each with its own ground; then those of `extra`."""
    parts = {f"d{n:02}": Parts(f"d{n:02}", grey=70 + n % 8 * 10, seed=n) for n in range(count)}
    parts |= extra or {}
    return {name: client_app(tiny_device(one, base, folder)) for name, one in parts.items()}
