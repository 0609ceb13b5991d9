"""The demo's parts: ELPV's test cells, shared out among devices, with the experts' verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cloud.datasets.elpv_wheel import SolarCell, elpv_cells
from shared.errors import DataError

TEST_CELLS = "elpv-test.txt"


@dataclass(frozen=True, slots=True)
class Lane:
    """One device's cells, in the order in which they come by.

    first   the number of the first part
    """

    device: str
    line: str
    cells: tuple[SolarCell, ...]
    first: int = 1

    def cell(self, part: int) -> SolarCell:
        """The cell behind a part number; the lane repeats for ever."""
        return self.cells[(part - self.first) % len(self.cells)]

    def write(self, path: Path) -> None:
        """One path a line, as the folder camera reads it."""
        path.write_text("".join(f"{cell.image}\n" for cell in self.cells))


def lanes(bundle: Path, devices: int, first: int = 1) -> list[Lane]:
    """Deal out the cells that the shipped bundle was not trained on.

    first   the number of each lane's first part
    Raises DataError without the list of test cells beside the bundle.
    """
    listing = bundle.parent / TEST_CELLS
    if not listing.is_file():
        raise DataError(f"{listing} is not there", fix="run `make bundle`, or check out the file")
    wanted = set(listing.read_text().split())
    cells = [cell for cell in elpv_cells() if cell.image.name in wanted]
    if not cells:
        raise DataError(f"{listing} names no cell of ELPV", fix="run `make bundle`")
    # The wheel lists defective cells together; a line brings them mixed.
    mixed = sorted(cells, key=lambda cell: hash_of(cell.image.name))
    return [
        Lane(f"box-{n + 1}", f"line-{n + 1}", tuple(mixed[n::devices]), first)
        for n in range(devices)
    ]


def hash_of(name: str) -> int:
    """A fixed shuffle: the same order on every machine."""
    value = 2166136261
    for byte in name.encode():
        value = (value ^ byte) * 16777619 % 2**32
    return value
