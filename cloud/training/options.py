"""How to train: everything that shapes a run, and that its checkpoint must agree with."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

from shared.features.pixel_settings import AS_IT_IS, PixelSettings
from shared.splitnet.augmentation import Augmentation
from shared.splitnet.network import Architecture
from shared.splitnet.objective import Weights


@dataclass(frozen=True, slots=True)
class Options:
    """How to train.

    epochs             of the first stage: head and tail together, on pixels
    tail_epochs        of the second: the tail anew, on pixels, behind the finished head
    bottleneck_epochs  of the third: what passes between them
    apart              share of the third stage in which the decoder follows features alone, before
                       it follows the tail's judgement of them too
    patience           epochs without a better tail on the calibrate parts after which the first
                       stage ends with its best; 0: never. With few defective parts the watch is
                       too noisy to choose by
    rate               of the new layers, per batch; the backbone learns at `backbone_share` of it
    average            decay of the exponential average of weights, per batch
    teacher            the run that is followed in the first two stages; empty: none
    start_from         the run whose network the last stage begins with; empty: none
    pixels             what is done to each picture before
    """

    architecture: Architecture = field(default_factory=Architecture)
    weights: Weights = field(default_factory=Weights)
    augmentation: Augmentation = field(default_factory=Augmentation)
    epochs: int = 14
    tail_epochs: int = 3
    bottleneck_epochs: int = 8
    apart: float = 0.3
    patience: int = 0
    frozen_blocks: int = 2
    batch: int = 8
    rate: float = 4e-3
    backbone_share: float = 0.2
    decay: float = 0.02
    average: float = 0.99
    teacher: str = ""
    start_from: str = ""
    seed: int = 0
    pixels: PixelSettings = AS_IT_IS

    def plain(self) -> dict[str, object]:
        """As JSON takes it."""
        return {**asdict(self), "pixels": self.pixels.model_dump(mode="json")}

    @property
    def all_epochs(self) -> int:
        return self.pixel_epochs + self.bottleneck_epochs

    @property
    def earlier_runs(self) -> list[Path]:
        """What this training builds on: it has seen what they have seen."""
        return [Path(run) for run in (self.teacher, self.start_from) if run]

    @property
    def pixel_epochs(self) -> int:
        """Of the stages before there is a bottleneck."""
        return self.epochs + self.tail_epochs
