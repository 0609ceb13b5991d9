"""The pictures of a data set as parts on a line: any set that training reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hardware_sim.line.drawing.defects import severity
from hardware_sim.line.drawing.parts import GOOD, DrawnPart
from hardware_sim.line.drawing.surface import Pixels
from shared.errors import DataError, MissingExtra
from shared.features.depth import WrongPixels, eight_bit
from shared.features.picture_file import AS_STORED, loaded
from shared.features.pixel_settings import AS_IT_IS
from shared.opener import Unopenable

if TYPE_CHECKING:
    from cloud.datasets.dataset import Dataset, Sample

_SHUFFLE, _BURST = 8, 9


class ReplayedParts:
    """Every picture of a data set as a part.

    Part 1 is the first picture. Endless: each time round in another order, which the seed gives.
    Once: in the data set's own order.
    """

    def __init__(self, dataset: Dataset, seed: int, *, once: bool = False) -> None:
        """Raises DataError for a data set without pictures."""
        if not dataset.samples:
            raise DataError(f"{dataset.name} has no pictures", fix="give a set that has some")
        self._samples = dataset.samples
        self._has_masks = dataset.has_masks
        self._seed = seed
        self._once = once
        self._wrong = [n for n, sample in enumerate(self._samples) if sample.defective]
        self._right = [n for n, sample in enumerate(self._samples) if not sample.defective]

    @property
    def count(self) -> int | None:
        return len(self._samples) if self._once else None

    def part(self, number: int, *, rate: float | None = None) -> DrawnPart:
        """As in `PartSource`. Raises DataError for a picture that can't be read."""
        sample = self._samples[self._index(number) if rate is None else self._among(number, rate)]
        pixels = _read(sample)
        mask = np.zeros(pixels.shape[:2], np.bool_)
        if sample.mask is not None:
            mask = sample.mask.pixels(*pixels.shape[:2])
        return DrawnPart(
            number,
            pixels,
            mask,
            sample.defect if sample.defective else GOOD,
            _severity(pixels, mask) if sample.defective else 0.0,
            self._seed,
            sample.image.name,
        )

    def _index(self, number: int) -> int:
        turn, place = divmod(number - 1, len(self._samples))
        if self._once:
            return place
        return int(_order(self._seed, turn, len(self._samples))[place])

    def _among(self, number: int, rate: float) -> int:
        """A picture of the side that the rate chooses, where the set has both."""
        rng = np.random.default_rng([self._seed, _BURST, number])
        wanted = self._wrong if rng.random() < rate else self._right
        return int(rng.choice(wanted or range(len(self._samples))))


def replay(data: str, seed: int, *, once: bool = False, split: str | None = None) -> ReplayedParts:
    """Replay a data set by the path or name that training takes.

    split   only its pictures: train, calibrate or test; None: all of them
    Raises DataError, SettingsError for a split that there is not, MissingExtra where reading the
    set needs what is not installed.
    """
    try:
        return ReplayedParts(_dataset(data, split), seed, once=once)
    except ImportError as error:
        raise MissingExtra("sim", error) from error


def _dataset(data: str, split: str | None) -> Dataset:
    if data == "elpv" and split is None:
        return _undivided_elpv()
    # Reading is not every line's affair, and dividing a set needs packages that drawing does not.
    from cloud.datasets.dataset import split_named  # noqa: PLC0415
    from cloud.datasets.readers import read  # noqa: PLC0415

    return read(data) if split is None else read(data).of(split_named(split))


def _undivided_elpv() -> Dataset:
    """All cells, without the search for near-identical ones that a division into splits needs."""
    from cloud.datasets.dataset import Dataset  # noqa: PLC0415
    from cloud.datasets.elpv_wheel import LICENCE, elpv_cells  # noqa: PLC0415

    samples = tuple(cell.sample(cell.image.name, "test") for cell in elpv_cells())
    return Dataset(name="elpv", licence=LICENCE, samples=samples)


def _order(seed: int, turn: int, count: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, _SHUFFLE, turn]).permutation(count)


def _read(sample: Sample) -> Pixels:
    try:
        return eight_bit(loaded(sample.image, AS_STORED), AS_IT_IS)
    except WrongPixels as error:
        raise DataError(f"{sample.image} is {error}", fix="save the set with 8 bits") from error
    except Unopenable as error:
        raise DataError(
            f"{sample.image} is not a picture that can be read ({error})",
            fix="remove or replace it",
        ) from error


def _severity(pixels: Pixels, mask: NDArray[np.bool_]) -> float:
    """From the mask and how far its mean lies from the surroundings'; 1 where none is known."""
    if not mask.any() or mask.all():
        return 1.0
    shades = pixels.astype(np.float32)
    contrast = abs(float(shades[mask].mean() - shades[~mask].mean())) / 255
    return severity(float(mask.mean()), contrast)
