"""Parts of which somebody knows what they truly are, with the scores that decided them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from shared.bundles.scores import ScoredParts
from shared.certification.certificate import bins
from shared.certification.scores import Floats, NovelPictures, Scored, by_kind


@dataclass(frozen=True, slots=True)
class KnownParts:
    """Pictures of parts, arrays of n.

    part       which part a picture shows, 0 to parts − 1, each at least once
    defective  bool (parts,)
    edge       the head's score, 0–1; NaN where it had none
    cloud      head's and tail's together, 0–1; NaN where it is not known
    asked      whether the cloud's score is known: a part that the edge decided was never sent
    encoded    bytes that the features took; 0 where nobody knows
    novel      unlike anything that the network was shown
    """

    part: NDArray[np.intp]
    defective: NDArray[np.bool_]
    edge: Floats
    cloud: Floats
    asked: NDArray[np.bool_]
    encoded: NDArray[np.int64]
    novel: NovelPictures

    @classmethod
    def none(cls) -> Self:
        flags = np.zeros(0, bool)
        scores = np.zeros(0, np.float64)
        numbers = np.zeros(0, np.intp)
        novel = NovelPictures(flags, flags)
        return cls(numbers, flags, scores, scores, flags, np.zeros(0, np.int64), novel)

    @classmethod
    def tested(cls, found: ScoredParts) -> Self:
        """What a certificate was tested on: there every picture went to the cloud."""
        asked = np.ones(len(found.part), bool)
        return cls(
            found.part,
            found.defective,
            found.edge,
            found.cloud,
            asked,
            found.encoded,
            found.novel,
        )

    @property
    def parts(self) -> int:
        return len(self.defective)

    @property
    def bad(self) -> int:
        return int(self.defective.sum())

    @property
    def good(self) -> int:
        return self.parts - self.bad

    @property
    def escalation_bytes(self) -> float:
        """Of one escalation, on average over those whose size is known; NaN where none is."""
        known = self.encoded[self.encoded > 0]
        return float(known.mean()) if known.size else float("nan")

    def kinds(self, unknown: float, *, reviewed: bool = False) -> tuple[Scored, Scored]:
        """Defective parts, then good ones.

        unknown    the cloud's score of a picture that it was never asked about: −inf, it passes
                   it; inf, it rejects it
        reviewed   it sends such a picture to review instead
        """
        scores = np.where(self.asked, self.cloud, unknown)
        novel = self.novel
        if reviewed:
            novel = replace(novel, cloud=novel.cloud | ~self.asked)
        return by_kind(self.part, self.defective, self.edge, scores, novel)

    def in_places(self) -> dict[str, list[int]]:
        """The same for a script that moves a gate by places on GRID, picture by picture.

        part, defective  as above; edge, cloud: how many thresholds of GRID do not lie above the
                         score, so that one at place p lies above it where that is at most p
        known            bit 0: the cloud's score is known; 1: the head's is no number; 2: the
                         cloud's is none; 3 and 4: novel to the edge, to the cloud
        """
        flags = (
            self.asked,
            ~np.isfinite(self.edge),
            np.isnan(self.cloud),
            self.novel.edge,
            self.novel.cloud,
        )
        known = np.zeros(len(self.part), np.intp)
        for place, flag in enumerate(flags):
            known |= flag.astype(np.intp) << place
        return {
            "part": self.part.tolist(),
            "defective": self.defective.astype(int).tolist(),
            "edge": bins(self.edge).tolist(),
            "cloud": bins(self.cloud).tolist(),
            "known": known.tolist(),
        }
