"""The worst mistakes of a bundle: each part, what was called defective on it, and what is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from cloud.datasets.dataset import Dataset
from cloud.datasets.pictures import eight_bits_of
from cloud.evaluation.judgements import Judgements
from cloud.evaluation.verdicts import verdicts
from cloud.statistics.localisation import enlarge
from shared.bundles.bundle import Bundle

SIDE = 288
MOST = 10
HEAT_FROM = 0.05
GROUND = (28, 21, 16)
INK = (242, 236, 231)
OUTLINE = (255, 255, 0)
LINE = 22
LETTER = 8
GAP = 12
BETWEEN = 4

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Mistake:
    """A picture that got the wrong verdict.

    picture     BGR, uint8 (SIDE, SIDE, 3), the picture itself in the middle
    heat        the same with the defect map of whoever decided over it, and the mask's outline
    decided_by  edge or cloud; `score` is theirs
    outlined    whether there is a mask, whose outline is drawn
    """

    picture: Pixels
    heat: Pixels
    decided_by: Literal["edge", "cloud"]
    score: float
    defect: str
    part: str
    name: str
    outlined: bool

    @property
    def called(self) -> str:
        """The part by name: data sets that name none have it numbered as `part-7`."""
        return self.part if self.part.startswith("part") else f"part {self.part}"


class Mistakes:
    """Finds the worst mistakes of the system on one split, the surest first, at most MOST.

    Raises DataError where a picture can't be read.
    """

    def __init__(self, bundle: Bundle, dataset: Dataset, found: Judgements) -> None:
        self._pixels = bundle.manifest.input.pixels
        self._dataset = dataset
        self._found = found
        self._said = verdicts(bundle.manifest.gate.gate, found.edge, found.cloud, found.novel)

    def escapes(self) -> list[Mistake]:
        """Defective parts that pass."""
        system = self._said.system
        return self._worst(self._dataset.labels & system.passed, system.scores)

    def overkill(self) -> list[Mistake]:
        """Good parts that are rejected."""
        system = self._said.system
        return self._worst(~self._dataset.labels & system.rejected, -system.scores)

    def _worst(self, chosen: NDArray[np.bool_], order: NDArray[np.float64]) -> list[Mistake]:
        indices = np.flatnonzero(chosen)
        worst = indices[np.argsort(order[indices], kind="stable")][:MOST]
        return [self._mistake(int(index)) for index in worst]

    def _mistake(self, index: int) -> Mistake:
        sample, found = self._dataset.samples[index], self._found
        pixels = eight_bits_of(sample.image, self._pixels)
        if pixels.ndim == 2:
            pixels = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR), np.uint8)
        by_cloud = bool(self._said.escalated[index])
        defect_map = (found.cloud_maps if by_cloud else found.edge_maps)[index]
        mask = None if sample.mask is None else sample.mask.pixels(*pixels.shape[:2])
        return Mistake(
            picture=framed(pixels),
            heat=framed(pixels, defect_map, mask),
            decided_by="cloud" if by_cloud else "edge",
            score=float((found.cloud if by_cloud else found.edge)[index]),
            defect=sample.defect,
            part=sample.part,
            name=sample.image.name,
            outlined=mask is not None,
        )


def sheet(mistakes: Sequence[Mistake]) -> Pixels:
    """All of them on one picture, two in a row, with what is known of each below it."""
    return rows_of([_cell(one) for one in mistakes], 2)


def framed(
    pixels: Pixels,
    defect_map: NDArray[np.float32] | None = None,
    mask: NDArray[np.bool_] | None = None,
) -> Pixels:
    """The picture at SIDE × SIDE, its proportions kept, with heat and outline where given."""
    scale = SIDE / max(pixels.shape[:2])
    height, width = (max(1, round(length * scale)) for length in pixels.shape[:2])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    small = np.asarray(cv2.resize(pixels, (width, height), interpolation=how), np.uint8)
    if defect_map is not None:
        small = _heated(small, enlarge(defect_map, height, width))
    if mask is not None:
        inside = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
        around, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        # Dark below cyan: it shows on bright metal and on bright heat.
        cv2.drawContours(small, around, -1, GROUND, 4, cv2.LINE_AA)
        cv2.drawContours(small, around, -1, OUTLINE, 2, cv2.LINE_AA)
    canvas = np.full((SIDE, SIDE, 3), GROUND, np.uint8)
    top, left = (SIDE - height) // 2, (SIDE - width) // 2
    canvas[top : top + height, left : left + width] = small
    return canvas


def _heated(pixels: Pixels, probabilities: NDArray[np.float32]) -> Pixels:
    sure = np.clip(np.nan_to_num(probabilities, nan=1.0), 0, 1)
    colours = cv2.applyColorMap((sure * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    strength = np.clip((sure - HEAT_FROM) / 0.6, 0, 0.75)[..., np.newaxis]
    return np.asarray(pixels * (1 - strength) + colours * strength, np.uint8)


def captioned(pixels: Pixels, lines: Sequence[str]) -> Pixels:
    """Lines of text below a picture, cut to its width, with a gap around all but the top."""
    text = np.full((len(lines) * LINE + GAP, pixels.shape[1], 3), GROUND, np.uint8)
    for number, line in enumerate(lines, start=1):
        # OpenCV's own letters are ASCII alone.
        shown = line.encode("ascii", "replace").decode()[: pixels.shape[1] // LETTER]
        cv2.putText(
            text, shown, (4, number * LINE - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.5, INK, 1, cv2.LINE_AA
        )
    cell = np.vstack([pixels, text])
    return np.asarray(
        cv2.copyMakeBorder(cell, GAP, 0, GAP, GAP, cv2.BORDER_CONSTANT, value=GROUND), np.uint8
    )


def rows_of(cells: Sequence[Pixels], across: int) -> Pixels:
    """Cells of one size side by side, so many in a row."""
    blanks = [np.full_like(cells[0], GROUND)] * (-len(cells) % across)
    filled = [*cells, *blanks]
    rows = [np.hstack(filled[start : start + across]) for start in range(0, len(filled), across)]
    return np.asarray(np.vstack(rows), np.uint8)


def _cell(one: Mistake) -> Pixels:
    between = np.full((SIDE, BETWEEN, 3), GROUND, np.uint8)
    pair = np.hstack([one.picture, between, one.heat])
    lines = (f"{one.defect}: {one.decided_by} {one.score:.3f}", f"{one.called}  {one.name}")
    return captioned(np.asarray(pair, np.uint8), lines)
