"""Whether a mask and what is said of its picture fit together."""

from __future__ import annotations

from collections.abc import Sequence

from cloud.datasets.account import Account
from cloud.datasets.dataset import GOOD
from cloud.datasets.entry import PictureEntry
from cloud.datasets.pictures import decode
from shared.errors import DataError

Shape = tuple[int, int]


def with_fitting_masks(
    entries: Sequence[PictureEntry], account: Account, shapes: Sequence[Shape] = ()
) -> list[int]:
    """The places of entries whose masks fit, or that have none. What does not fit is a flaw.

    shapes   (height, width) of every picture that was read already, (0, 0) where it could not be;
             without any, the pictures with masks are read
    """
    found = []
    for place, entry in enumerate(entries):
        shape = shapes[place] if shapes else None
        try:
            wrong = _wrong(entry, shape) if shape != (0, 0) else ""
        except DataError as error:
            wrong = error.message
        if wrong:
            account.flaw(entry.image, wrong)
        else:
            found.append(place)
    return found


def _wrong(entry: PictureEntry, shape: Shape | None) -> str:
    """Why an entry's mask can't be right; empty where it can, or there is none.

    shape   (height, width) of its picture; None: that is read
    Raises DataError where the picture can't be read.
    """
    if entry.mask is None:
        return ""
    height, width = shape or decode(entry.image, channels=1).shape[:2]
    try:
        marked = int(entry.mask.pixels(height, width).sum())
    except DataError as error:
        return error.message
    if entry.defect == GOOD and marked:
        return f"is good, and its mask marks {marked} pixels"
    if entry.defect != GOOD and not marked:
        return f"has a {entry.defect}, and its mask marks nothing"
    return ""
