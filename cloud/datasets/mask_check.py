"""Whether a mask and what is said of its picture fit together."""

from __future__ import annotations

from cloud.datasets.dataset import GOOD
from cloud.datasets.entry import PictureEntry
from cloud.datasets.pictures import decode
from shared.errors import DataError


def wrong_mask(entry: PictureEntry) -> str:
    """Why an entry's mask can't be right; empty where it can, or there is none.

    Raises DataError where the picture can't be read.
    """
    if entry.mask is None:
        return ""
    height, width = decode(entry.image, channels=1).shape[:2]
    try:
        marked = int(entry.mask.pixels(height, width).sum())
    except DataError as error:
        return error.message
    if entry.defect == GOOD and marked:
        return f"is good, and its mask marks {marked} pixels"
    if entry.defect != GOOD and not marked:
        return f"has a {entry.defect}, and its mask marks nothing"
    return ""
