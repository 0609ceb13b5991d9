"""Where the wheel `elpv-dataset` keeps its cells, and what experts said of each."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from cloud.datasets.dataset import GOOD, Sample, Split
from shared.errors import MissingExtra

LICENCE = "CC BY-NC-SA 4.0 (Deitsch et al., elpv-dataset): not for commercial use"


class SolarCell(NamedTuple):
    """probability: of a defect, as the experts judged; kind: mono or poly."""

    image: Path
    probability: float
    kind: str

    @property
    def defective(self) -> bool:
        return self.probability > 0.5

    def sample(self, part: str, split: Split) -> Sample:
        return Sample(
            image=self.image,
            mask=None,
            defect="defect" if self.defective else GOOD,
            target=self.probability,
            part=part,
            domain=self.kind,
            split=split,
        )


def elpv_cells() -> list[SolarCell]:
    """Every cell, in the wheel's order. Raises MissingExtra without the wheel."""
    spec = find_spec("elpv_dataset")
    if spec is None or spec.origin is None:
        raise MissingExtra("demo", ImportError(name="elpv_dataset"))
    folder = Path(spec.origin).parent / "data"
    rows = [line.split() for line in (folder / "labels.csv").read_text().splitlines() if line]
    return [SolarCell(folder / name, float(probability), kind) for name, probability, kind in rows]
