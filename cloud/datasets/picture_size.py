"""The size of a picture from its header, as it is once its pixels are decoded."""

from __future__ import annotations

import warnings
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from cloud.datasets.label_fault import LabelFault

_ORIENTATION = 0x0112
# EXIF's orientations that swap width and height.
_LYING = frozenset({5, 6, 7, 8})


def picture_size(path: Path) -> tuple[int, int]:
    """(height, width), after the turn that the picture's EXIF orientation asks for.

    Opens the header alone. Raises LabelFault for what is no picture.
    """
    try:
        with warnings.catch_warnings():
            # How many pixels are too many is decided where they are decoded.
            warnings.simplefilter("ignore")
            with Image.open(path) as picture:
                width, height = picture.size
                turned = _orientation(picture) in _LYING
    except Image.DecompressionBombError as error:
        raise LabelFault(f"it claims too many pixels ({error})") from error
    except (UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise LabelFault("it is not a picture that can be read") from error
    except OSError as error:
        raise LabelFault(f"it can't be read ({error.strerror or error})") from error
    return (width, height) if turned else (height, width)


def _orientation(picture: Image.Image) -> object:
    # Without it Pillow decodes a whole PNG to look behind its pixels. A TIFF's size is turned.
    if "exif" not in picture.info or picture.format == "TIFF":
        return None
    return picture.getexif().get(_ORIENTATION)
