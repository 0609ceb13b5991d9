"""Masks that their tool wrote as lengths of runs: COCO's, CVAT's and Label Studio's."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cloud.datasets.label_fault import LabelFault
from cloud.datasets.masks import require_size

# A brush's mask takes four bytes a pixel while it is read.
MOST_BRUSHED = 1 << 26
# COCO's strings: six bits a character from `0` on, of which the sixth says that more follow.
_FIRST, _MORE, _SIGN = 48, 0x20, 0x10


@dataclass(frozen=True, slots=True)
class RunLengths:
    """counts     uint32 in this machine's order: background, defect, background, and so on
    size       (height, width) of the picture
    window     (left, top, width, height) of what the runs cover
    by_column  the runs go down the columns, as COCO's do, not along the rows
    """

    counts: bytes
    size: tuple[int, int]
    window: tuple[int, int, int, int]
    by_column: bool

    @classmethod
    def of(
        cls,
        counts: Iterable[int],
        size: tuple[int, int],
        *,
        window: tuple[int, int, int, int] | None = None,
        by_column: bool = False,
    ) -> RunLengths:
        """Raises LabelFault for runs that do not fill the window, or a window that is not in the
        picture."""
        left, top, width, height = window or (0, 0, size[1], size[0])
        inside = 0 <= left <= left + width <= size[1] and 0 <= top <= top + height <= size[0]
        if not inside or width < 1 or height < 1:
            raise LabelFault(
                f"a mask of {width} × {height} at ({left}, {top}) does not lie in the picture of "
                f"{size[1]} × {size[0]}"
            )
        runs = list(counts)
        if min(runs, default=0) < 0 or sum(runs) != width * height:
            raise LabelFault(
                f"the runs of its mask cover {sum(runs)} pixels, it has {width} × {height}"
            )
        if not any(runs[1::2]):
            raise LabelFault("its mask marks no pixel")
        packed = np.asarray(runs, np.uint32).tobytes()
        return cls(packed, size, (left, top, width, height), by_column)

    @classmethod
    def drawn(
        cls, marked: NDArray[np.bool_], size: tuple[int, int], *, left: int = 0, top: int = 0
    ) -> RunLengths:
        """Of pixels, bool (height, width), somewhere in the picture. Raises LabelFault."""
        height, width = marked.shape
        return cls.of(_counts(marked.ravel()), size, window=(left, top, width, height))

    @property
    def files(self) -> tuple[Path, ...]:
        return ()

    @property
    def area(self) -> int:
        """Pixels of the defect."""
        return int(self._runs()[1::2].sum())

    def pixels(self, height: int, width: int) -> NDArray[np.bool_]:
        require_size(self.size, height, width)
        runs = self._runs()
        left, top, across, down = self.window
        flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
        marked = flat.reshape(across, down).T if self.by_column else flat.reshape(down, across)
        whole = np.zeros((height, width), np.bool_)
        whole[top : top + down, left : left + across] = marked
        return whole

    def digest(self) -> str:
        what = repr((self.size, self.window, self.by_column)).encode()
        return hashlib.sha256(what + self.counts).hexdigest()

    def _runs(self) -> NDArray[np.uint32]:
        return np.frombuffer(self.counts, np.uint32)


def coco_counts(text: str) -> list[int]:
    """The runs in a compressed string of COCO. Raises LabelFault for what is none.

    From the third on a run is written as its difference from the one two before it.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - _FIRST
        if not 0 <= bits < 64 or shift > 30:
            raise LabelFault(f"{character!r} stands in its mask, which is no string of COCO's")
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & _MORE:
            continue
        if bits & _SIGN:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    if shift:
        raise LabelFault("its mask is cut off")
    return counts


def brush_counts(packed: Sequence[int], size: tuple[int, int]) -> list[int]:
    """The runs in a mask of Label Studio's brush: the last of the four channels that it packs.

    packed   bytes
    size     (height, width)
    Raises LabelFault for what is none.
    """
    if any(not 0 <= value < 256 for value in packed):
        raise LabelFault("its mask has numbers that are no bytes")
    bits = _Bits(bytes(packed))
    wanted = size[0] * size[1] * 4
    found = bits.take(32)
    if found != wanted or wanted > 4 * MOST_BRUSHED:
        raise LabelFault(f"its mask has {found // 4} pixels, the picture {size[1]} × {size[0]}")
    word = bits.take(5) + 1
    lengths = [bits.take(4) + 1 for _ in range(4)]
    values = np.zeros(wanted, np.bool_)
    place = 0
    while place < wanted:
        alike = bits.take(1)
        end = place + 1 + bits.take(lengths[bits.take(2)])
        if end > wanted:
            raise LabelFault("its mask has more pixels than it says")
        if alike:
            values[place:end] = bits.take(word)
        else:
            values[place:end] = [bits.take(word) for _ in range(place, end)]
        place = end
    return _counts(values[3::4])


def _counts(flat: NDArray[np.bool_]) -> list[int]:
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = [int(count) for count in np.diff([0, *edges, flat.size])]
    return [0, *counts] if flat[0] else counts


class _Bits:
    """Numbers of any number of bits, the highest first."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._place = 0

    def take(self, count: int) -> int:
        end = self._place + count
        if end > 8 * len(self._raw):
            raise LabelFault("its mask is cut off")
        whole = int.from_bytes(self._raw[self._place // 8 : -(-end // 8)], "big")
        self._place = end
        return (whole >> (-end % 8)) & ((1 << count) - 1)
