"""A data set's folder as the labelled parts of devices, one a domain: simulator and experiments."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.learning.labelled_parts import GOOD, USES, LabelledPicture, use_of
from shared.errors import DataError
from shared.features.depth import WrongPixels, eight_bit
from shared.features.picture_file import AS_STORED, loaded
from shared.features.pixel_settings import AS_IT_IS
from shared.opener import Unopenable

_GOOD_NAMES = frozenset({"", GOOD, "free", "ok", "normal", "none"})


@dataclass(frozen=True, slots=True)
class PictureFile:
    """A labelled picture on disk.

    mask   None where there is none
    """

    label: LabelledPicture
    image: Path
    mask: Path | None


class PictureFiles:
    """Labelled parts from files."""

    def __init__(self, device: str, files: Sequence[PictureFile]) -> None:
        self._device = device
        self.files = list(files)
        self._masked = any(file.mask is not None for file in files)

    @property
    def device(self) -> str:
        return self._device

    def index(self) -> Sequence[LabelledPicture]:
        return [file.label for file in self.files]

    def picture(self, place: int) -> NDArray[np.uint8]:
        """Raises DataError where it can't be read, or is of no depth that a network would know."""
        path = self.files[place].image
        try:
            return eight_bit(_read(path, AS_STORED), AS_IT_IS)
        except WrongPixels as error:
            raise DataError(
                f"{path} is {error}", fix="save the pictures with 8 bits, as a box keeps them"
            ) from error

    def mask(self, place: int) -> NDArray[np.bool_] | None:
        """A good part's is known to be empty where the set has masks at all."""
        file = self.files[place]
        if file.mask is not None:
            return np.asarray(_read(file.mask, cv2.IMREAD_GRAYSCALE) > 127, np.bool_)
        if self._masked and not file.label.defective:
            return np.zeros(self.picture(place).shape[:2], np.bool_)
        return None


def read_domains(manifest: Path, domains: Sequence[str] = ()) -> dict[str, PictureFiles]:
    """One device a domain of a CSV manifest: `image, defect, part` and where known `mask, domain,
    split`. Paths are relative to its folder; without `split`, a part's name decides.

    domains   only these; empty: all
    Raises DataError for a manifest that can't be read, or that has not the domain.
    """
    files = _files(manifest)
    found = {domain: [f for f in files if f.label.domain == domain] for domain in _domains(files)}
    lacking = set(domains) - set(found)
    if lacking:
        raise DataError(
            f"{manifest.name} has no domain {', '.join(sorted(lacking))}",
            fix=f"its domains are {', '.join(found)}",
        )
    wanted = domains or list(found)
    return {domain: PictureFiles(domain, found[domain]) for domain in wanted}


def _domains(files: Sequence[PictureFile]) -> list[str]:
    return sorted({file.label.domain for file in files})


def _files(manifest: Path) -> list[PictureFile]:
    try:
        with manifest.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.DictReader(stream, skipinitialspace=True, restval=""))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{manifest} can't be read ({error})", fix="give a CSV manifest") from error
    lacking = {"image", "defect", "part"} - set(rows[0] if rows else ())
    if lacking:
        raise DataError(
            f"{manifest.name} has no column {', '.join(sorted(lacking))}",
            fix="its columns are image, mask, defect, part, domain, split",
        )
    return [_file(manifest.parent, row) for row in rows]


def _file(root: Path, row: Mapping[str, str]) -> PictureFile:
    kind = row["defect"].strip()
    defective = kind.lower() not in _GOOD_NAMES
    split = row.get("split", "").strip()
    use = next((use for use in USES if use == split), None) or use_of(row["part"])
    label = LabelledPicture(
        row["part"], defective, kind if defective else GOOD, row.get("domain") or "all", use
    )
    mask = root / row["mask"] if row.get("mask") else None
    return PictureFile(label, root / row["image"], mask)


def _read(path: Path, mode: int) -> NDArray[Any]:
    try:
        return loaded(path, mode)
    except Unopenable as error:
        raise DataError(
            f"{path} is not a picture that can be read ({error})", fix="remove or replace it"
        ) from error
