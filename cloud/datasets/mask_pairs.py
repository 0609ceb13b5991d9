"""Which pictures of a folder are masks of others, by where they lie and by what is in them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cloud.datasets.kinds import plain, split_of, words
from cloud.datasets.mask_pixels import mask_pixels
from shared.features.picture_file import loaded
from shared.opener import Unopenable

MASK_FOLDERS = words(
    "mask masks gt ground-truth groundtruth label labels annotation annotations seg segmentation "
    "segmentations"
)
CONTAINERS = words("images image imgs img pictures picture photos jpegimages bilder data raw rgb")
MOST_VALUES = 16
"""A mask has two values, or one for each of a few kinds; a picture has more."""
_ENDING = re.compile(
    r"[_.\s-](mask|gt|label|seg|segmentation|annotation)([_-]?\d+)?$", re.IGNORECASE
)
_Key = tuple[tuple[str, ...], str]


def looks_like_mask(path: Path) -> bool:
    """Whether it has few values only. Raises Unopenable where it can't be read."""
    pixels = mask_pixels(path)
    planes = pixels.reshape(-1, 1) if pixels.ndim == 2 else pixels.reshape(-1, pixels.shape[2])
    return all(_values(plane) <= MOST_VALUES for plane in planes.T) or _is_black_and_white(path)


def _values(plane: NDArray[Any]) -> int:
    if plane.dtype == np.uint8:
        return int(np.count_nonzero(np.bincount(plane, minlength=256)))
    return len(np.unique(plane))


def _is_black_and_white(path: Path) -> bool:
    """But for a seam of greys, as where it is packed with losses."""
    pixels = loaded(path, cv2.IMREAD_GRAYSCALE)
    dark, bright = pixels < 32, pixels > 223
    return bool(dark.any() and bright.any() and np.mean(dark | bright) > 0.98)


@dataclass
class MaskPairs:
    """Pictures, each with its masks.

    masks     of a picture; those without any are not in it
    pictures  what is no mask, in the order of paths
    orphans   masks whose picture is not there
    wrong     files that are called masks of a picture that is there, and can't be, with the reason
    """

    masks: dict[Path, list[Path]] = field(default_factory=dict)
    pictures: list[Path] = field(default_factory=list)
    orphans: list[Path] = field(default_factory=list)
    wrong: list[tuple[Path, str]] = field(default_factory=list)

    @classmethod
    def of(cls, files: Sequence[Path], root: Path) -> MaskPairs:
        """Sort picture files below `root` into pictures and masks."""
        found = cls()
        of_masks = {folder for folder in {p.parent for p in files} if _is_of_masks(folder, root)}
        named = {p for p in files if p.parent in of_masks or _ENDING.search(p.stem)}
        rest = _Pictures.of((path for path in files if path not in named), root)
        for path in sorted(named):
            found._sort_named(path, root, rest)
        found._sort_alike(rest.by_stem.values())
        found.pictures.sort()
        return found

    def _sort_named(self, path: Path, root: Path, others: _Pictures) -> None:
        fitting = others.of_mask(path, root)
        picture = fitting[0] if fitting else None
        try:
            is_mask = looks_like_mask(path)
        except Unopenable as error:
            if picture is None:
                self.pictures.append(path)
            else:
                self.wrong.append((path, f"is called a mask and can't be read ({error})"))
            return
        if len(fitting) > 1:
            self.wrong.append((path, f"could be a mask of {fitting[0]} or of {fitting[1]}"))
        elif picture is not None and is_mask:
            self.masks.setdefault(picture, []).append(path)
        elif picture is not None:
            self.wrong.append(
                (path, f"is called a mask of {picture.name}, and has the many values of a picture")
            )
        elif is_mask:
            self.orphans.append(path)
        else:
            self.pictures.append(path)

    def _sort_alike(self, groups: Iterable[list[Path]]) -> None:
        """Files of one name that differ in their endings only, as x.jpg and x.png."""
        for group in groups:
            masks = [path for path in group if len(group) > 1 and _is_mask(path)]
            pictures = [path for path in group if path not in masks]
            if masks and not pictures:
                # All have few values: what was packed with losses was a camera's.
                pictures = [p for p in masks if p.suffix.lower() in (".jpg", ".jpeg")] or masks
                masks = [path for path in masks if path not in pictures]
            self.pictures += pictures
            if masks:
                self.masks.setdefault(pictures[0], []).extend(masks)


@dataclass
class _Pictures:
    """Files that no name makes a mask, by where they lie: with and without the split's folder."""

    by_stem: dict[tuple[Path, str], list[Path]] = field(default_factory=dict)
    near: dict[_Key, list[Path]] = field(default_factory=dict)
    far: dict[_Key, list[Path]] = field(default_factory=dict)

    @classmethod
    def of(cls, files: Iterable[Path], root: Path) -> _Pictures:
        found = cls()
        places: dict[Path, tuple[str, ...]] = {}
        for path in files:
            stem = path.stem.casefold()
            place = places.get(path.parent)
            if place is None:
                place = places.setdefault(path.parent, _place(path.parent, root))
            found.by_stem.setdefault((path.parent, stem), []).append(path)
            found.near.setdefault((place, stem), []).append(path)
            found.far.setdefault((_without_splits(place), stem), []).append(path)
        return found

    def of_mask(self, path: Path, root: Path) -> list[Path]:
        """The pictures that a mask can be of: none, one, or several."""
        bare = _ENDING.sub("", path.stem)
        keys = [(path.parent, name) for name in dict.fromkeys((path.stem, bare))]
        # A folder of masks for each picture.
        keys.append((path.parent.parent, path.parent.name))
        for folder, name in keys:
            place, stem = _place(folder, root), name.casefold()
            for index, key in ((self.near, place), (self.far, _without_splits(place))):
                found = index.get((key, stem), [])
                # One folder of masks beside train and test is of what is tested.
                tested = [one for one in found if "train" not in _place(one.parent, root)]
                if found:
                    return tested if len(tested) == 1 else found
        return []


def _is_mask(path: Path) -> bool:
    try:
        return looks_like_mask(path)
    except Unopenable:
        return False


def _is_of_masks(folder: Path, root: Path) -> bool:
    return any(plain(name) in MASK_FOLDERS for name in folder.relative_to(root).parts)


def _place(folder: Path, root: Path) -> tuple[str, ...]:
    """The folders that say something of a picture."""
    if not folder.is_relative_to(root):
        return ()
    names = (plain(name) for name in folder.relative_to(root).parts)
    return tuple(name for name in names if name not in MASK_FOLDERS | CONTAINERS)


def _without_splits(place: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in place if split_of(name) is None and not name.startswith("test"))
