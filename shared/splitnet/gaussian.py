"""What good parts look like, as a Gaussian over a network's features: no defect is needed.

The distance of Mahalanobis from the mean of good parts, as in *PaDiM* (Defard et al., ICPR 2021
workshops), with a mean for each place and one covariance for all of them: a covariance a place
would want hundreds of pictures, and megabytes on the device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from shared.errors import TrainingError

STEPS = 256
LARGEST = 128.0
CHUNK = 64
SHRINKAGE = 0.1
TOP_SHARE = 0.05
PLACES_AROUND = 3
ZOOM = 2


@dataclass(frozen=True, slots=True)
class FeatureSums:
    """Sums over pictures of good parts, from which their Gaussian follows.

    Features are counted in steps of 1/256, so that every sum is an integer: sites can add theirs
    in any order and get, to the last bit, what all pictures in one place would have given. Sums
    of a single picture are its features, so a site should add up many before it sends them.

    count     pictures
    total     int64 (channels, height, width), Σ x
    products  int64 (channels, channels), Σ x xᵀ over pictures and places
    """

    count: int
    total: NDArray[np.int64]
    products: NDArray[np.int64]

    @classmethod
    def of(cls, features: NDArray[np.float32]) -> Self:
        """Of features (n, channels, height, width), each within ±128.

        Raises TrainingError for features beyond, or that are not numbers.
        """
        _, channels, height, width = features.shape
        if not bool(np.all(np.abs(features) <= LARGEST)):
            raise TrainingError(
                f"features of {np.abs(features).max():.3g} came, at most {LARGEST:g} can be summed",
                fix="train again with a lower --learning-rate: the network has run away",
            )
        total = np.zeros((channels, height, width), np.int64)
        products = np.zeros((channels, channels), np.int64)
        # Sums of whole numbers are exact in float64 up to 2⁵³, and multiply much faster there.
        for start in range(0, len(features), CHUNK):
            steps = np.rint(features[start : start + CHUNK].astype(np.float64) * STEPS)
            total += steps.sum(axis=0).astype(np.int64)
            rows = steps.transpose(1, 0, 2, 3).reshape(channels, -1)
            products += (rows @ rows.T).astype(np.int64)
        return cls(len(features), total, products)

    def __add__(self, other: FeatureSums) -> FeatureSums:
        """Those of both. Raises TrainingError where the features are of another shape."""
        if self.total.shape != other.total.shape:
            raise TrainingError(
                f"sums over features of shape {self.total.shape} and {other.total.shape} came",
                fix="add only what the same network made of pictures of the same size",
            )
        return FeatureSums(
            self.count + other.count, self.total + other.total, self.products + other.products
        )

    def gaussian(self, shrinkage: float = SHRINKAGE) -> Gaussian:
        """The Gaussian, its covariance shrunk towards a multiple of the identity.

        shrinkage   weight of the mean variance that is added to the diagonal; it keeps directions
                    in which good parts hardly differ from deciding alone, and makes up for few
                    pictures
        Raises TrainingError where the pictures don't differ.
        """
        channels, height, width = self.total.shape
        mean = self.total / max(self.count, 1)
        flat = mean.reshape(channels, -1)
        rest = max(1, (self.count - 1) * height * width)
        covariance = (self.products - self.count * (flat @ flat.T)) / rest
        spread = float(np.trace(covariance)) / channels
        if spread < 1.0:
            # Less than one step: what is left is rounding.
            raise TrainingError(
                f"the features of {self.count} good pictures do not differ",
                fix="give pictures of different parts, not copies of one picture",
            )
        covariance += shrinkage * spread * np.eye(channels)
        values, vectors = np.linalg.eigh(covariance)
        whitening = (vectors / np.sqrt(values)).T * STEPS
        return Gaussian((mean / STEPS).astype(np.float32), whitening.astype(np.float32))


@dataclass(frozen=True, slots=True)
class Gaussian:
    """The distribution of good parts' features.

    mean       float32 (channels, height, width)
    whitening  float32 (channels, channels): ‖whitening · (x − mean)‖ is the distance of x
    """

    mean: NDArray[np.float32]
    whitening: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Scale:
    """How a distance becomes a probability: logistic in its logarithm.

    middle     logarithm of the squared distance that scores ½
    steepness  log-odds for each unit of it, > 0
    """

    middle: float
    steepness: float

    @classmethod
    def of(cls, logs: NDArray[np.floating], *, usual: float = 0.25, rare: float = 0.95) -> Self:
        """From the scores of good parts that shaped nothing (n,), as a GaussianHead gives them
        with the scale (0, 1): half of them score below `usual`, the share `rare` below ½.

        Raises TrainingError where they don't differ.
        """
        median, high = np.quantile(logs, [0.5, rare])
        if not high > median:
            raise TrainingError(
                f"the scores of {len(logs)} good calibration pictures do not differ",
                fix="give pictures of different parts for calibration, not copies of one picture",
            )
        odds = np.log((1 - usual) / usual)
        return cls(float(high), float(odds / (high - median)))


class GaussianHead(nn.Module):
    """In place of a MapHead: how far features lie from those of good parts.

    In: float32 (n, channels, height/16, width/16). Out: defect map (n, 1, height/8, width/8) and
    image score (n,), both logits. A place is judged with its neighbours, since a defect that one
    place sees is seen next to it too; the image by the mean of the map's highest places.
    """

    mean: Tensor
    middle: Tensor
    steepness: Tensor

    def __init__(self, channels: int, height: int, width: int) -> None:
        super().__init__()
        self.whiten = nn.Conv2d(channels, channels, 1, bias=False)
        self.top = max(1, round(height * width * TOP_SHARE))
        self.register_buffer("mean", torch.zeros(1, channels, height, width))
        self.register_buffer("middle", torch.zeros(1))
        self.register_buffer("steepness", torch.ones(1))

    @classmethod
    def of(cls, gaussian: Gaussian) -> Self:
        """With the scale (0, 1)."""
        head = cls(*gaussian.mean.shape)
        head.mean.copy_(torch.from_numpy(gaussian.mean))
        with torch.no_grad():
            head.whiten.weight.copy_(torch.from_numpy(gaussian.whitening)[:, :, None, None])
        return head.requires_grad_(False).eval()

    def rescale(self, scale: Scale) -> None:
        self.middle.fill_(scale.middle)
        self.steepness.fill_(scale.steepness)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        apart = self.whiten(features - self.mean).square().mean(dim=1, keepdim=True)
        around = functional.avg_pool2d(
            apart, PLACES_AROUND, 1, PLACES_AROUND // 2, count_include_pad=False
        )
        logits = (around.clamp_min(1e-6).log() - self.middle) * self.steepness
        score = logits.flatten(1).topk(self.top, dim=1, sorted=False).values.mean(dim=1)
        return functional.interpolate(logits, scale_factor=float(ZOOM), mode="nearest"), score
