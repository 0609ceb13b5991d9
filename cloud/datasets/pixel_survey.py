"""How deep a data set's pictures are, and what of them training drops: found out, and said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloud.datasets.dataset import Dataset
from cloud.datasets.pictures import decode, stored
from shared.console import track
from shared.errors import DataError
from shared.features.picture_file import eight_bits_by_header, transparent_by_header
from shared.features.pixel_settings import Depth, PixelSettings

DEPTHS: tuple[Depth, ...] = (8, 10, 12, 14, 16)
LOOKED_AT = 64
_HEADER = 64
# Noise of a colour camera on a grey thing stays below this many grey levels.
_COLOURED = 2.0


@dataclass(frozen=True, slots=True)
class SurveyedPixels:
    """What is done to a set's pictures, and what was decided by itself, in sentences."""

    settings: PixelSettings
    notes: tuple[str, ...]


def survey(dataset: Dataset, wanted: PixelSettings, channels: int) -> SurveyedPixels:
    """The settings with a depth that is known, from the largest value of the whole set.

    channels   of the network's input: with 1 colour is dropped, which is said
    Raises DataError for a set whose pictures differ in depth, and a picture that can't be read.
    """
    images = [sample.image for sample in dataset.samples]
    settings, notes = wanted, _left_out(images, channels)
    if wanted.depth == "auto" or (wanted.depth == "float" and wanted.white is None):
        settings, said = _deep(images, wanted)
        notes = [*said, *notes]
    return SurveyedPixels(settings, tuple(notes))


@dataclass(slots=True)
class _Found:
    """The pictures of one form, and their largest value."""

    images: list[Path] = field(default_factory=list)
    most: float = 0.0

    def add(self, path: Path, pixels: NDArray[Any]) -> None:
        self.images.append(path)
        self.most = max(self.most, float(pixels.max()))


def _deep(images: Sequence[Path], wanted: PixelSettings) -> tuple[PixelSettings, list[str]]:
    eight: list[Path] = []
    whole, floats = _Found(), _Found()
    for path in track(images, "looking how deep pictures are"):
        if eight_bits_by_header(_head(path)):
            eight.append(path)
            continue
        pixels = stored(path)
        if pixels.dtype == np.uint8:
            eight.append(path)
        else:
            (floats if pixels.dtype.kind == "f" else whole).add(path, pixels)
    _refuse_mixed(eight, whole, floats)
    count = len(images)
    if floats.images:
        white = wanted.white or (1.0 if floats.most <= 1 else floats.most)
        settings = _with(wanted, depth="float", white=white)
        said = f"white is {white:.6g}: the brightest of {count} pictures of floats has "
        said += f"{floats.most:.6g}; `white` in a --pixel-settings file says otherwise"
        return settings, [said]
    if not whole.images:
        return wanted, []
    depth = next((d for d in DEPTHS if whole.most < 1 << int(d)), None)
    if depth is None:
        raise DataError(
            f"{whole.images[0]} and others have values up to {whole.most:.0f}, more than 16 bits",
            fix="save the set's pictures with 16 bits or as floats",
        )
    said = f"{depth} bits: the brightest of {count} pictures has the value {whole.most:.0f} of "
    said += f"{(1 << int(depth)) - 1}; --depth says otherwise"
    return _with(wanted, depth=depth), [said]


def _refuse_mixed(eight: list[Path], whole: _Found, floats: _Found) -> None:
    shallow = whole.most < 1 << 8
    kinds = [("8 bits", eight), ("more than 8 bits", whole.images), ("floats", floats.images)]
    there = [(name, images) for name, images in kinds if images]
    if len(there) < 2 or (shallow and not floats.images):
        return
    said = ", ".join(f"{len(images)} of {name} (say {images[0].name})" for name, images in there)
    raise DataError(
        f"the set's pictures differ in depth: {said}",
        fix="bring them all into one form; a camera that gives two forms needs two sets",
    )


def _left_out(images: Sequence[Path], channels: int) -> list[str]:
    notes = []
    see_through = sum(transparent_by_header(_head(path)) for path in images)
    if see_through:
        notes.append(f"transparency is left out: {see_through} pictures have some")
    if channels == 1 and images:
        looked = images[:: -(-len(images) // LOOKED_AT)]
        apart = [float(np.ptp(decode(path, 3), axis=2).mean()) for path in looked]
        coloured = [one for one in apart if one >= _COLOURED]
        if coloured:
            notes.append(
                f"colour is dropped: {len(coloured)} of {len(looked)} pictures looked at have "
                f"some, {np.mean(coloured):.0f} of 255 levels between their channels; --colour "
                "keeps it"
            )
    return notes


def _with(settings: PixelSettings, **changes: object) -> PixelSettings:
    return PixelSettings.model_validate({**settings.model_dump(), **changes})


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(_HEADER)
    except OSError as error:
        raise DataError(
            f"{path} can't be read ({error.strerror})", fix="correct its permissions, or remove it"
        ) from error
