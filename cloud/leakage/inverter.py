"""The inverter: features that were sent → the head's input picture, as an eavesdropper would.

A convolutional decoder like those of Dosovitskiy and Brox (*Inverting Visual Representations with
Convolutional Networks*, CVPR 2016). One network for all coarsenesses, which the message tells it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from shared.console import err, track
from shared.errors import TrainingError
from shared.splitnet.network import block_unit
from shared.splitnet.precision import quick_precision

WIDEST = 128
NARROWEST = 16
WIDTH_OF_PLACE = 8
LEAST_PICTURES = 8


@dataclass(frozen=True, slots=True)
class Fit:
    """How the inverter is trained.

    rate   of learning, at its highest
    """

    epochs: int = 40
    batch: int = 8
    rate: float = 3e-3
    seed: int = 0


class Doubling(nn.Module):
    """Features (n, inputs, h, w) → (n, outputs, 2h, 2w), with a residual step at the end."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.widen = nn.Conv2d(inputs, 4 * outputs, 1)
        self.first = block_unit(outputs, outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1)

    def forward(self, features: Tensor) -> Tensor:
        # No activation on the way through: large soft shades need a path that nothing can block.
        larger = functional.pixel_shuffle(self.widen(features), 2)
        refined: Tensor = larger + self.second(self.first(larger))
        return refined


class Inverter(nn.Module):
    """In: symbols float32 (n, c, h, w), coarseness float32 (n,). Out: pictures, 0–1.

    It also learns what every picture of the set has in common at each place.
    """

    def __init__(self, features: tuple[int, int, int], picture: tuple[int, int, int]) -> None:
        """Shapes: channels, height, width. Raises TrainingError where they don't belong together.

        The picture's sides must be the features' times one power of two.
        """
        super().__init__()
        channels, height, width = features
        doublings = int(math.log2(max(1, picture[1] // height)))
        if doublings < 1 or picture[1:] != (height << doublings, width << doublings):
            raise TrainingError(
                f"features of {width}×{height} places came for a picture of "
                f"{picture[2]}×{picture[1]}",
                fix="the inverter needs a picture 2, 4, 8, 16 … times as wide and high",
            )
        widths = [max(NARROWEST, WIDEST >> step) for step in range(doublings)]
        self.place = nn.Parameter(torch.zeros(1, WIDTH_OF_PLACE, height, width))
        self.enter = nn.Sequential(
            block_unit(channels + WIDTH_OF_PLACE + 1, WIDEST), block_unit(WIDEST, WIDEST)
        )
        # The last doubling is left to the layer that leaves.
        self.doubled = nn.Sequential(*(Doubling(a, b) for a, b in pairwise(widths)))
        self.leave = nn.Conv2d(widths[-1], 4 * picture[0], 3, 1, 1)
        nn.init.constant_(self.leave.bias, 0.5)  # type: ignore[arg-type]

    def forward(self, symbols: Tensor, coarseness: Tensor) -> Tensor:
        n, _, height, width = symbols.shape
        place = self.place.expand(n, -1, -1, -1)
        told = (coarseness.log2() / 8).view(n, 1, 1, 1).expand(n, 1, height, width)
        hidden = self.doubled(self.enter(torch.cat([symbols / 4, place, told], dim=1)))
        picture: Tensor = functional.pixel_shuffle(self.leave(hidden), 2)
        return picture


class InverterBatches:
    """Shuffled batches: symbols, their coarseness, and the pictures to be made of them.

    symbols    by coarseness, int8 (n, c, h, w); for each picture one coarseness is drawn, more
               often than not the finest, from which there is most to learn
    pictures   uint8 (n, channels, height, width)
    """

    def __init__(
        self, symbols: Mapping[int, NDArray[np.int8]], pictures: NDArray[np.uint8], how: Fit
    ) -> None:
        self._ladder = np.array(sorted(symbols))
        self._symbols = np.stack([symbols[int(k)] for k in self._ladder])
        self._pictures = pictures
        self._size = min(how.batch, len(pictures))
        self._rng = np.random.default_rng(how.seed)

    def __len__(self) -> int:
        return len(self._pictures) // self._size

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        order = self._rng.permutation(len(self._pictures))
        for start in range(0, len(self) * self._size, self._size):
            index = np.sort(order[start : start + self._size])
            drawn = self._rng.integers(len(self._ladder), size=self._size)
            drawn *= self._rng.integers(2, size=self._size)
            yield (
                torch.from_numpy(self._symbols[drawn, index]).float(),
                torch.from_numpy(self._ladder[drawn]).float(),
                torch.from_numpy(self._pictures[index]).float() / 255,
            )


def fit_inverter(
    symbols: Mapping[int, NDArray[np.int8]], pictures: NDArray[np.uint8], how: Fit
) -> Inverter:
    """Train on pictures and their symbols, as in `InverterBatches`, for the least squared error.

    Raises TrainingError for too few pictures, or where the error ends up as no number.
    """
    if len(pictures) < LEAST_PICTURES:
        raise TrainingError(
            f"there are {len(pictures)} training pictures",
            fix=f"an inverter needs {LEAST_PICTURES}, and a good one hundreds",
        )
    torch.manual_seed(how.seed)
    net = Inverter(next(iter(symbols.values())).shape[1:], pictures.shape[1:])
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    batches = InverterBatches(symbols, pictures, how)
    optimiser = torch.optim.AdamW(net.parameters(), lr=how.rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, how.rate, total_steps=how.epochs * len(batches), pct_start=0.15
    )
    for epoch in range(1, how.epochs + 1):
        errors = []
        for given, coarseness, wanted in track(batches, f"inverter, epoch {epoch}", len(batches)):
            with quick_precision():
                found = net(given.contiguous(memory_format=torch.channels_last), coarseness)
            loss = functional.mse_loss(found.float(), wanted)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            errors.append(float(loss.detach()))
        error = math.sqrt(sum(errors) / len(errors))
        err.print(f"epoch {epoch} of {how.epochs}: off by {error:.4f}", highlight=False)
        if not math.isfinite(error):
            raise TrainingError("the inverter's error is not a number", fix="try another --seed")
    return net.eval()


@torch.inference_mode()
def reconstruct(
    net: Inverter, symbols: NDArray[np.int8], coarseness: int, batch: int = 16
) -> NDArray[np.uint8]:
    """Pictures from symbols (n, c, h, w), uint8 (n, channels, height, width)."""
    made = []
    for start in range(0, len(symbols), batch):
        given = torch.from_numpy(symbols[start : start + batch]).float()
        found = net(given, torch.full((len(given),), float(coarseness)))
        made.append((found.clamp(0, 1) * 255).round().to(torch.uint8).numpy())
    return np.concatenate(made)
