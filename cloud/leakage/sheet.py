"""A sheet of pictures beside what was made again of their features."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from cloud.datasets.dataset import Sample
from cloud.leakage.leakage import NOTHING, Inverted
from shared.bundles.leakage import Reconstruction
from shared.features.image_codecs import to_pixels

ROWS = 8
SIDE = 180
GAP = 6
LABEL = 40
INK = (30, 30, 30)
PAPER = 255


def draw_sheet(inverted: Inverted, samples: Sequence[Sample]) -> NDArray[np.uint8]:
    """One row a picture, half of them defective; the picture first, then a column a coarseness.

    samples   of the pictures, in order. Returns BGR, uint8 (height, width, 3).
    """
    leakage = inverted.leakage
    rates = [*leakage.rates, leakage.nothing]
    rows = [_heads(["picture", *map(_named, rates)], [""] + [_measured(rate) for rate in rates])]
    for index in chosen(samples):
        cells = [inverted.pictures[index], *(inverted.made[r.coarseness][index] for r in rates)]
        rows.append(_row([_cell(planes) for planes in cells], samples[index].defect))
    return np.concatenate(rows)


def chosen(samples: Sequence[Sample]) -> list[int]:
    """Indices of ROWS pictures, evenly spread over the defective and over the good ones."""
    defective = [i for i, sample in enumerate(samples) if sample.defective]
    good = [i for i, sample in enumerate(samples) if not sample.defective]
    wanted = min(len(defective), max(ROWS // 2, ROWS - len(good)))
    return _spread(defective, wanted) + _spread(good, min(len(good), ROWS - wanted))


def _spread(indices: Sequence[int], count: int) -> list[int]:
    return [indices[position * len(indices) // count] for position in range(count)]


def _named(rate: Reconstruction) -> str:
    if rate.coarseness == NOTHING:
        return "nothing sent"
    return f"x{rate.coarseness}, {rate.bytes_p50:.0f} B"


def _measured(rate: Reconstruction) -> str:
    return f"{rate.psnr:.1f} dB, SSIM {rate.ssim:.2f}"


def _cell(planes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture on white, SIDE pixels square with its aspect kept."""
    pixels = to_pixels(planes)
    if pixels.ndim == 2:
        pixels = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR), np.uint8)
    scale = SIDE / max(pixels.shape[:2])
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    fitted = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    cell = np.full((SIDE + GAP, SIDE + GAP, 3), PAPER, np.uint8)
    cell[: size[1], : size[0]] = fitted
    return cell


def _row(cells: Sequence[NDArray[np.uint8]], name: str) -> NDArray[np.uint8]:
    row = np.concatenate(cells, axis=1)
    caption = np.full((LABEL // 2, row.shape[1], 3), PAPER, np.uint8)
    _write(caption, name, (2, LABEL // 2 - 6))
    return np.concatenate([caption, row])


def _heads(first: Sequence[str], second: Sequence[str]) -> NDArray[np.uint8]:
    strip = np.full((LABEL, len(first) * (SIDE + GAP), 3), PAPER, np.uint8)
    for line, texts in enumerate((first, second)):
        for column, text in enumerate(texts):
            _write(strip, text, (column * (SIDE + GAP) + 2, 15 + 18 * line))
    return strip


def _write(canvas: NDArray[np.uint8], text: str, at: tuple[int, int]) -> None:
    # OpenCV's letters are ASCII alone.
    plain = text.encode("ascii", "replace").decode()
    cv2.putText(canvas, plain, at, cv2.FONT_HERSHEY_SIMPLEX, 0.42, INK, 1, cv2.LINE_AA)
