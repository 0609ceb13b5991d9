"""A contact sheet: the first parts of a source with their masks outlined, for a person's eye."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from hardware_sim.line.drawing.parts import PartSource
from hardware_sim.line.drawing.surface import Pixels
from shared.console import track
from shared.errors import SettingsError

COLUMNS, ROWS = 6, 4
TILE = 256
CAPTION = 20
OUTLINE = (60, 60, 255)
INK = (235, 235, 235)


def contact_sheet(source: PartSource, rate: float | None = None) -> Pixels:
    """The first 24 parts, or all where there are fewer, in rows of six: uint8 (h, w, 3) BGR.

    rate   share of defective parts instead of the source's own
    """
    count = min(COLUMNS * ROWS, source.count or COLUMNS * ROWS)
    tiles = [_tile(source, number, rate) for number in track(range(1, count + 1), "drawing")]
    blank = np.zeros_like(tiles[0])
    tiles += [blank] * (-len(tiles) % COLUMNS)
    rows = [np.hstack(tiles[first : first + COLUMNS]) for first in range(0, len(tiles), COLUMNS)]
    return np.vstack(rows)


def write_sheet(source: PartSource, path: Path, rate: float | None = None) -> None:
    """Raises SettingsError where the file can't be written."""
    try:
        written = cv2.imwrite(str(path), contact_sheet(source, rate))
    except cv2.error:
        written = False
    if not written:
        raise SettingsError(
            f"{path} can't be written as a picture",
            fix="give --sheet a file ending in .png or .jpg, in a folder that is there",
        )


def _tile(source: PartSource, number: int, rate: float | None) -> Pixels:
    part = source.part(number, rate=rate)
    colour = part.pixels
    if colour.ndim == 2:
        colour = np.asarray(cv2.cvtColor(colour, cv2.COLOR_GRAY2BGR), np.uint8)
    tile = cv2.resize(colour, (TILE, TILE), interpolation=cv2.INTER_AREA)
    mask = cv2.resize(part.mask.astype(np.uint8), (TILE, TILE), interpolation=cv2.INTER_NEAREST)
    # Outlined from outside, so that the line hides nothing of the defect.
    wide = cv2.dilate(mask, np.ones((7, 7), np.uint8))
    edges, _ = cv2.findContours(wide, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    cv2.drawContours(tile, edges, -1, OUTLINE, 1, cv2.LINE_AA)
    framed = cv2.copyMakeBorder(tile, CAPTION, 2, 2, 2, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    text = f"{part.number} {part.defect.replace('_', ' ')}"
    if part.defective:
        text += f" {part.severity:.2f}"
    place = (6, CAPTION - 6)
    cv2.putText(framed, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, INK, 1, cv2.LINE_AA)
    return np.asarray(framed, np.uint8)
