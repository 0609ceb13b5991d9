"""The labelled pictures of one device, wherever they are kept."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from shared.federation.protocol import LabelCounts

Use = Literal["train", "calibrate", "test"]
USES: tuple[Use, ...] = get_args(Use)
GOOD = "good"
TRAIN_SHARE, CALIBRATE_SHARE = 0.6, 0.15


@dataclass(frozen=True, slots=True)
class LabelledPicture:
    """One labelled picture.

    part        the physical part; all its pictures have one use
    defective   as a person decided
    kind        the kind of defect, `good` for none; empty where nobody said
    domain      the lighting, line or plant
    use         what it serves for; the gate's certificate counts on `calibrate` alone
    """

    part: str
    defective: bool
    kind: str
    domain: str
    use: Use


class LabelledParts(Protocol):
    """What a device may learn from. It changes between rounds only."""

    @property
    def device(self) -> str:
        """The device's name, the same in every round."""

    def index(self) -> Sequence[LabelledPicture]:
        """Every labelled picture, without opening one; always in the same order."""

    def picture(self, place: int) -> NDArray[np.uint8]:
        """As the camera gave it: (h, w) grey or (h, w, 3) BGR. Raises SplitsightError."""

    def mask(self, place: int) -> NDArray[np.bool_] | None:
        """Which pixels are defective, of the picture's size; None where nobody said."""


def use_of(part: str) -> Use:
    """What a part serves for, from its name alone: the same on every day, device and restart."""
    draw = int.from_bytes(hashlib.sha256(part.encode()).digest()[:8]) / 2**64
    if draw < TRAIN_SHARE:
        return "train"
    return "calibrate" if draw < TRAIN_SHARE + CALIBRATE_SHARE else "test"


def counts_of(parts: LabelledParts, base: str) -> LabelCounts:
    """What the device may say about its labels. A part with any defective picture is defective.

    base   sha256 of the base network that it has; empty: none
    """
    index = parts.index()
    verdicts: dict[str, bool] = {}
    for label in index:
        verdicts[label.part] = verdicts.get(label.part, False) or label.defective
    home = {label.part: (label.domain, label.use) for label in index}
    good: Counter[str] = Counter()
    defective: Counter[str] = Counter()
    for part, (domain, use) in home.items():
        if use == "train":
            (defective if verdicts[part] else good)[domain] += 1
    held_out = sum(use != "train" for _, use in home.values())
    return LabelCounts(parts.device, base, dict(good), dict(defective), held_out)
